"""The whole of a site's access through ansible-playbook: once, again, and nothing secret in what it prints."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from modules import ROOT
from servers import Server, seaweedfs

from stowage.s3.connection import s3_client

SECRET_OF_KEYS = "0123456789abcdefghij0123456789"


def bench() -> Any:
    """The play that ``bench/access.py`` times."""
    spec = importlib.util.spec_from_file_location("bench_access", ROOT / "bench" / "access.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def play(server: Server, folder: Path, *more: str) -> str:
    file = folder / "play.yml"
    file.write_text(json.dumps(bench().play(server)))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(file), *more],
        cwd=ROOT,
        env={**os.environ, "BENCH_SECRET": str(server.settings.secret_key), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def changed(printed: str) -> int:
    return int(printed.rpartition("changed=")[2].split()[0])


@pytest.mark.parametrize("name", ["double", "rustfs"])
def test_one_run_makes_it_and_the_next_changes_nothing(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server: Server = request.getfixturevalue(name)
    first = play(server, tmp_path, "--diff", "-vvv")
    second = play(server, tmp_path, "--check", "--diff", "-vvv")
    assert (changed(first) > 0, changed(second)) == (True, 0)
    buckets = {one["Name"] for one in s3_client(server.settings).list_buckets()["Buckets"]}
    assert {*bench().ASSETS, bench().EVENTS} <= buckets
    for printed in (first, second):
        assert str(server.settings.secret_key) not in printed
        assert SECRET_OF_KEYS not in printed


def test_check_mode_of_a_fresh_site_predicts_everything_without_a_server(tmp_path: Path) -> None:
    with seaweedfs(tmp_path / "gone") as server:
        nowhere = Server("gone", server.settings, "rustfs", tmp_path)
    plays = bench().play(nowhere)
    for defaults in plays[0]["module_defaults"].values():
        defaults.update({"check_unreachable": "assume_absent", "connect_timeout": 2, "max_attempts": 1})
    file = tmp_path / "fresh.yml"
    file.write_text(json.dumps(plays))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "--check", "--diff", str(file)],
        cwd=ROOT,
        env={**os.environ, "BENCH_SECRET": "x" * 20, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert changed(done.stdout) == 5
