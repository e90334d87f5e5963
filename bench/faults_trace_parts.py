"""The real programs of the event trace on loopback, with the configuration that the roles render.

Used by `bench/faults_trace.py` and by the contract tests. Each program can be killed and started again with the same
folders, as systemd would.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.collection_loader import AnsibleCollectionConfig

ROOT = Path(__file__).parents[1]
TARGET = "qatlas"


def trusted(value: Any) -> Any:
    """The value with every text in it marked as a template, as if Ansible had loaded it."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, Mapping):
        return {key: trusted(one) for key, one in value.items()}
    return [trusted(one) for one in value] if isinstance(value, list) else value


def variables_of(role: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A role's defaults and private variables, and these values, which win."""
    found: dict[str, Any] = {"ansible_managed": "Ansible managed", "role_path": str(ROOT / "roles" / role)}
    for kind in ("defaults", "vars"):
        file = ROOT / "roles" / role / kind / "main.yml"
        if file.is_file():
            found |= trusted(yaml.safe_load(file.read_text()) or {})
    return found | dict(values)


def rendered(role: str, template: str, values: Mapping[str, Any]) -> str:
    """A template of a role, rendered with the role's defaults and these values.

    Args:
        role: Name of the role.
        template: File under its ``templates``, without ``.j2``.
        values: What an inventory would set; wins over the defaults.
    """
    return render_file(ROOT / "roles" / role / "templates" / f"{template}.j2", variables_of(role, values))


def evaluated(role: str, name: str, values: Mapping[str, Any]) -> Any:
    """One variable of a role, worked out with these values."""
    variables = variables_of(role, values)
    return Templar(loader=DataLoader(), variables=variables).template(variables[name])


def render_file(path: Path, variables: Mapping[str, Any]) -> str:
    """A template with these variables, by Ansible's own engine."""
    if AnsibleCollectionConfig.collection_finder is None:
        init_plugin_loader()  # or there are no lookups
    made = Templar(loader=DataLoader(), variables=dict(variables)).template(trust_as_template(path.read_text()))
    return made if isinstance(made, str) else json.dumps(made)


def environment_in(text: str) -> dict[str, str]:
    """The variables of a rendered environment file."""
    lines = [line for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#")]
    return {name: value.strip().strip("'\"") for name, value in (line.split("=", 1) for line in lines)}


def free_port() -> int:
    """A port that is free on loopback now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Program:
    """A program that can be stopped, killed and started again.

    Attributes:
        command: What to run.
        folder: Its working folder; the output goes to ``log`` in it.
        environment: Besides PATH and HOME.
        kills: How often it was killed.
    """

    command: list[str]
    folder: Path
    environment: dict[str, str]
    kills: int = 0
    exits: list[int] = field(default_factory=list)
    _running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; nobody waits for it to listen."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._running = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def end(self, how: signal.Signals = signal.SIGTERM, seconds: float = 60) -> int:
        """Send the signal to this one process and wait until it is gone; its exit code."""
        if self._running is None:
            return 0
        if self._running.poll() is None:
            self._running.send_signal(how)
            try:
                self._running.wait(seconds)
            except subprocess.TimeoutExpired:
                self._running.kill()
                self._running.wait()
        self.kills += how is signal.SIGKILL
        self.exits.append(self._running.returncode)
        return self._running.returncode

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._running is not None and self._running.poll() is None

    def log(self, lines: int = 30) -> str:
        """The end of what it said."""
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-lines:])

    @contextlib.contextmanager
    def running(self) -> Iterator[Program]:
        """Run for the length of the block."""
        self.start()
        try:
            yield self
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
    raise RuntimeError(f"nothing listens on port {port}\n{program.log()}")


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
    given = {
        "fluent_bit_data_dir": str(folder / "data"),
        "fluent_bit_listen_port": port,
        "fluent_bit_monitoring_port": free_port(),
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
    """The real RustFS with an event target."""

    program: Program
    port: int
    access_key: str
    secret_key: str
    queue: Path

    def waiting(self) -> int:
        """How many events wait for the sink in the queue folder."""
        return sum(1 for one in self.queue.rglob("*") if one.is_file())

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"


def store(binary: str, folder: Path, sink_port: int, target: str = TARGET, **values: Any) -> Store:
    """RustFS as role rustfs configures it, with one disk and one event target.

    Args:
        binary: The program.
        folder: For data, keys and log.
        sink_port: Where it posts its events.
        target: Name of the event target.
        values: Further ``rustfs_*`` variables.
    """
    data, keys = folder / "data", folder / "keys"
    for one in (data, data / ".notify-events", keys, folder / "logs"):
        one.mkdir(parents=True, exist_ok=True)
    port, access_key, secret_key = free_port(), "trace-root", os.urandom(16).hex()
    given = {
        "inventory_dir": str(folder),
        "inventory_hostname": "bench",
        "rustfs_data_dirs": [str(data)],
        "rustfs_listen_port": port,
        "rustfs_log_dir": str(folder / "logs"),
        "rustfs_event_targets": [{"name": target, "endpoint": f"http://127.0.0.1:{sink_port}/"}],
        **values,
    }
    environment = environment_in(rendered("rustfs", "rustfs.env", given))
    for name, value in (("access_key", access_key), ("secret_key", secret_key)):
        file = keys / name
        file.write_text(value)
        file.chmod(0o600)
        environment[f"RUSTFS_{name.upper()}_FILE"] = str(file)
    return Store(Program([binary], folder, environment), port, access_key, secret_key, data / ".notify-events")
