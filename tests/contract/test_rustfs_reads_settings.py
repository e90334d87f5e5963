"""What role rustfs renders does what it is rendered for, on the real program and on its double."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from modules import connection, run
from role_programs import ROOT_KEY, RUSTFS_DOUBLE, Program, store
from servers import free_ports, wait_until_it_stores
from sink import receiving

from stowage.s3.connection import S3Settings, s3_client


@pytest.fixture(params=["double", "rustfs"])
def name(request: pytest.FixtureRequest) -> str:
    """Which program."""
    if request.param == "rustfs" and not os.environ.get("STOWAGE_RUSTFS_BIN"):
        pytest.skip("needs STOWAGE_RUSTFS_BIN")
    return str(request.param)


@dataclass
class Running:
    """A server that was started with a rendered environment, as systemd would."""

    settings: S3Settings
    program: Program
    process: subprocess.Popen[bytes]
    words: socket.socket

    @property
    def log(self) -> str:
        return self.program.log()

    def said_ready(self, seconds: float = 60) -> bool:
        self.words.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            # Words on its status may come before.
            while b"READY=1" not in self.words.recv(1024):
                pass
            return True
        return False


@contextlib.contextmanager
def started(name: str, folder: Path, variables: dict[str, Any], key: tuple[str, str] = ROOT_KEY) -> Iterator[Running]:
    command = RUSTFS_DOUBLE if name == "double" else [os.environ["STOWAGE_RUSTFS_BIN"]]
    made = store(command, folder, key, **variables)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as words:
        words.bind(str(folder / "notify"))
        made.program.environment["NOTIFY_SOCKET"] = str(folder / "notify")
        with made.program.running() as process:
            yield Running(made.settings, made.program, process, words)


def targets(running: Running) -> list[dict[str, str]]:
    found: list[dict[str, str]] = run("s3_server_info", connection(running.settings, "rustfs"))["targets"]
    return found


def ready(running: Running) -> None:
    wait_until_it_stores(running.settings, running.process, running.program.folder / "log")


def bound_bucket(running: Running) -> str:
    s3_client(running.settings).create_bucket(Bucket="assets")
    binding = {"arn": "arn:rustfs:sqs::qatlas:webhook", "events": ["put"]}
    asked = {"name": "assets", "bindings": [binding], "allow_offline": True}
    run("s3_notification", {**connection(running.settings, "rustfs"), **asked})
    return "assets"


def test_it_starts_on_what_is_rendered_and_tells_systemd_so(name: str, tmp_path: Path) -> None:
    with started(name, tmp_path, {}) as running:
        assert running.said_ready(), running.log
        ready(running)
        info = run("s3_server_info", connection(running.settings, "rustfs"))
        assert info["version"] == "1.0.0-beta.5"
        assert info["ready"] is True
        assert info["details"]["drives"] == [str(tmp_path / "data")]


def test_the_root_key_comes_from_a_file_and_is_not_in_the_environment(name: str, tmp_path: Path) -> None:
    with started(name, tmp_path, {}) as running:
        ready(running)
        told = Path(f"/proc/{running.process.pid}/environ").read_text()
        assert ROOT_KEY[1] not in told
        assert "RUSTFS_SECRET_KEY_FILE=" in told


def test_a_target_named_in_upper_case_is_online_in_lower_case(name: str, tmp_path: Path) -> None:
    with receiving() as sink:
        endpoint = f"http://127.0.0.1:{sink.port}/"
        with started(name, tmp_path, {"rustfs_event_targets": [{"name": "QATLAS", "endpoint": endpoint}]}) as running:
            ready(running)
            assert targets(running) == [{"arn": "arn:rustfs:sqs::qatlas:webhook", "status": "online"}]


def test_events_wait_in_the_queue_while_the_receiver_is_away(name: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    target = {"name": "qatlas", "endpoint": f"http://127.0.0.1:{port}/"}
    with started(name, tmp_path, {"rustfs_event_targets": [target]}) as running:
        ready(running)
        assert targets(running)[0]["status"] == "offline"
        s3_client(running.settings).put_object(Bucket=bound_bucket(running), Key="kept", Body=b"x")
        queue = tmp_path / "data" / ".notify-events" / "rustfs-webhook-qatlas"
        deadline = time.monotonic() + 30
        while not list(queue.glob("*.event*")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert list(queue.glob("*.event*")), running.log
        with receiving(port) as sink:
            assert sink.wait_for(lambda event: event["Key"] == "assets/kept", seconds=90), running.log


def test_a_target_whose_queue_cannot_be_written_is_dropped(name: str, tmp_path: Path) -> None:
    """The trap that the role's own folder closes: the server starts, and nothing ever arrives."""
    (tmp_path / "file").touch()
    with receiving() as sink:
        target = {"name": "qatlas", "endpoint": f"http://127.0.0.1:{sink.port}/"}
        given = {"rustfs_event_targets": [target], "rustfs_queue_dir": str(tmp_path / "file" / "queue")}
        with started(name, tmp_path, given) as running:
            ready(running)
            assert targets(running) == [{"arn": "arn:rustfs:sqs::qatlas:webhook", "status": "offline"}]


def test_folders_on_one_disk_are_refused_by_the_server_too(name: str, tmp_path: Path) -> None:
    folders = [str(tmp_path / f"d{number}") for number in range(2)]
    with started(name, tmp_path, {"rustfs_data_dirs": folders}) as running:
        assert running.process.wait(60) != 0
        assert "device" in running.log or "disk" in running.log


def test_folders_on_one_disk_work_where_a_trial_allows_them(name: str, tmp_path: Path) -> None:
    folders = [str(tmp_path / f"d{number}") for number in range(4)]
    with started(name, tmp_path, {"rustfs_data_dirs": folders, "rustfs_allow_same_device": True}) as running:
        ready(running)
        info = run("s3_server_info", connection(running.settings, "rustfs"))
        assert sorted(info["details"]["drives"]) == folders


def test_what_was_stored_is_there_after_a_restart(name: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with started(name, first, {}) as running:
        ready(running)
        s3_client(running.settings).create_bucket(Bucket="assets")
        s3_client(running.settings).put_object(Bucket="assets", Key="kept", Body=b"bytes")
    shutil.move(first / "data", second / "data")
    shutil.rmtree(second / "data" / ".notify-events")
    with started(name, second, {}) as running:
        ready(running)
        assert s3_client(running.settings).get_object(Bucket="assets", Key="kept")["Body"].read() == b"bytes"


def test_the_published_keys_are_refused_by_the_server_too(name: str, tmp_path: Path) -> None:
    """It ends before it listens, so nothing is offered on that address."""
    published = ("rustfsadmin", "rustfsadmin")
    with started(name, tmp_path, {"rustfs_listen_address": "0.0.0.0"}, published) as running:
        assert running.process.wait(60) != 0
        assert "Default root credentials are not allowed on non-loopback" in running.log
