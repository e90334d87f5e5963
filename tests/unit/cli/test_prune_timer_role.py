"""The role prune_timer: what lands on a host, rendered by Ansible itself and judged by sh and systemd."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]


def rendered(folder: Path, **variables: Any) -> dict[str, str]:
    role = ROOT / "roles" / "prune_timer"
    play = [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars_files": [str(role / "defaults" / "main.yml"), str(role / "vars" / "main.yml")],
            "vars": {"role_path": str(role)},
            "tasks": [
                {
                    "ansible.builtin.template": {"src": str(template), "dest": str(folder / template.stem)},
                    "name": template.stem,
                }
                for template in sorted((role / "templates").glob("*.j2"))
            ],
        }
    ]
    (folder / "play.json").write_text(json.dumps(play))
    (folder / "vault").write_text("x")
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            "localhost,",
            "-e",
            json.dumps(variables),
            str(folder / "play.json"),
        ],
        check=False,
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_VAULT_PASSWORD_FILE": str(folder / "vault"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {
        name: (folder / name).read_text() for name in ("stowage-prune", "stowage-prune.service", "stowage-prune.timer")
    }


def test_the_timer_only_tells_until_it_is_allowed_to_delete(tmp_path: Path) -> None:
    service = rendered(tmp_path)["stowage-prune.service"]
    assert "--yes" not in service
    assert '"--older-than" "90d" "--keep-last" "5" "--max-delete" "10000"' in service
    assert "DynamicUser=yes" in service
    # Not by LoadCredential, whose folder the unit's user cannot open in a container (docs/quirks.md).
    assert "EnvironmentFile=/etc/stowage/prune.env" in service


def test_it_runs_as_the_services_user_with_the_services_settings(tmp_path: Path) -> None:
    found = rendered(
        tmp_path,
        prune_timer_user="qatlas",
        prune_timer_apply=True,
        prune_timer_kind="pdf",
        prune_timer_prefix="50%/a b'c",
        prune_timer_storage="nas",
    )
    assert "User=qatlas" in found["stowage-prune.service"]
    assert '"--yes"' in found["stowage-prune.service"]
    # systemd would take a bare % for a specifier.
    assert '"50%%/a b\'c"' in found["stowage-prune.service"]
    assert "--property=User=qatlas" in found["stowage-prune"]
    assert '--storage nas --kind pdf "$@"' in found["stowage-prune"]
    assert "--yes" not in found["stowage-prune"].split("exec systemd-run")[1]
    subprocess.run(["sh", "-n", str(tmp_path / "stowage-prune")], check=True)


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    judge = shutil.which("systemd-analyze")
    if not judge:
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    rendered(tmp_path, prune_timer_user="root")
    for unit in ("stowage-prune.service", "stowage-prune.timer"):
        done = subprocess.run(
            [judge, "verify", "--man=no", str(tmp_path / unit)], check=False, capture_output=True, text=True
        )
        about_us = [
            line for line in done.stderr.splitlines() if "stowage-prune" in line and "not executable" not in line
        ]
        assert about_us == []


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By case, what the role's first step says, with the role's own defaults; one run answers for all."""
    folder = tmp_path_factory.mktemp("refusals")
    role = ROOT / "roles" / "prune_timer"
    (check, *_) = yaml.safe_load((role / "tasks" / "main.yml").read_text())
    empty = {"prune_timer_older_than": "", "prune_timer_keep_last": 0}
    cases = {
        "empty": {**empty, "prune_timer_apply": True},
        "tells only": {**empty, "prune_timer_apply": False},
        "age": {**empty, "prune_timer_apply": True, "prune_timer_older_than": "90d"},
        "count": {**empty, "prune_timer_apply": True, "prune_timer_keep_last": 5},
        "all old is meant": {**empty, "prune_timer_apply": True, "prune_timer_all_old": True},
        "defaults": {"prune_timer_apply": True},
    }
    plays = [
        {
            "name": name,
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars_files": [str(role / "defaults" / "main.yml")],
            # A play that fails would end the run. Variables of a play would not win over its files.
            "tasks": [{**check, "vars": given, "ignore_errors": True}],
        }
        for name, given in cases.items()
    ]
    (folder / "play.json").write_text(json.dumps(plays))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", folder / "play.json"],
        check=True,
        cwd=folder,
        env=os.environ | {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        capture_output=True,
        text=True,
    )
    answers = {
        play["play"]["name"]: play["tasks"][0]["hosts"]["localhost"] for play in json.loads(done.stdout)["plays"]
    }
    return {name: answer["msg"] if answer.get("failed") else "" for name, answer in answers.items()}


def test_a_timer_that_deletes_without_a_filter_is_refused(refusals: dict[str, str]) -> None:
    assert "there is no filter, so every old version would go" in refusals["empty"]
    assert "prune_timer_all_old: true where that is meant" in refusals["empty"]
    assert {name for name, said in refusals.items() if said} == {"empty"}
