"""The shell scripts: a stage that fails must fail the run."""

import subprocess
from pathlib import Path

LIB = Path(__file__).resolve().parents[2] / "scripts" / "lib.sh"


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
