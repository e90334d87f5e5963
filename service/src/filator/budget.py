"""The byte budget: uploads wait for memory instead of taking it."""

from __future__ import annotations

import asyncio
from collections import deque

from filator import metrics


class Budget:
    """A fair semaphore over bytes and places. The whole cost is taken at once, so holders never wait for each other."""

    def __init__(self, total: int, places: int) -> None:
        self.total = total
        self.free = total
        self.places = places
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """Number of uploads in the queue."""
        return len(self._waiting)

    async def take(self, cost: int) -> int:
        """Wait for one place and `cost` bytes (at most the whole budget); first come, first served.

        Returns:
            The bytes taken, to be given back.
        """
        cost = min(cost, self.total)
        if not self._waiting and self._fits(cost):
            self._hold(cost)
            return cost
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (cost, future)
        self._waiting.append(entry)
        metrics.WAITING.inc()
        try:
            await future
        except BaseException:
            if future.done() and not future.cancelled():
                self.give_back(cost)
            else:
                self._waiting.remove(entry)
                self._wake()
            raise
        finally:
            metrics.WAITING.dec()
        return cost

    def give_back(self, cost: int) -> None:
        """Let the next ones in."""
        self.free += cost
        self.places += 1
        self._wake()

    def _fits(self, cost: int) -> bool:
        return cost <= self.free and self.places > 0

    def _hold(self, cost: int) -> None:
        self.free -= cost
        self.places -= 1

    def _wake(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            cost, future = self._waiting.popleft()
            self._hold(cost)
            future.set_result(None)
