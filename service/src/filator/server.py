"""Running the workers: one listening socket, N processes, SIGHUP replaces them one by one."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors.multiprocess import Multiprocess

from filator.settings import Settings

log = structlog.get_logger()


# How long a retiring worker still answers on connections that it has accepted but that carry no request yet.
LINGER_SECONDS = 1.0


class Connection(HttpToolsProtocol):
    """uvicorn's connection, which does not cut a client off that is about to send.

    On shutdown uvicorn closes each connection without a request at once. A client whose request is on its way then
    gets a reset: seen in a rolling restart under steady uploads, one request in some hundreds. This one answers
    what arrives within LINGER_SECONDS, with `Connection: close`, and closes what stayed silent.
    """

    _retiring = False

    def shutdown(self) -> None:
        """Finish the request under way; wait a moment for one that may be coming."""
        if self.cycle is None or self.cycle.response_complete:
            self._retiring = True
            self.loop.call_later(LINGER_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def on_headers_complete(self) -> None:
        """Answer the last request of a retiring worker's connection, then close."""
        super().on_headers_complete()
        if self._retiring and self.cycle is not None:
            self.cycle.keep_alive = False


class Supervisor(Multiprocess):
    """uvicorn's supervisor that also closes its own copy of the socket.

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
    try:
        sock = config.bind_socket()
    except SystemExit:
        return 1
    directory = Path(tempfile.mkdtemp(prefix="filator-metrics-"))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    # glibc keeps one arena a thread; with tokio's threads that held hundreds of MiB after large uploads.
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    try:
        supervisor = Supervisor(config, sockets=[sock])
        supervisor.run()
        return 1 if supervisor.failed else 0
    finally:
        sock.close()
        shutil.rmtree(directory, ignore_errors=True)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.stderr.flush()
