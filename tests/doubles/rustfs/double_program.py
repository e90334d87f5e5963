"""A DOUBLE of the program RustFS 1.0.0-beta.5: what an installation meets of it, over a real SeaweedFS for the data.

The settings come from the same environment, the root keys from files; the start says READY to systemd, /health answers
before /health/ready does, a target whose queue can not be written is dropped, the published root keys are refused, and
SIGTERM ends it. The admin API and the event rules are those of tests/contract/double_server.py. Of RUSTFS_VOLUMES only
the first local folder is used: there is no erasure coding here.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from double_admin import Access
from double_server import Double, Handler
from servers import seaweedfs

VERSION = "1.0.0-beta.5"
_PUBLISHED = "rustfsadmin"
_WEBHOOK = "RUSTFS_NOTIFY_WEBHOOK_"


class SettingsError(Exception):
    """The server would not start with these settings."""


@dataclass(frozen=True)
class Settings:
    """What the environment says, as the server reads it."""

    folders: list[Path]
    host: str
    port: int
    root: tuple[str, str]
    targets: dict[str, str]
    queues: dict[str, Path]
    log: Path | None


def key_from(environment: Mapping[str, str], name: str) -> str:
    """A root key, from the variable or from the file that ``NAME_FILE`` names; both at once are refused."""
    value, file = environment.get(name), environment.get(f"{name}_FILE")
    if value and file:
        raise SettingsError(f"{name} and {name}_FILE are mutually exclusive")
    return Path(file).read_text(encoding="utf-8").strip() if file else value or _PUBLISHED


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the environment; raises :class:`SettingsError` where the server ends at once."""
    volumes = environment.get("RUSTFS_VOLUMES", "").split()
    if not volumes:
        raise SettingsError("no volumes")
    host, _, port = environment.get("RUSTFS_ADDRESS", ":9000").rpartition(":")
    root = (key_from(environment, "RUSTFS_ACCESS_KEY"), key_from(environment, "RUSTFS_SECRET_KEY"))
    loopback = host in ("localhost", "::1") or host.startswith("127.")
    allowed = environment.get("RUSTFS_ALLOW_INSECURE_DEFAULT_CREDENTIALS") == "true"
    if root == (_PUBLISHED, _PUBLISHED) and not loopback and not allowed:
        raise SettingsError("Default root credentials are not allowed on non-loopback listeners")
    folders = [Path(urlsplit(one).path) for one in volumes if "://" not in one or _is_here(one)]
    # Two looks of the real one at its host, which a unit that is too narrow refuses it (docs/quirks.md).
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()
    if len(folders) > 1:
        Path("/proc/mounts").read_text(encoding="utf-8")
    devices = [folder.stat().st_dev for folder in folders if folder.is_dir()]
    if len(set(devices)) < len(devices) and environment.get("RUSTFS_UNSAFE_BYPASS_DISK_CHECK") != "true":
        raise SettingsError("local volumes share a physical device")
    targets, queues = {}, {}
    if environment.get("RUSTFS_NOTIFY_ENABLE") == "true":
        for name in environment:
            if name.startswith(f"{_WEBHOOK}ENABLE_") and environment[name] in ("on", "true", "1"):
                given = name.removeprefix(f"{_WEBHOOK}ENABLE_")
                targets[given.lower()] = environment[f"{_WEBHOOK}ENDPOINT_{given}"]
                queues[given.lower()] = Path(environment.get(f"{_WEBHOOK}QUEUE_DIR_{given}", "/opt/rustfs/events"))
    log = environment.get("RUSTFS_OBS_LOG_DIRECTORY")
    return Settings(folders, host, int(port), root, targets, queues, Path(log) if log else None)


def _is_here(url: str) -> bool:
    """Whether a node's URL names an address of this host."""
    with socket.socket() as sock, contextlib.suppress(OSError):
        sock.bind((str(urlsplit(url).hostname), 0))
        return True
    return False


class ServerAccess(Access):
    """The admin API, with the disks in its description of the server."""

    drives: list[str] = []

    def _get_info(self, caller: str, query: dict[str, str], body: Any) -> Any:
        told = super()._get_info(caller, query, body)
        told["servers"][0]["drives"] = [{"drive_path": one, "endpoint": one, "state": "ok"} for one in self.drives]
        return told


@dataclass
class Server(Double):
    """The double with its own root key, queues on disk, and targets that may have been dropped."""

    root: tuple[str, str] = ("", "")
    queues: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kept = {name: folder for name, folder in self.queues.items() if _made(folder / f"rustfs-webhook-{name}")}
        super().__post_init__()
        self.access = ServerAccess(*self.root)

    def online(self, target: str) -> bool:
        """A target without a queue is listed, as offline."""
        return target in self.kept and super().online(target)

    def _deliver(self) -> None:
        names = {url: name for name, url in self.targets.items()}
        while True:
            with contextlib.suppress(queue.Empty):
                url, body = self.events.get(timeout=0.5)
                if names[url] in self.kept:
                    waiting = self.kept[names[url]] / f"rustfs-webhook-{names[url]}" / f"{uuid.uuid4()}.event"
                    waiting.write_text(json.dumps(body), encoding="utf-8")
                    if not self.events.empty():
                        continue
            for name, folder in self.kept.items():
                with contextlib.suppress(OSError):
                    self._replay(self.targets[name], folder / f"rustfs-webhook-{name}")

    def _replay(self, url: str, folder: Path) -> None:
        for waiting in sorted(folder.glob("*.event"), key=lambda path: path.stat().st_mtime_ns):
            headers = {"Content-Type": "application/json"}
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                answer = self.http.request("POST", url, body=waiting.read_bytes(), headers=headers, timeout=30)
                if 200 <= answer.status < 300:
                    waiting.unlink()
                    continue
            return


def _made(folder: Path) -> bool:
    """Whether a queue's folder can be made and written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


class ServerHandler(Handler):
    """Adds the health pages, which answer before the rest does."""

    ready: threading.Event

    def _handle(self) -> None:
        path = self.path.partition("?")[0]
        if path in ("/health", "/health/ready") or not self.ready.is_set():
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            good = path == "/health" or (path == "/health/ready" and self.ready.is_set())
            told = {"status": "ok" if self.ready.is_set() else "degraded", "ready": self.ready.is_set()}
            return self._answer(200 if good else 503, json.dumps(told).encode(), {"Content-Type": "application/json"})
        return super()._handle()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815


def _tell_systemd(word: str) -> None:
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(word.encode(), address.replace("@", "\0", 1))


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ready = threading.Event()
    folder = settings.folders[0] / ".rustfs.sys"
    folder.mkdir(mode=0o700, exist_ok=True)
    handler = type("Bound", (ServerHandler,), {"ready": ready})
    front = ThreadingHTTPServer((settings.host, settings.port), handler)
    threading.Thread(target=front.serve_forever, daemon=True).start()
    with seaweedfs(folder) as below:
        double = Server(below.settings, settings.targets, root=settings.root, queues=settings.queues)
        double.access.drives = [str(one) for one in settings.folders]
        state = folder / "state.pickle"
        if state.exists():
            double.notifications, accounts, double.access.policies = pickle.loads(state.read_bytes())
            double.access.accounts |= accounts
        for name in settings.targets.keys() - double.kept.keys():
            _say(settings, f"event target {name} is dropped: its queue in {settings.queues[name]} cannot be written")
        handler.double = double
        ready.set()
        _tell_systemd("READY=1")
        ended.wait()
        front.shutdown()
        root = settings.root[0]
        accounts = {name: one for name, one in double.access.accounts.items() if name != root}
        state.write_bytes(pickle.dumps((double.notifications, accounts, double.access.policies)))


def _say(settings: Settings, line: str) -> None:
    print(line, flush=True)
    if settings.log:
        with (settings.log / "rustfs.log").open("a", encoding="utf-8") as log:
            log.write(f"{json.dumps({'level': 'WARN', 'fields': {'message': line}})}\n")


def main() -> int:
    """Start as the server's program does; returns the exit code."""
    if "--version" in sys.argv[1:]:
        print(f"rustfs {VERSION} (a double)\ngit tag      : {VERSION}")
        return 0
    try:
        serve(settings_from(os.environ))
    except (SettingsError, OSError) as error:
        print(f"[FATAL] {error}", file=sys.stderr)
        return 1
    return 0
