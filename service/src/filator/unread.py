"""The rest of a body that is not wanted: read and dropped, so that who sends it reads the refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]

# Proxies give up a client that is answered early: Caddy closes half a second later, nginx answers 502 when it cannot
# hand on the rest. What is longer than this is refused at once, and the connection lingers (filator.connection).
DISCARD_BYTES = 64 << 20
DISCARD_SECONDS = 30.0


class Body:
    """`receive` of ASGI, which remembers whether anything is left to read.

    Args:
        receive: of ASGI.
        headers: of the request.
    """

    def __init__(self, receive: Callable[[], Awaitable[Message]], headers: list[tuple[bytes, bytes]]) -> None:
        self._receive = receive
        self._headers = headers
        self._asked = False
        self.whole = False

    async def __call__(self) -> Message:
        """Wait for the next message."""
        self._asked = True
        message = await self._receive()
        if not message.get("more_body", False):
            self.whole = True
        return message

    async def discarded(self, status: int) -> bool:
        """Read the rest, where there is little of it, the client has begun to send and is not refused for its slowness.

        Args:
            status: of the answer that is about to be sent.

        Returns:
            Whether nothing of the body is left.
        """
        fields = dict(self._headers)
        waits = not self._asked and fields.get(b"expect", b"").lower() == b"100-continue"
        length = fields.get(b"content-length", b"0")
        if waits or status == 408 or (length.isdigit() and int(length) > DISCARD_BYTES):
            return self.whole
        left = DISCARD_BYTES
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                while not self.whole and left > 0:
                    left -= len((await self()).get("body", b""))
        except TimeoutError:
            return False
        return self.whole
