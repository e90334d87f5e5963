"""What the role and its judge lean on, asked of the stub and, where it is at hand, of the real program alike."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from modules import ROOT

from stowage.site.qatlasd import Boot, judge_boot, judge_health

KEYS = {"QATLAS_S3_ACCESS_KEY_ID": "a", "QATLAS_S3_SECRET_ACCESS_KEY": "s"}
NAMES = {f"QATLAS_S3_BUCKET_{kind}": f"qatlas-{kind.lower()}" for kind in ("PDF", "MD", "IMAGES")}
RUNNING = {"LoadState": "loaded", "ActiveState": "active"}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class Qatlasd:
    """A program with its settings in a folder of its own."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.data = folder / "pb_data"
        self.env = folder / ".env"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "QATLAS_DOTENV": str(self.env),
            "QATLAS_PB_DATA_DIR": str(self.data),
            "QATLAS_WIKI_DIR": str(folder / "wiki"),
        }
        self.started: list[subprocess.Popen[str]] = []

    def settings(self, **values: str) -> None:
        self.env.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))

    def run(self, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def serve(self, port: int) -> subprocess.CompletedProcess[str]:
        return self.run("serve", f"--http=127.0.0.1:{port}", f"--dir={self.data}")

    def start(self) -> str:
        port = free_port()
        with (self.folder / "log").open("w") as log:
            process = subprocess.Popen(
                [self.program, "serve", f"--http=127.0.0.1:{port}", f"--dir={self.data}"],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.started.append(process)
        return f"http://127.0.0.1:{port}"

    def health(self, url: str) -> dict[str, Any]:
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"{url}/api/health", timeout=30) as answer:
                    return {"code": answer.status, "body": answer.read().decode()}
            except OSError:
                time.sleep(0.25)
        pytest.fail((self.folder / "log").read_text())

    @property
    def said(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()


@pytest.fixture(params=["stub", "real"])
def qatlasd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Qatlasd]:
    program = str(ROOT / "tests" / "doubles" / "qatlasd_stub")
    if request.param == "real":
        program = os.environ.get("STOWAGE_QATLASD_BIN", "")
        if not program:
            pytest.skip("needs STOWAGE_QATLASD_BIN, a qatlasd from 0.16.0 to 0.21")
    found = Qatlasd(program, tmp_path)
    yield found
    for process in found.started:
        process.kill()
        process.wait()


def test_the_version_is_printed_without_a_v(qatlasd: Qatlasd) -> None:
    assert re.fullmatch(r"qatlasd version \d+\.\d+\.\d+\S*\n", qatlasd.run("--version").stdout)


def test_a_half_set_store_ends_it_with_exit_code_0_and_the_cause_on_standard_output(qatlasd: Qatlasd) -> None:
    qatlasd.settings(QATLAS_S3_ENDPOINT="http://127.0.0.1:1", QATLAS_S3_BUCKET_PDF="b-pdf")
    done = qatlasd.serve(free_port())
    assert done.returncode == 0
    assert done.stdout.startswith("Error: after CLI flag overrides: object storage half-configured: ")


def test_an_address_in_use_ends_it_with_exit_code_0_and_the_cause_on_standard_output(qatlasd: Qatlasd) -> None:
    qatlasd.settings()
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        done = qatlasd.serve(port)
    assert done.returncode == 0
    assert f"Error: listen tcp 127.0.0.1:{port}: bind: address already in use" in done.stdout


def test_a_short_system_token_ends_it(qatlasd: Qatlasd) -> None:
    qatlasd.settings(QATLAS_SYSTEM_PAT="short")
    assert "Error: system PAT: QATLAS_SYSTEM_PAT is too short" in qatlasd.serve(free_port()).stdout


def test_a_file_that_cannot_be_read_leaves_it_with_a_local_folder_and_the_judge_refuses_that(qatlasd: Qatlasd) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    qatlasd.settings(QATLAS_S3_ENDPOINT=endpoint, **NAMES, **KEYS | {"QATLAS_S3_SECRET_ACCESS_KEY": "s3cret\\"})
    health = qatlasd.health(qatlasd.start())
    assert judge_health({"unit": RUNNING, "health": health}).state == "good"
    problems = judge_boot(qatlasd.said, Boot(str(qatlasd.env), endpoint, tuple(NAMES.values())))
    assert "it keeps files in a local folder instead of the store" in problems
    assert any(f"it could not read {qatlasd.env}" in problem for problem in problems), problems
    assert not any("s3cret" in problem for problem in problems)


def test_a_local_folder_boots_as_expected_and_stops_on_sigint(qatlasd: Qatlasd) -> None:
    qatlasd.settings(QATLAS_EDGE_NAME="box")
    assert judge_health({"unit": RUNNING, "health": qatlasd.health(qatlasd.start())}).state == "good"
    assert judge_boot(qatlasd.said, Boot(str(qatlasd.env), data_dir=str(qatlasd.data))) == []
    qatlasd.started[0].send_signal(signal.SIGINT)
    assert qatlasd.started[0].wait(20) == 0


def test_with_its_store_down_it_answers_200_and_is_not_called_ready(qatlasd: Qatlasd) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    qatlasd.settings(QATLAS_S3_ENDPOINT=endpoint, **NAMES, **KEYS)
    health = qatlasd.health(qatlasd.start())
    assert health["code"] == 200
    assert json.loads(health["body"])["data"]["checks"]["rawstore"]["status"] == "error"
    assert judge_health({"unit": RUNNING, "health": health}).state == "wait"
    problems = judge_boot(qatlasd.said, Boot(str(qatlasd.env), endpoint, tuple(NAMES.values()), "", str(qatlasd.data)))
    assert len(problems) == 3
    assert all("reconcile failed; overwrites will not be recoverable" in problem for problem in problems)


def test_prune_says_its_header_and_its_error_on_standard_output_and_exits_0(qatlasd: Qatlasd) -> None:
    qatlasd.settings(QATLAS_S3_ENDPOINT=f"http://127.0.0.1:{free_port()}", **NAMES, **KEYS)
    done = qatlasd.run("storage", "prune", "--keep-last=-1")
    assert (done.returncode, done.stdout) == (0, "Error: --keep-last must be >= 0\n")
    done = qatlasd.run("storage", "prune", "--json")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].endswith("/qatlas-pdf (kind=pdf)")
    assert "dry-run (pass --yes to apply)" in done.stdout
