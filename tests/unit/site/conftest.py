"""A good site as plain data, and the project's own rules, for the tests to spoil one thing at a time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from example_site import COMMON, GROUPS, REPOSITORY, good_hosts
from plays import Play

from stowage.site.check import check_site
from stowage.site.model import Rules, Secret, Site
from stowage.site.names import known_names


@pytest.fixture(scope="session")
def rules() -> Rules:
    """The rules that roles/preflight hands to site_check."""
    data = yaml.safe_load((REPOSITORY / "roles/preflight/vars/main.yml").read_text(encoding="utf-8"))
    known, prefixes = known_names(REPOSITORY / "roles")
    secrets = tuple(
        Secret(**{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()})
        for entry in data["_preflight_secrets"]
    )
    return Rules(
        # The names that the file service's role takes, said here so that these tests stand without that role.
        known=frozenset(known | set(data["_preflight_site_variables"]) | set(COMMON)),
        prefixes=frozenset(prefixes | set(data["_preflight_prefixes"])),
        secrets=secrets,
        together=tuple(map(tuple, data["_preflight_together"])),
    )


@pytest.fixture
def faults(rules: Rules) -> Callable[..., list[str]]:
    """Check the good site with some values changed; a value of ``...`` takes the variable away."""

    def run(*spoilt: tuple[str, str, Any], groups: dict[str, list[str]] | None = None, **fields: Any) -> list[str]:
        hosts = good_hosts()
        for host, name, value in spoilt:
            for target in hosts if host == "*" else [host]:
                if value is ...:
                    del hosts[target][name]
                else:
                    hosts[target][name] = value
        site = Site("inventories/mine", groups or GROUPS, hosts, **fields)
        return [str(problem) for problem in check_site(site, rules)]

    return run


@pytest.fixture(scope="session")
def filled_example(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """inventories/example with its placeholders filled and its secrets made by secrets_init, for copying."""
    play = Play.of("example", tmp_path_factory.mktemp("example")).fill()
    made = play.run("playbooks/ops/secrets_init.yml")
    assert made.returncode == 0, made.stdout
    return play


@pytest.fixture
def mine(filled_example: Play, tmp_path: Path) -> Play:
    """A copy of the filled example for one test to spoil."""
    shutil.copytree(filled_example.folder, tmp_path / "site", symlinks=True)
    play = Play(tmp_path / "site", tmp_path / "site" / "inventories" / "example")
    ssh = play.folder / "ssh"
    ssh.write_text(ssh.read_text().replace(str(filled_example.folder), str(play.folder)))
    return play
