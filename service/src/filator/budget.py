"""The byte budget: uploads wait for memory instead of taking it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ByteBudget:
    """A fair semaphore over bytes. The whole cost is taken at once, so holders never wait for each other."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """Number of uploads in the queue."""
        return len(self._waiting)

    @asynccontextmanager
    async def take(self, cost: int) -> AsyncIterator[None]:
        """Hold `cost` bytes (at most the whole budget) for the time of the block; first come, first served."""
        cost = min(cost, self.total)
        if self._waiting or cost > self.free:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            entry = (cost, future)
            self._waiting.append(entry)
            try:
                await future
            except BaseException:
                if future.done() and not future.cancelled():
                    self._give_back(cost)
                else:
                    self._waiting.remove(entry)
                    self._wake()
                raise
        else:
            self.free -= cost
        try:
            yield
        finally:
            self._give_back(cost)

    def _give_back(self, cost: int) -> None:
        self.free += cost
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.free:
            cost, future = self._waiting.popleft()
            self.free -= cost
            future.set_result(None)
