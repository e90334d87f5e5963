"""The steps of _artifact that put back what ran before, run for real; systemctl and journalctl are doubles."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from repository import ROLES, ROOT, load, tasks_in

STARTED = sorted(role.name for role in ROLES if (role / "tasks").is_dir())
ANSWERS = ROOT / "roles/_artifact/files/answers.sh"


@dataclass
class Host:
    """A folder that stands for a host."""

    folder: Path

    def play(self, *, change: str, fails: bool, active: bool = True, no_way_back: str = "") -> str:
        """Keep, change the settings, start; return what Ansible said."""
        (self.folder / "active").unlink(missing_ok=True)
        if active:
            (self.folder / "active").touch()
        run = self.folder / "run.yml"
        argv = ["sh", "-c", "echo 'cannot be read' >&2; exit 1"] if fails else ["true"]
        run.write_text(yaml.safe_dump([{"name": "Wait until it is ready", "ansible.builtin.command": {"argv": argv}}]))
        common = {"_artifact_name": "thing", "_artifact_units": ["thing.service", "thing.socket"]}
        steps = [
            ("keep", {"_artifact_paths": [str(self.folder / name) for name in ("settings", "current", "fresh")]}),
            ("started", {"_artifact_run": str(run), "_artifact_no_way_back": no_way_back}),
        ]
        keep, started = [
            {"ansible.builtin.import_role": {"name": "_artifact", "tasks_from": name}, "vars": common | more}
            for name, more in steps
        ]
        changing = {"ansible.builtin.command": {"argv": ["sh", "-c", change], "chdir": str(self.folder)}}
        play = self.folder / "play.yml"
        play.write_text(
            yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [keep, changing, started]}])
        )
        ran = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local", play],
            cwd=ROOT,
            env=os.environ
            | {
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.folder / "facts"),
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_VAULT_PASSWORD_FILE": str(self.folder / "settings"),
                "FORMER_DIR": str(self.folder / "former"),
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode != 0) is fails, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    @property
    def restarted(self) -> list[str]:
        """The units that were restarted."""
        calls = (self.folder / "calls").read_text().splitlines() if (self.folder / "calls").exists() else []
        return [call.removeprefix("restart ") for call in calls if call.startswith("restart ")]


JOURNAL = (
    "bad port in postgresql://u:GEHEIM@h/d",
    "secret_key=GEHEIM",
    "Token: GEHEIM",
    "WARN found .env but could not load it path=/etc/thing/.env error=unterminated quoted value GEHEIM",
    "thing.service: Scheduled restart job, restart counter is at 2.",
    "exit 78",
)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    programs = {
        "systemctl": f'echo "$@" >>{tmp_path}/calls; [ "$1" != is-active ] || [ -e {tmp_path}/active ]',
        "journalctl": "printf '%s\\n' " + " ".join(f"'{line}'" for line in JOURNAL),
    }
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    for release in ("1", "2"):
        (tmp_path / "releases" / release).mkdir(parents=True)
    (tmp_path / "settings").write_text("old\n")
    (tmp_path / "settings").chmod(0o600)
    (tmp_path / "current").symlink_to("releases/1")
    return Host(tmp_path)


CHANGE = "echo new >settings; ln -sfn releases/2 current; echo x >fresh"


def test_what_ran_before_comes_back_and_the_journal_says_why_without_secrets(host: Host) -> None:
    told = host.play(change=CHANGE, fails=True)
    assert (host.folder / "settings").read_text() == "old\n"
    assert (host.folder / "settings").stat().st_mode & 0o777 == 0o600
    assert (host.folder / "current").readlink() == Path("releases/1")
    assert not (host.folder / "fresh").exists()
    assert host.restarted == ["thing.service", "thing.socket"]
    assert "thing does not run or does not answer: Wait until it is ready" in told
    assert "what ran before was put back and started" in told
    assert "exit 78" in [line.strip() for line in told.splitlines()]
    assert "Scheduled restart" not in told
    assert "GEHEIM" not in told


def test_what_answers_stays(host: Host) -> None:
    host.play(change=CHANGE, fails=False)
    assert (host.folder / "settings").read_text() == "new\n"
    assert (host.folder / "current").readlink() == Path("releases/2")
    assert host.restarted == []


def test_where_nothing_ran_before_what_was_placed_stays_for_a_look(host: Host) -> None:
    told = host.play(change=CHANGE, fails=True, active=False)
    assert "nothing ran before; what was placed stays as it is" in told
    assert (host.folder / "settings").read_text() == "new\n"
    assert host.restarted == []


def test_what_an_earlier_run_kept_does_not_come_back(host: Host) -> None:
    host.play(change=CHANGE, fails=False)
    host.play(change="echo newer >settings", fails=True, active=False)
    assert (host.folder / "settings").read_text() == "newer\n"


def test_nothing_is_put_back_where_there_is_no_way_back(host: Host) -> None:
    told = host.play(change=CHANGE, fails=True, no_way_back="this release has migrated the database")
    assert "nothing was put back: this release has migrated the database" in told
    assert (host.folder / "settings").read_text() == "new\n"


def test_a_port_is_waited_for_and_named_when_it_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        subprocess.run(["bash", ANSWERS, "5", f"127.0.0.1:{port}"], check=True)
    done = subprocess.run(["bash", ANSWERS, "0", f"127.0.0.1:{port}"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, f"nothing answers at 127.0.0.1:{port}\n")


def starts_a_unit(role: str) -> bool:
    """Whether some task file of the role starts a unit of its own."""
    for path in (ROOT / "roles" / role / "tasks").glob("*.yml"):
        for task in tasks_in(load(path)):
            unit = task.get("ansible.builtin.systemd_service", {})
            if unit.get("state") == "started":
                return True
    return False


@pytest.mark.parametrize("role", [name for name in STARTED if starts_a_unit(name)])
def test_every_role_that_starts_a_unit_can_go_back(role: str) -> None:
    steps = [
        task[module]["tasks_from"]
        for task in tasks_in(load(ROOT / "roles" / role / "tasks" / "main.yml"))
        for module in ("ansible.builtin.import_role", "ansible.builtin.include_role")
        if task.get(module, {}).get("name") == "_artifact" and "tasks_from" in task[module]
    ]
    assert steps.index("keep") < steps.index("started")
    # A unit that is started elsewhere would not be waited for.
    for path in (ROOT / "roles" / role / "tasks").glob("*.yml"):
        text = path.read_text()
        assert "state: started" not in text or path.name.startswith("run") or "docker" in text or "podman" in text, path
