"""RustFS and Fluent Bit on loopback, with the configuration that their roles render.

Each can be killed and started again with the same folders, as systemd would.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rendered import ROOT, environment_in, evaluated, rendered
from servers import free_ports

from stowage.s3.connection import S3Settings

RUSTFS_DOUBLE = [sys.executable, str(ROOT / "tests" / "doubles" / "rustfs" / "rustfs")]
"""The double of RustFS as a program."""
ROOT_KEY = ("AKIAROOTOFTESTS", os.urandom(16).hex())


@dataclass
class Program:
    """A program that can be stopped, killed and started again.

    Attributes:
        command: What to run.
        folder: Its working folder; the output goes to ``log`` in it.
        environment: Besides PATH, HOME and TMPDIR.
        kills: How often it was killed.
        exits: The exit code of each end.
        process: The one that was started last.
    """

    command: Sequence[str]
    folder: Path
    environment: dict[str, str]
    kills: int = 0
    exits: list[int] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; nobody waits for it to listen."""
        self.folder.mkdir(parents=True, exist_ok=True)
        places = {"HOME": str(self.folder), "TMPDIR": str(self.folder)}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], **places, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def end(self, how: signal.Signals = signal.SIGTERM, seconds: float = 60) -> int:
        """Send the signal to this one process and wait until it is gone; its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.kills += how is signal.SIGKILL
        self.exits.append(self.process.returncode)
        return self.process.returncode

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text(errors="replace")

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run for the length of the block."""
        self.start()
        assert self.process is not None
        try:
            yield self.process
        finally:
            self.end()


def wait_for_port(program: Program, port: int, seconds: float = 60) -> None:
    """Wait until something listens there.

    Raises:
        RuntimeError: The program ended, or nothing listens in time; with the end of its log.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and program.alive:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}\n{program.log()[-3000:]}")


@dataclass
class Sink:
    """The real Fluent Bit with the role's configuration."""

    program: Program
    port: int


def sink(binary: str, folder: Path, port: int, values: Mapping[str, Any], form: str = "yaml") -> Sink:
    """Fluent Bit as role fluent_bit configures it.

    Args:
        binary: The program.
        folder: For configuration, buffers and log.
        port: Where the store posts to.
        values: ``fluent_bit_*`` variables: endpoint, bucket, keys and what differs from the defaults.
        form: ``yaml`` or ``classic``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (monitoring,) = free_ports(1)
    given = {
        "fluent_bit_data_dir": str(folder / "data"),
        "fluent_bit_listen_port": port,
        "fluent_bit_monitoring_port": monitoring,
        "fluent_bit_config_format": form,
        **values,
    }
    name = "stowage.conf" if form == "classic" else "stowage.yaml"
    (folder / name).write_text(rendered("fluent_bit", name, given))
    for part in ("engine", "uploads"):
        (folder / "data" / part).mkdir(parents=True, exist_ok=True)
    environment = environment_in(rendered("fluent_bit", "fluent-bit.env", given))
    return Sink(Program([binary, "-c", str(folder / name)], folder, environment), port)


@dataclass
class Store:
    """RustFS, the real one or its double; the root key is in ``settings``."""

    program: Program
    settings: S3Settings
    queue: Path

    def waiting(self) -> int:
        """How many events wait for the sink in the queue folder."""
        return sum(1 for one in self.queue.rglob("*") if one.is_file())


def store(command: Sequence[str], folder: Path, key: tuple[str, str] = ROOT_KEY, **values: Any) -> Store:
    """RustFS as role rustfs configures it and its unit starts it: root key in files, folders made before.

    Args:
        command: The program.
        folder: For data, keys and log.
        key: Root key.
        values: ``rustfs_*`` variables; port and folders are chosen here where they are not given.
    """
    (port,) = free_ports(1)
    given: dict[str, Any] = {
        "rustfs_data_dirs": [str(folder / "data")],
        "rustfs_listen_port": port,
        "rustfs_log_dir": str(folder / "logs"),
        **values,
    }
    environment = environment_in(rendered("rustfs", "rustfs.env", given))
    queue = Path(evaluated("rustfs", "rustfs_queue_dir", given))
    made = [*map(Path, given["rustfs_data_dirs"]), Path(given["rustfs_log_dir"]), folder / "keys"]
    # A folder of one's own is the operator's business.
    for one in made if "rustfs_queue_dir" in given else [*made, queue]:
        one.mkdir(parents=True, exist_ok=True)
    for name, value in zip(("access_key", "secret_key"), key, strict=True):
        file = folder / "keys" / name
        file.write_text(value)
        file.chmod(0o600)
        environment[f"RUSTFS_{name.upper()}_FILE"] = str(file)
    endpoint = f"http://{environment['RUSTFS_ADDRESS']}"
    settings = S3Settings(endpoint=endpoint, access_key=key[0], secret_key=key[1], read_timeout=30)
    return Store(Program(command, folder, environment), settings, queue)
