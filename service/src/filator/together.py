"""One statement for many requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from typing import Generic, TypeVar

_V = TypeVar("_V")
_R = TypeVar("_R")


class Together(Generic[_V, _R]):
    """Runs a statement for many requests: those that arrive while one runs share the next.

    Alone, a request waits for nobody. Sixteen at once cost PostgreSQL and this process a third, for reads as for
    writes, which then share a commit as well. Each request is answered by a statement that began after it came, so a
    client always sees its own writes and is acknowledged only behind its own commit.
    """

    def __init__(self, run: Callable[[dict[str, _V]], Awaitable[Mapping[str, _R]]], *, most: int | None = None) -> None:
        """Take what to run.

        Args:
            run: the statement, from values by key to results by key; a missing key is None.
            most: keys of one statement; None when any number will do.
        """
        self._run = run
        self._most = most
        self._wanted: dict[str, tuple[_V, list[asyncio.Future[_R | None]]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def ask(self, key: str, value: _V) -> _R | None:
        """Have `key` in the next statement. Requests with the same key share the value that came first.

        Raises:
            Exception: what the statement raised, for each of its requests.
        """
        future: asyncio.Future[_R | None] = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(key, (value, []))[1].append(future)
        if self._task is None:
            self._task = asyncio.create_task(self._serve())
        return await future

    def _take(self) -> dict[str, tuple[_V, list[asyncio.Future[_R | None]]]]:
        if self._most is None or len(self._wanted) <= self._most:
            batch, self._wanted = self._wanted, {}
            return batch
        return {key: self._wanted.pop(key) for key in list(islice(self._wanted, self._most))}

    async def _serve(self) -> None:
        while self._wanted:
            batch = self._take()
            try:
                found = await self._run({key: value for key, (value, _futures) in batch.items()})
            except Exception as exc:
                for _value, futures in batch.values():
                    for future in futures:
                        if not future.done():
                            future.set_exception(exc)
                continue
            for key, (_value, futures) in batch.items():
                for future in futures:
                    if not future.done():
                        future.set_result(found.get(key))
        self._task = None
