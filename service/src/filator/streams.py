"""Streams of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator


async def _next(source: AsyncIterator[bytes]) -> bytes:
    return await anext(source, b"")


async def ahead(source: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Fetch the next block of `source` while whoever iterates deals with the last one; an empty block is the end."""
    task: asyncio.Task[bytes] = asyncio.create_task(_next(source))
    try:
        while block := await task:
            task = asyncio.create_task(_next(source))
            yield block
    finally:
        # Ended here, not when the collector comes by: what the source holds, connections and blocks, goes back now.
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if isinstance(source, AsyncGenerator):
            await source.aclose()
