"""Task files are short and say in full which module they call."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.utils.collection_loader import AnsibleCollectionRef
from packaging.specifiers import SpecifierSet
from repository import ROLES, ROOT, load, tasks_in

TASK_FILES = sorted(path for role in ROLES for kind in ("tasks", "handlers") for path in (role / kind).glob("*.yml"))
PLAYBOOKS = sorted([*(ROOT / "playbooks").rglob("*.yml"), *ROOT.glob("site.yml")])
OWN = {path.stem for path in (ROOT / "library").glob("*.py")}
KEYWORDS = {
    "name", "when", "loop", "loop_control", "register", "vars", "notify", "tags", "become", "become_user", "no_log",
    "changed_when", "failed_when", "check_mode", "diff", "delegate_to", "delegate_facts", "run_once", "until",
    "retries", "delay", "environment", "listen", "args", "ignore_errors", "ignore_unreachable", "any_errors_fatal",
    "connection", "module_defaults", "throttle", "timeout", "async", "poll", "become_method", "remote_user",
}  # fmt: skip


def modules_of(task):
    return [key for key in task if key not in KEYWORDS and not key.startswith("with_")]


def all_tasks():
    for path in TASK_FILES:
        for task in tasks_in(load(path)):
            yield path, task
    for path in PLAYBOOKS:
        for play in load(path):
            for section in ("pre_tasks", "tasks", "post_tasks", "handlers"):
                for task in tasks_in(play.get(section)):
                    yield path, task


@pytest.mark.parametrize("path", TASK_FILES, ids=lambda path: str(path.relative_to(ROOT / "roles")))
def test_a_task_file_is_under_120_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 120


def test_every_task_has_a_name_and_one_module_by_its_full_name():
    wrong = []
    for path, task in all_tasks():
        modules = modules_of(task)
        full = len(modules) == 1 and (modules[0] in OWN or AnsibleCollectionRef.is_valid_fqcr(modules[0]))
        if not full or not task.get("name"):
            wrong.append((str(path.relative_to(ROOT)), task.get("name"), modules))
    assert wrong == []


def collections_used():
    """Collections of the modules that the tasks call, without the one that is part of ansible-core."""
    modules = (name for _, task in all_tasks() for name in modules_of(task) if "." in name)
    return {".".join(name.split(".")[:2]) for name in modules} - {"ansible.builtin"}


def installed_collections():
    """Versions by name, from ansible-galaxy itself."""
    listed = subprocess.run(
        [Path(sys.executable).with_name("ansible-galaxy"), "collection", "list", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    folders = json.loads(listed.stdout).values()
    return {name: entry["version"] for folder in folders for name, entry in folder.items()}


def test_the_collections_that_tasks_call_are_required():
    required = {entry["name"] for entry in load(ROOT / "requirements.yml")["collections"]}
    assert collections_used() - required == set()


def test_the_installed_collections_fit_the_requirements():
    installed = installed_collections()
    for entry in load(ROOT / "requirements.yml")["collections"]:
        assert installed.get(entry["name"], "none") in SpecifierSet(entry["version"]), entry["name"]
