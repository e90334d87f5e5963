"""Clients that do not take what is sent to them: noticed by what the kernel still holds, and cut off.

A program sees only that its last write is not through. Here the bytes count that left: the clock runs while the service
waits for the client, never while it fetches from a storage.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from filator import metrics

log = structlog.get_logger()

# The least rate is judged over this many seconds of waiting.
WINDOW = 60.0
# Looks within the longest silence.
_LOOKS = 4


@dataclass(slots=True)
class Taking:
    """How a client takes what waits for it. Knows no clock: each call says how much time has passed.

    Args:
        silence: seconds in which at least one byte must leave.
        rate: least bytes a second in each WINDOW of waiting.
    """

    silence: float
    rate: int
    _silent: float = field(default=0.0, init=False)
    _waited: float = field(default=0.0, init=False)
    _taken: int = field(default=0, init=False)

    def note(self, seconds: float, taken: int) -> str | None:
        """Note that `taken` bytes left in `seconds` of waiting.

        Returns:
            Why the client is to be cut off, None while it is quick enough.
        """
        self._silent = 0.0 if taken > 0 else self._silent + seconds
        self._waited += seconds
        self._taken += max(0, taken)
        if self._silent >= self.silence:
            return f"the client took nothing for {self.silence:g} seconds"
        if self._waited < WINDOW:
            return None
        slow = self._taken < self.rate * self._waited
        self._waited, self._taken = 0.0, 0
        return f"the client took less than {self.rate} bytes a second" if slow else None


def unsent(transport: Any) -> int:
    """Return the bytes that the other side has not acknowledged: those of this process and those in the kernel."""
    held = int(transport.get_write_buffer_size())
    sock = transport.get_extra_info("socket")
    try:
        (queued,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))
    except (AttributeError, OSError, ValueError):
        # The socket is gone, or is none that the kernel can tell of.
        return held
    return held + int(queued)


def _reset(transport: Any) -> None:
    """End a connection at once; closed in any other way, the kernel would keep megabytes for a client that is slow."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Watch:
    """Watches one connection whenever its writes do not go through.

    Args:
        loop: of the connection.
        transport: that is aborted; it is not closed, which would wait for the client.
        taking: what the client must do.
        tell: is called with the reason before the client is cut off.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: Any, taking: Taking, tell: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._taking = taking
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None
        self._since: float | None = None
        self._left = 0
        self._over = False
        # Whatever is not in the kernel yet is waited for: no remainder below a mark escapes the watch.
        transport.set_write_buffer_limits(high=0)

    def paused(self) -> None:
        """The kernel takes no more."""
        if self._since is None:
            self._since = self._loop.time()
            self._left = unsent(self._transport)
            if self._timer is None:
                self._timer = self._loop.call_later(self._taking.silence / _LOOKS, self._look)

    def resumed(self) -> None:
        """All is in the kernel."""
        self._note()
        self._since = None

    def stop(self) -> None:
        """The connection is over."""
        self._since = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _note(self) -> None:
        if self._since is None or self._over:
            return
        moment, left = self._loop.time(), unsent(self._transport)
        reason = self._taking.note(moment - self._since, self._left - left)
        self._since, self._left = moment, left
        if reason is not None:
            self._over = True
            metrics.CUT_OFF.inc()
            log.info("client cut off", reason=reason, unsent=left)
            self._tell(reason)
            _reset(self._transport)

    def _look(self) -> None:
        self._timer = None
        self._note()
        if self._since is not None and not self._over:
            self._timer = self._loop.call_later(self._taking.silence / _LOOKS, self._look)


class Watching:
    """What a protocol of uvicorn inherits first to have its connections watched.

    Args:
        silence: seconds in which a client must take something.
        rate: bytes a second that it must take.
        options: of the protocol.
    """

    loop: asyncio.AbstractEventLoop
    transport: Any
    cycle: Any

    def __init__(self, *, silence: float, rate: int, **options: Any) -> None:
        super().__init__(**options)
        self._taking = Taking(silence, rate)
        self._watch: Watch

    def connection_made(self, transport: Any) -> None:
        """Begin to watch."""
        super().connection_made(transport)  # type: ignore[misc]
        self._watch = Watch(self.loop, self.transport, self._taking, self._tell)

    def connection_lost(self, exc: Exception | None) -> None:
        """Watch no more."""
        self._watch.stop()
        super().connection_lost(exc)  # type: ignore[misc]

    def pause_writing(self) -> None:
        """The kernel takes no more."""
        super().pause_writing()  # type: ignore[misc]
        self._watch.paused()

    def resume_writing(self) -> None:
        """The kernel took all."""
        self._watch.resumed()
        super().resume_writing()  # type: ignore[misc]

    def _tell(self, reason: str) -> None:
        if self.cycle is not None:
            self.cycle.scope["filator.cut_off"] = reason
