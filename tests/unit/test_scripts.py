"""The shell scripts: a stage that fails must fail the run."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "scripts" / "lib.sh"


def run(line: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    script = f"set -euo pipefail; source {LIB}; state={tmp_path}; {line}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)


def test_a_failed_stage_ends_as_it_failed(tmp_path):
    assert run("stage one bash -c 'exit 3'; echo reached", tmp_path).returncode == 3


def test_a_failed_stage_is_seen_where_the_run_goes_on(tmp_path):
    done = run(
        "failed=(); stage one false || failed+=(one); stage two true || failed+=(two); echo ${failed[*]}", tmp_path
    )
    assert done.stdout == "one\n"


def test_every_stage_is_timed_also_a_failed_one(tmp_path):
    run("stage one false || true; stage two true", tmp_path)
    assert [line.split("\t")[0] for line in (tmp_path / "stages.tsv").read_text().splitlines()] == ["one", "two"]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # `make test` hands on that it is a make, and the one below would say which folder it enters.
    alone = {name: value for name, value in os.environ.items() if name not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=alone, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("target", ["show", "site", "secrets", "e2e"])
def test_a_site_that_is_not_there_is_one_line_with_the_way_out(target):
    done = make(target, "SITE=nosuch")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "SITE=nosuch" in done.stderr
    assert f"fix: make {target} SITE=inventories/lab" in done.stderr


@pytest.mark.parametrize("target", ["show", "site", "secrets", "e2e"])
def test_a_site_named_without_its_folder_is_recognised(target):
    assert f"fix: make {target} SITE=inventories/example" in make(target, "SITE=example").stderr


def test_a_site_without_a_vault_is_told_how_to_make_one(tmp_path):
    (tmp_path / "hosts.yml").touch()
    done = make("secrets", f"SITE={tmp_path}")
    assert done.stderr.count("\n") == 1
    assert f"playbooks/ops/secrets_init.yml -i {tmp_path}" in done.stderr


def test_a_scenario_that_is_not_there_is_one_line():
    # A dry run: the prerequisites install nothing.
    done = make("--dry-run", "molecule", "SCENARIO=nosuch")
    assert done.returncode == 2
    assert "no scenario nosuch; right: one of" in done.stderr


def test_show_says_by_itself_that_there_is_no_such_site():
    done = subprocess.run(["scripts/show", "nosuch"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == "nosuch is no site; right: a folder with hosts.yml; fix: scripts/show inventories/lab\n"


def test_git_ignores_sites_of_ones_own_and_keeps_ours():
    def ignored(path: str) -> bool:
        return subprocess.run(["git", "check-ignore", "-q", "--no-index", path], cwd=ROOT, check=False).returncode == 0

    assert ignored("inventories/mine/hosts.yml")
    assert ignored("inventories/office/group_vars/all/site.yml")
    ours = ["wiring.yml", *(f"{name}/host_vars/new.yml" for name in ("example", "lab", "single"))]
    assert [path for path in ours if ignored(f"inventories/{path}")] == []
    assert ignored("inventories/example/group_vars/all/vault.yml")
