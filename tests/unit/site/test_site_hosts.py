from __future__ import annotations

import re
import subprocess
import time
from dataclasses import replace

import pytest

from stowage.site.hosts import HostNeeds, judge_host, look_script

NEEDS = HostNeeds(
    python="/usr/bin/python3",
    debian_versions=["12", "13"],
    max_clock_skew=60,
    data_dir="/var/lib",
    min_free_mb=1024,
    user="admin",
)
GOOD = {"skew": "1", "systemd": "yes", "python": "yes", "os": "debian 12", "free_mb": "1024"}


def judged(needs=NEEDS, **seen):
    output = "Welcome to nas1! a=b\n" + "".join(f"{name}={value}\n" for name, value in (GOOD | seen).items())
    return [str(problem) for problem in judge_host("nas1", output, "", needs)]


def test_a_good_host_has_no_problem():
    assert judged() == []


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({"python": "no"}, "no Python at /usr/bin/python3; right: Python 3.9 or newer; mend: ansible nas1 -b"),
        ({"systemd": "no"}, "systemd does not run here"),
        (
            {"os": "debian 11"},
            "debian 11 is none of the releases that the roles are for; right: debian 12 or debian 13",
        ),
        ({"os": "unknown"}, "unknown is none of the releases"),
        ({"skew": "61"}, "the clock differs by 61 s"),
        ({"skew": "-61"}, "the clock differs by -61 s"),
        ({"free_mb": "1023"}, "1023 MB free at /var/lib; right: at least 1024 MB"),
        ({"free_mb": ""}, "unknown MB free"),
    ],
)
def test_what_a_host_lacks_is_told_in_one_line(seen, told):
    lines = judged(**seen)
    assert len(lines) == 1
    assert lines[0].startswith("nas1: ")
    assert told in lines[0]


def test_all_lacks_are_told_at_once():
    assert len(judged(python="no", systemd="no", os="arch", skew="9999", free_mb="0")) == 5


def test_a_host_that_keeps_no_data_needs_no_room():
    assert judged(replace(NEEDS, min_free_mb=0), free_mb="") == []


def test_a_look_that_did_not_run_says_why():
    (problem,) = judge_host("nas1", "", "sudo: a password\nis required\n", NEEDS)
    assert "did not run (sudo: a password is required)" in str(problem)
    assert "sudo without a password" in problem.right


def test_the_script_reads_this_machine_by_plain_sh():
    needs = replace(NEEDS, python="/nowhere/it's python", data_dir="/var/lib/not/there")
    ran = subprocess.run(
        ["/bin/sh", "-eu"], input=look_script(needs, time.time()), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"^skew=-?\d{1,2}$", ran.stdout, re.MULTILINE)
    assert "python=no\n" in ran.stdout
    assert re.search(r"^free_mb=\d+$", ran.stdout, re.MULTILINE)
