"""One client's connection: where a request ends, how long its head may be and take, how the connection is closed.

uvicorn's protocol with llhttp, the parser of Node, does the work; what it leaves open is closed here. How it was
weighed against other servers: docs/decisions/0001-http-server.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from filator import jsontext

log = structlog.get_logger()

# How long a retiring worker still answers on connections that it has accepted but that carry no request yet.
RETIRING_SECONDS = 1.0
# What a request may hold of its body before it is looked at. At uvicorn's 64 KiB reading stopped and went on 16,000
# times a GiB, two system calls each.
BODY_BYTES = 1 << 18
# Shorter writes wait for the next one: heads of answers, and small bodies behind them.
HELD_BYTES = 1 << 14
# Request line and header fields together; nginx takes 4 x 32 KiB of the fields, Caddy 1 MiB.
HEAD_BYTES = 1 << 16
HEAD_FIELDS = 128
# A client that was answered before it had sent everything reads the answer only if nobody resets the connection.
LINGER_BYTES = 1 << 30
LINGER_SECONDS = 30.0
LINGER_SILENCE = 5.0


class Refused(Exception):
    """A request that is not taken; raised inside the parser, which then stops."""

    def __init__(self, status: int, msg: str) -> None:
        super().__init__(msg)
        self.status = status
        self.msg = msg


class OneWrite:
    """A transport that sends the head of an answer together with its body.

    uvicorn writes them one after the other, which was two system calls here and two wake-ups of the client. A short
    write waits for the next one, at most until the loop comes round.

    Args:
        transport: where it all goes.
        loop: that comes round.
        linger: asked before closing; True when it sees to the end of the connection itself.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        linger: Callable[[], bool] | None = None,
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._linger = linger
        self._lingers = False
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send behind what is held, or hold."""
        if self._held:
            held, self._held = self._held, b""
            if len(data) <= HELD_BYTES:
                self._transport.write(b"".join((held, data)))
            else:
                self._transport.writelines((held, data))
        elif len(data) <= HELD_BYTES:
            self._held = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def is_closing(self) -> bool:
        """Say whether nothing more can be sent."""
        return self._lingers or self._transport.is_closing()

    def close(self) -> None:
        """Close behind what is held; where a client still sends, its side first."""
        self._flush()
        if self._linger is not None and not self.is_closing() and self._linger():
            self._lingers = True
            self._transport.write_eof()
        elif not self._lingers:
            self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)


class Connection(HttpToolsProtocol):
    """uvicorn's connection, which knows at any byte what the byte belongs to.

    - An offer to upgrade is ignored, as RFC 9110 allows: llhttp by itself takes such a request to end with its head, so
      that its body would be read as the next request.
    - A head is bounded in bytes, fields and seconds. A fault ends the connection, and never with an answer in the midst
      of another one.
    - Who was answered before all was read can still read the answer: only this side is closed, what comes is dropped.
    - On shutdown uvicorn closes each connection without a request at once. A client whose request is on its way then
      gets a reset: seen in a rolling restart under steady uploads, one request in some hundreds. This one answers
      what arrives within RETIRING_SECONDS, with `Connection: close`, and closes what stayed silent.

    Args:
        head_seconds: from the first moment at which a request could come to the end of its head.
        options: uvicorn's own.
    """

    def __init__(self, *, head_seconds: float = 30.0, **options: Any) -> None:
        super().__init__(**options)
        self._head_seconds = head_seconds
        self._retiring = False
        # Whether the next byte belongs to a head; else to a body, or to what follows a body in chunks.
        self._in_head = True
        self._begun = False
        self._head_bytes = 0
        self._chunked = False
        self._hosts = 0
        # Bytes since the parser last told of anything: what it keeps unseen is bounded by that.
        self._unseen = 0
        self._piece = 0
        self._offered = False
        self._refused = False
        self._late = False
        self._fault: Refused | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._linger_end = 0.0
        self._lingered = 0
        self._lingered_before = -1

    # -- the transport -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin with a transport that joins writes."""
        super().connection_made(OneWrite(transport, self.loop, self._begin_to_linger))  # type: ignore[arg-type]
        self._head_timer = self.loop.call_later(self._head_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_head_timer()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, or drop what nobody will answer."""
        if self._refused or self._linger_timer is not None:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.transport.abort()
            return
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._refuse(self._fault or Refused(400, f"This is no HTTP/1.1 request: {exc}"))
            return
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            # Nothing is under way: what came was part of a head, or of a body that nobody waits for.
            self._head_timer = self.loop.call_later(self._head_seconds, self._head_is_late)

    def _feed(self, data: bytes | memoryview) -> None:
        """Hand bytes to the parser, in pieces that bound what it keeps of a head."""
        while data:
            piece, rest = data, data[:0]
            if self._in_head and len(data) > HEAD_BYTES:
                view = memoryview(data)
                piece, rest = view[:HEAD_BYTES], view[HEAD_BYTES:]
            self._piece = len(piece)
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as exc:
                end = exc.args[0]
                rest = memoryview(data)[end:]
                self._read_without_offer()
            else:
                self._unseen += len(piece)
                if self._unseen > HEAD_BYTES:
                    self._too_large()
            data = rest

    def _read_without_offer(self) -> None:
        """Read the head once more, as if nothing had been offered: a new parser goes on behind it."""
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", self.parser.get_http_version().encode(), b"\r\n"]
        for name, value in self.headers:
            if name != b"upgrade":
                head += (name, b": ", value, b"\r\n")
        head.append(b"\r\n")
        self._offered = False
        self._piece = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"".join(head))

    # -- what the parser tells -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._begun = True
        self._head_bytes = 0
        self._chunked = False
        self._hosts = 0
        self._unseen = -self._piece

    def on_url(self, url: bytes) -> None:
        """Take in a piece of the address."""
        self._head_bytes += len(url)
        if self._head_bytes > HEAD_BYTES:
            self._too_large()
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a field of the head; those behind a body in chunks are ignored, they would pass the edges' rules."""
        if not self._in_head:
            return
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > HEAD_BYTES or len(self.headers) >= HEAD_FIELDS:
            self._too_large()
        name = name.lower()
        if name == b"host":
            self._hosts += 1
            if self._hosts > 1:
                self._refuse_in_parser(400, "Host may be given once")
        elif name == b"transfer-encoding":
            if self._chunked or value.lower() != b"chunked":
                self._refuse_in_parser(400, "Transfer-Encoding may be chunked, nothing else")
            self._chunked = True
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the request, unless it comes again without its offer."""
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0") or (self._chunked and version != "1.1"):
            self._refuse_in_parser(400, "The request must be one of HTTP/1.1, or of HTTP/1.0 without chunks")
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._refuse_in_parser(400, "CONNECT is not served here")
            self._offered = True
            return
        self._in_head = self._begun = False
        if self._head_timer is not None:
            self._stop_head_timer()
        self._unseen = -self._piece
        super().on_headers_complete()
        if self._retiring and self.cycle is not None:
            # The last request of a retiring worker's connection.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take in a piece of the body; what uvicorn does, except that reading pauses later."""
        self._unseen = -self._piece
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > BODY_BYTES:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """End the request's body."""
        if self._offered:
            return
        self._in_head = True
        self._unseen = -self._piece
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request; not longer than for any where the rest of this one's body is still to come."""
        super().on_response_complete()
        if not self._in_head and self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self._head_seconds, self._head_is_late)

    def _too_large(self) -> None:
        self._refuse_in_parser(431, f"A head may have {HEAD_BYTES} bytes and {HEAD_FIELDS} fields")

    def _refuse_in_parser(self, status: int, msg: str) -> None:
        self._fault = Refused(status, msg)
        raise httptools.HttpParserError(msg)

    # -- the end -------------------------------------------------------------------------------------------------

    def _refuse(self, fault: Refused) -> None:
        """Read no further, and answer where the answer can only be taken for that of the faulty request."""
        self._refused = True
        self._stop_head_timer()
        log.info("request refused", status=fault.status, reason=fault.msg)
        cycle = self.cycle
        answered = cycle is None or cycle.response_complete
        if answered:
            if self._in_head:
                self._answer(fault)
            self.transport.close()
        elif self._in_head:
            # The fault is behind a request that still runs.
            cycle.keep_alive = False
        else:
            # The body of the request that runs, or waits for another one to be answered.
            if not cycle.response_started and not self.pipeline:
                self._answer(fault)
            self._disconnect()
            self.transport.close()

    def _disconnect(self) -> None:
        """Tell the request that nobody waits for it any more."""
        self.cycle.disconnected = True
        self.cycle.message_event.set()

    def _answer(self, fault: Refused) -> None:
        body = jsontext.dumps({"status": "error", "msg": fault.msg})
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(b"".join((STATUS_LINE[fault.status], head, body)))

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._late = True
        if self._begun:
            self._refuse(Refused(408, f"The head of the request did not come within {self._head_seconds:g} seconds"))
        else:
            self.transport.close()

    def _begin_to_linger(self) -> bool:
        """Go on reading where a client still sends, unless it is slow; a reset would take the answer from it."""
        if self._late or (self._in_head and not self._refused):
            return False
        self._linger_end = self.loop.time() + LINGER_SECONDS
        self._linger_timer = self.loop.call_later(LINGER_SILENCE, self._linger_on)
        # A request that stopped reading is over.
        self.flow.resume_reading()
        return True

    def _linger_on(self) -> None:
        if self._lingered == self._lingered_before or self.loop.time() >= self._linger_end:
            self.transport.abort()
            return
        self._lingered_before = self._lingered
        self._linger_timer = self.loop.call_later(LINGER_SILENCE, self._linger_on)

    def shutdown(self) -> None:
        """Finish the request under way; wait a moment for one that may be coming."""
        if self._linger_timer is not None:
            self.loop.call_later(RETIRING_SECONDS, self.transport.abort)
        elif self.cycle is None or self.cycle.response_complete:
            self._retiring = True
            self.loop.call_later(RETIRING_SECONDS, super().shutdown)
        else:
            super().shutdown()
