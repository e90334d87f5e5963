"""The byte budgets of a worker: uploads and downloads wait for memory instead of taking it, and none starves the rest.

Two parts: `Ledger` decides and knows no clock and no loop; `Budget` makes requests wait for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from filator import metrics
from filator.errors import Unavailable

# One upload beside the one that small files always find.
LEAST_PLACES = 2


def share(total: int, processes: int, least: int) -> int:
    """Divide a limit of all workers between them.

    Args:
        total: of all workers.
        processes: number of workers.
        least: without which a worker could not do its work at all.

    Returns:
        The part of one worker, never below `least`: many workers then exceed `total`, and Settings.warnings says so.
    """
    return max(least, total // processes)


class Ledger:
    """Who may have how much of one limited thing. Each lane is sure of its guarantee; the rest is for whoever asks.

    The guarantees hold at any time: what is free covers all that the lanes have not taken of theirs.

    Args:
        total: units there are.
        guarantees: units by lane; together at most the total.
    """

    def __init__(self, total: int, guarantees: Mapping[str, int]) -> None:
        if sum(guarantees.values()) > total or min(guarantees.values()) < 0:
            raise ValueError(f"guarantees {dict(guarantees)} do not fit into {total}")
        self.total = total
        self.free = total
        self._guarantees = dict(guarantees)
        self._held = dict.fromkeys(guarantees, 0)
        # What the lanes have not taken of their guarantees, kept as a sum: each small upload asks four times.
        self._promised = sum(guarantees.values())

    def most(self, lane: str) -> int:
        """Return what a lane could hold if the others held nothing."""
        return self.total - sum(amount for name, amount in self._guarantees.items() if name != lane)

    def sure(self, lane: str, cost: int) -> bool:
        """Say whether `cost` is within what the lane is sure of."""
        return self._held[lane] + cost <= self._guarantees[lane]

    def fits(self, lane: str, cost: int) -> bool:
        """Say whether `cost` can be had now without touching what the other lanes are sure of."""
        return cost <= self.free - (self._promised - self._left(lane))

    def _left(self, lane: str) -> int:
        left = self._guarantees[lane] - self._held[lane]
        return left if left > 0 else 0

    def hold(self, lane: str, cost: int) -> None:
        """Take; only what fits."""
        assert self.fits(lane, cost)
        self._change(lane, cost)

    def release(self, lane: str, cost: int) -> None:
        """Give back."""
        assert 0 <= cost <= self._held[lane]
        self._change(lane, -cost)

    def _change(self, lane: str, cost: int) -> None:
        before = self._left(lane)
        self._held[lane] += cost
        self.free -= cost
        self._promised += self._left(lane) - before


@dataclass(eq=False, slots=True)
class _Waiter:
    lane: str
    cost: int
    future: asyncio.Future[None]


class Budget:
    """Memory, handed out by lanes.

    Within a lane: first come, first served. What goes beyond a guarantee goes to who waits longest in all lanes.

    Args:
        total: bytes of this worker.
        guarantees: bytes that each lane is sure of.
        patience: seconds after which a request is told to come again.
        what: that is waited for, in the answer to the client.
        after_pressure: is called when more than half was in use and nothing is any more.
    """

    def __init__(
        self,
        total: int,
        guarantees: Mapping[str, int],
        *,
        patience: float,
        what: str = "memory",
        after_pressure: Callable[[], None] = lambda: None,
    ) -> None:
        self.ledger = Ledger(total, guarantees)
        self._patience = patience
        self._what = what
        self._after_pressure = after_pressure
        self._queues: dict[str, deque[_Waiter]] = {lane: deque() for lane in guarantees}
        self._pressed = False
        # All that wait, the oldest first.
        self._order: dict[_Waiter, None] = {}

    @property
    def waiting(self) -> int:
        """Number of requests in the queues."""
        return len(self._order)

    def take_now(self, lane: str, cost: int) -> Lease | None:
        """Take `cost` units if nobody must wait for it."""
        if self._order or not self.ledger.fits(lane, cost):
            return None
        return self._lend(lane, cost)

    async def take(self, lane: str, cost: int) -> Lease:
        """Take `cost` units, at most all that the lane could ever have; wait for them if need be.

        Args:
            lane: one of the guarantees.
            cost: units.

        Returns:
            What must be given back.

        Raises:
            Unavailable: there was no room for the whole patience; 503 with Retry-After.
        """
        cost = min(cost, self.ledger.most(lane))
        if not self._queues[lane] and self._may(lane, cost, turn=not self._order):
            return self._lend(lane, cost)
        waiter = _Waiter(lane, cost, asyncio.get_running_loop().create_future())
        self._queues[lane].append(waiter)
        self._order[waiter] = None
        metrics.WAITING.inc()
        try:
            async with asyncio.timeout(self._patience):
                await waiter.future
        except BaseException as exc:
            if waiter in self._order:
                self._leave(waiter)
                self.wake()
            elif waiter.future.cancelled():
                pass
            elif isinstance(exc, TimeoutError):
                # Let in at the very moment at which the patience ended.
                return Lease(self, lane, cost)
            else:
                Lease(self, lane, cost).release()
            if isinstance(exc, TimeoutError):
                raise Unavailable(
                    f"All {self._what} is in use, and none came free within {self._patience:g} seconds; send it again",
                    retry_after=max(1, round(self._patience)),
                ) from None
            raise
        finally:
            metrics.WAITING.dec()
        return Lease(self, lane, cost)

    def _lend(self, lane: str, cost: int) -> Lease:
        self.ledger.hold(lane, cost)
        self._pressed = self._pressed or self.ledger.free < self.ledger.total // 2
        return Lease(self, lane, cost)

    def take_back(self, lane: str, cost: int) -> None:
        """Let the next ones in; used by leases."""
        self.ledger.release(lane, cost)
        if self._order:
            self.wake()
        if self._pressed and self.ledger.free == self.ledger.total:
            self._pressed = False
            self._after_pressure()

    def wake(self) -> None:
        """Let in who can have what it waits for."""
        moved = True
        while moved:
            moved = False
            for waiter in [it for it in self._order if it.future.cancelled()]:
                # Its request was cancelled and has not come round to leave by itself.
                self._leave(waiter)
            oldest = next(iter(self._order), None)
            for queue in self._queues.values():
                if queue and self._may(queue[0].lane, queue[0].cost, turn=queue[0] is oldest):
                    waiter = queue[0]
                    self._leave(waiter)
                    self._lend(waiter.lane, waiter.cost)
                    waiter.future.set_result(None)
                    moved = True
                    break

    def _may(self, lane: str, cost: int, *, turn: bool) -> bool:
        return self.ledger.sure(lane, cost) or (turn and self.ledger.fits(lane, cost))

    def _leave(self, waiter: _Waiter) -> None:
        self._queues[waiter.lane].remove(waiter)
        del self._order[waiter]


class Lease:
    """What a request holds of a budget."""

    __slots__ = ("_budget", "_lane", "cost")

    def __init__(self, budget: Budget, lane: str, cost: int) -> None:
        self._budget = budget
        self._lane = lane
        self.cost = cost

    def release(self) -> None:
        """Give it back; a second time does nothing."""
        cost, self.cost = self.cost, 0
        if cost:
            self._budget.take_back(self._lane, cost)
