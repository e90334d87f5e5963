"""Running the workers: a listening socket or two, N processes, SIGHUP replaces them one by one."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors.multiprocess import Multiprocess

from filator.settings import Settings

log = structlog.get_logger()


# How long a retiring worker still answers on connections that it has accepted but that carry no request yet.
LINGER_SECONDS = 1.0
# What a request may hold of its body before it is looked at. At uvicorn's 64 KiB reading stopped and went on 16,000
# times a GiB, two system calls each.
BODY_BYTES = 1 << 18
# Shorter writes wait for the next one: heads of answers, and small bodies behind them.
HELD_BYTES = 1 << 14


class OneWrite:
    """A transport that sends the head of an answer together with its body.

    uvicorn writes them one after the other, which was two system calls here and two wake-ups of the client. A short
    write waits for the next one, at most until the loop comes round.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
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

    def close(self) -> None:
        """Close behind what is held."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)


class Connection(HttpToolsProtocol):
    """uvicorn's connection, which does not cut a client off that is about to send.

    On shutdown uvicorn closes each connection without a request at once. A client whose request is on its way then
    gets a reset: seen in a rolling restart under steady uploads, one request in some hundreds. This one answers
    what arrives within LINGER_SECONDS, with `Connection: close`, and closes what stayed silent.
    """

    _retiring = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin with a transport that joins writes."""
        super().connection_made(OneWrite(transport, self.loop))  # type: ignore[arg-type]

    def shutdown(self) -> None:
        """Finish the request under way; wait a moment for one that may be coming."""
        if self.cycle is None or self.cycle.response_complete:
            self._retiring = True
            self.loop.call_later(LINGER_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def on_body(self, body: bytes) -> None:
        """Take in a piece of the body; what uvicorn does, except that reading pauses later."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > BODY_BYTES:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_headers_complete(self) -> None:
        """Answer the last request of a retiring worker's connection, then close."""
        super().on_headers_complete()
        if self._retiring and self.cycle is not None:
            self.cycle.keep_alive = False


class Supervisor(Multiprocess):
    """uvicorn's supervisor that also closes its own copies of the sockets.

    While the workers finish their uploads nobody accepts; a client must then be refused, not left in the backlog.
    """

    failed = False

    def handle_term(self) -> None:
        """Stop accepting, let the workers finish."""
        for sock in self.sockets:
            sock.close()
        super().handle_term()

    def keep_subprocess_alive(self) -> None:
        """Replace dead workers; remember when a worker cannot start at all."""
        was = self.should_exit.is_set()
        super().keep_subprocess_alive()
        self.failed = self.failed or (self.should_exit.is_set() and not was)


def serve(settings: Settings) -> int:
    """Serve until SIGTERM.

    Args:
        settings: checked ones.

    Returns:
        0 after a graceful stop, 1 when the workers cannot start.
    """
    host, port = settings.address
    config = uvicorn.Config(
        "filator.app:create_app",
        factory=True,
        host=host,
        port=port,
        workers=settings.workers,
        http=Connection,
        loop="uvloop",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=settings.stop_seconds,
        timeout_keep_alive=30,
        # The default of 5 s gave up a rolling restart on a machine with load 20, and kills a busy worker's uploads.
        timeout_worker_healthcheck=60,
    )
    sockets = []
    try:
        for config.host, config.port in filter(None, (settings.address, settings.edge_address)):
            sockets.append(config.bind_socket())
    except SystemExit:
        return 1
    directory = Path(tempfile.mkdtemp(prefix="filator-metrics-"))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    # glibc keeps one arena a thread; with tokio's threads that held hundreds of MiB after large uploads.
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    # obstore's threads, one a core by default. There is a process for each core already, and one thread is enough for
    # its event loop: more of them only woke each other.
    os.environ.setdefault("TOKIO_WORKER_THREADS", "1")
    try:
        supervisor = Supervisor(config, sockets=sockets)
        supervisor.run()
        return 1 if supervisor.failed else 0
    finally:
        for sock in sockets:
            sock.close()
        shutil.rmtree(directory, ignore_errors=True)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.stderr.flush()
