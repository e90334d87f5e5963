"""playbooks/ops/restore.yml for a file of the file service: the service itself is asked, on the first app host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
UUID = "ab" * 32

_FAKE = """#!/bin/sh
printf '%s\\n' "$@" > "$FAKE_TOLD"
printf '%s' "$FILATOR_TOKEN" > "$FAKE_TOLD.token"
{answer}
"""


def play(folder: Path, variables: dict[str, Any], *flags: str, answer: str) -> subprocess.CompletedProcess[str]:
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "systemd-run").write_text(_FAKE.format(answer=answer))
    (programs / "systemd-run").chmod(0o755)
    (folder / "hosts.yml").write_text(
        json.dumps(
            {
                "all": {
                    "vars": {
                        "ansible_connection": "local",
                        "ansible_become": False,
                        "ansible_python_interpreter": sys.executable,
                    },
                    "children": {"app": {"hosts": {"edge-1": {}, "edge-2": {}}}},
                }
            }
        )
    )
    (folder / "vars.json").write_text(json.dumps(variables))
    (folder / "vault").write_text("x")
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "FAKE_TOLD": str(folder / "told"),
        "ANSIBLE_VAULT_PASSWORD_FILE": str(folder / "vault"),
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(folder / "hosts.yml")]
    command += ["-e", f"@{folder / 'vars.json'}", *flags, "playbooks/ops/restore.yml"]
    return subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)


DONE = """echo '{"uuid": "x", "version_id": "3f0c", "size": 5, "changed": true, "dry_run": false}'"""


def test_the_service_brings_its_file_back_with_its_own_settings(tmp_path: Path) -> None:
    given = {"restore_uuid": UUID, "restore_version_id": "3f0c", "stowage_service_token": "write-token"}
    done = play(tmp_path, given, answer=DONE)
    assert done.returncode == 0, done.stdout + done.stderr
    told = (tmp_path / "told").read_text().splitlines()
    assert told[-5:] == ["restore", UUID, "--json", "--version-id", "3f0c"]
    assert "--property=EnvironmentFile=/etc/filator/filator.env" in told
    # By name, not by value: the arguments of a process can be read by everybody on its host.
    assert "--setenv=FILATOR_TOKEN" in told
    assert (tmp_path / "told.token").read_text() == "write-token"
    assert "write-token" not in done.stdout + done.stderr
    assert "version_id: 3f0c" in done.stdout
    assert "changed=1" in done.stdout


def test_the_token_is_one_that_may_replace_files_of_others(tmp_path: Path) -> None:
    given = {"restore_uuid": UUID, "stowage_service_token": "verify-token", "vault_filator_token_admin": "admin-token"}
    done = play(tmp_path, given, answer=DONE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "told.token").read_text() == "admin-token"


def test_check_mode_asks_without_doing(tmp_path: Path) -> None:
    done = play(tmp_path, {"restore_uuid": UUID}, "--check", answer=DONE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "told").read_text().splitlines()[-1] == "--dry-run"


def test_the_service_says_why_it_does_not(tmp_path: Path) -> None:
    answer = "echo 'filator: there is no file' >&2; exit 1"
    done = play(tmp_path, {"restore_uuid": UUID}, answer=answer)
    assert done.returncode != 0
    assert "filator: there is no file" in done.stdout + done.stderr


@pytest.mark.parametrize("wrong", [{"restore_uuid": "abc"}, {"restore_uuid": UUID, "restore_key": "a"}])
def test_what_is_no_uuid_or_too_much_is_refused(tmp_path: Path, wrong: dict[str, str]) -> None:
    done = play(tmp_path, wrong, answer=DONE)
    assert done.returncode != 0
    assert "the 64 hex characters of the file's address" in " ".join((done.stdout + done.stderr).split())
    assert not (tmp_path / "told").exists()
