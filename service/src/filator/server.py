"""Running the workers: a listening socket or two, N processes, SIGHUP replaces them one by one."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

import structlog
import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess

from filator.connection import Connection
from filator.outgoing import Watching
from filator.settings import Settings

log = structlog.get_logger()


class Served(Watching, Connection):
    """The connection of a client that must take what it asked for."""


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
        http=partial(  # type: ignore[arg-type]
            Served,
            head_seconds=settings.head_seconds,
            silence=settings.idle_seconds,
            rate=settings.min_download_rate,
        ),
        ws="none",
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
