"""What role rustfs renders for a host, started on loopback: the double as a program, or the real one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from servers import free_ports, process, program

from stowage.s3.connection import S3Settings

ROOT = Path(__file__).parents[2]
DOUBLE = ROOT / "tests" / "doubles" / "rustfs" / "rustfs"
KEY = ("AKIARENDERED", "not-the-published-secret")


def rendered(folder: Path, variables: Mapping[str, Any]) -> dict[str, str]:
    """The environment file of role rustfs, by a real ansible-playbook run, as systemd would read it."""
    role = ROOT / "roles" / "rustfs"
    source = str(role / "templates" / "rustfs.env.j2")
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "connection": "local",
        "vars_files": [str(role / kind / "main.yml") for kind in ("defaults", "vars")],
        "tasks": [{"ansible.builtin.template": {"src": source, "dest": str(folder / "env")}}],
    }
    (folder / "render.yml").write_text(yaml.safe_dump([play]))
    given = {"ansible_python_interpreter": program("python"), **variables}
    command = [program("ansible-playbook"), "-i", "localhost,", "-e", json.dumps(given), str(folder / "render.yml")]
    # From its own folder: no project settings, no fact cache.
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    return dict(re.findall(r'^(\w+)="(.*)"$', (folder / "env").read_text(), re.MULTILINE))


@dataclass
class Running:
    """A server that was started with a rendered environment."""

    settings: S3Settings
    folder: Path
    process: subprocess.Popen[bytes]
    words: socket.socket

    @property
    def log(self) -> str:
        """What it has printed."""
        return (self.folder / "log").read_text(errors="replace")

    def said_ready(self, seconds: float = 60) -> bool:
        """Whether it told systemd that it is ready."""
        self.words.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            # Words on its status may come before.
            while b"READY=1" not in self.words.recv(1024):
                pass
            return True
        return False


@contextlib.contextmanager
def started(name: str, folder: Path, variables: Mapping[str, Any], key: tuple[str, str] = KEY) -> Iterator[Running]:
    """Start it as the role's unit does: settings from the file, root keys as files, folders made before.

    Args:
        name: ``double``, or ``rustfs`` for the program that ``STOWAGE_RUSTFS_BIN`` names.
        folder: Empty folder for all of it.
        variables: Of role rustfs; port and folders are chosen here where they are not given.
        key: Root key.
    """
    (port,) = free_ports(1)
    given: dict[str, Any] = {
        "rustfs_listen_port": port,
        "rustfs_data_dirs": [str(folder / "data")],
        "rustfs_log_dir": str(folder / "logs"),
        **variables,
    }
    environment = rendered(folder, given)
    for place in [*given["rustfs_data_dirs"], given["rustfs_log_dir"]]:
        Path(place).mkdir(exist_ok=True)
    if "rustfs_queue_dir" not in given:
        (Path(given["rustfs_data_dirs"][0]) / ".notify-events").mkdir()
    for kind, value in zip(("ACCESS", "SECRET"), key, strict=True):
        file = folder / f"{kind.lower()}_key"
        file.write_text(value)
        environment[f"RUSTFS_{kind}_KEY_FILE"] = str(file)
    address = environment["RUSTFS_ADDRESS"]
    settings = S3Settings(endpoint=f"http://{address}", access_key=key[0], secret_key=key[1], read_timeout=30)
    command = [program("python"), str(DOUBLE)] if name == "double" else [os.environ["STOWAGE_RUSTFS_BIN"]]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as words:
        words.bind(str(folder / "notify"))
        with process(command, folder, {**environment, "NOTIFY_SOCKET": str(folder / "notify")}) as running:
            yield Running(settings, folder, running, words)
