"""Which PostgreSQL a host gets: the one whose cluster is there, else that of its release; never a second beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from repository import ROOT

ROLE = ROOT / "roles" / "postgresql"
DEBIAN_13 = {"distribution": "Debian", "distribution_major_version": "13", "distribution_version": "13.2"}
UBUNTU = {"distribution": "Ubuntu", "distribution_major_version": "24", "distribution_version": "24.04"}
ARCH = {"distribution": "Archlinux", "distribution_major_version": "NA", "distribution_version": "rolling"}
CASES = {
    "debian 12": ({"distribution": "Debian", "distribution_major_version": "12"}, [], ""),
    "debian 13": (DEBIAN_13, [], ""),
    "ubuntu": (UBUNTU, [], ""),
    "unknown": (ARCH, [], ""),
    "asked for": (DEBIAN_13, [], "16"),
    "upgraded host": (DEBIAN_13, ["/etc/postgresql/15/main/postgresql.conf"], ""),
    "another cluster than asked for": (DEBIAN_13, ["/etc/postgresql/15/main/postgresql.conf"], "17"),
    "two clusters": (DEBIAN_13, [f"/etc/postgresql/{version}/main/postgresql.conf" for version in (15, 17)], ""),
    "a cluster of another name": (DEBIAN_13, ["/etc/postgresql/15/other/postgresql.conf"], ""),
}


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """By case: the version, and whether the role goes on with the clusters that are there."""
    folder = tmp_path_factory.mktemp("postgresql")
    tasks = [
        {
            "name": name,
            "ansible.builtin.debug": {
                "msg": {
                    "version": "{{ _postgresql_version }}",
                    "goes_on": "{{ _postgresql_clusters in ([], [_postgresql_version]) }}",
                }
            },
            "vars": {
                "ansible_facts": facts,
                "postgresql_version": version,
                "_postgresql_there": {"files": [{"path": path} for path in paths]},
            },
        }
        for name, (facts, paths, version) in CASES.items()
    ]
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROLE / kind / "main.yml") for kind in ("defaults", "vars")],
        "tasks": tasks,
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local", folder / "play.yml"],
        cwd=folder,
        env=os.environ | {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        capture_output=True,
        text=True,
        check=True,
    )
    told = [task for play in json.loads(done.stdout)["plays"] for task in play["tasks"]]
    return {task["task"]["name"]: task["hosts"]["localhost"]["msg"] for task in told}


@pytest.mark.parametrize(
    ("case", "version"),
    [
        ("debian 12", "15"),
        ("debian 13", "17"),
        ("ubuntu", "16"),
        ("asked for", "16"),
        ("upgraded host", "15"),
        ("a cluster of another name", "17"),
    ],
)
def test_the_version_is_that_of_the_cluster_else_of_the_release(case, version, chosen):
    assert chosen[case] == {"version": version, "goes_on": True}


def test_an_unknown_release_is_not_guessed(chosen):
    assert chosen["unknown"]["version"] == ""


@pytest.mark.parametrize("case", ["another cluster than asked for", "two clusters"])
def test_no_second_cluster_is_made_beside_the_one_with_the_rows(case, chosen):
    assert chosen[case]["goes_on"] is False
