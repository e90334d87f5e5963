"""How long the lab takes: cold, again after `make down`, and a run that changes nothing, with a breakdown by role.

Works in a fresh clone of this checkout in a temporary folder, so that nothing made here counts as a head start; the
lab's images are removed first. Debian packages that are already on the machine stay, and the output says which were
missing. No lab may be running, since its names and addresses are the same. Usage: python bench/converge.py [--keep].
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOUNDS = {"cold_up_seconds": 300.0, "warm_up_seconds": 120.0, "no_change_seconds": 30.0}
ROLE_LINE = re.compile(r"^(\S+) -+ ([0-9.]+)s$", re.MULTILINE)
# What a run of this very checkout must not hand to the clone's runs.
OWN = {"VIRTUAL_ENV", "PYTHONHOME", "ANSIBLE_CONFIG"}


def run(*command: str, cwd: Path) -> tuple[float, str]:
    """Run a command to its end; return its wall seconds and its output. A failure ends the benchmark."""
    begin = time.monotonic()
    done = subprocess.run(
        command,
        cwd=cwd,
        env={key: value for key, value in os.environ.items() if key not in OWN} | {"NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    took = time.monotonic() - begin
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed after {took:.0f} s:\n{done.stdout[-4000:]}")
    return took, done.stdout


def breakdown(output: str) -> str:
    """The table of seconds by role that Ansible printed last."""
    recap = output.rsplit("ROLES RECAP", 1)[-1]
    rows = [(name, float(seconds)) for name, seconds in ROLE_LINE.findall(recap)]
    return "\n".join(f"    {name:<45} {seconds:6.1f} s" for name, seconds in rows if name != "total")


def stages(clone: Path) -> str:
    """What each stage of the last `make up` took."""
    rows = [line.split("\t") for line in (clone / ".lab/stages.tsv").read_text().splitlines()]
    return "\n".join(f"    {name:<45} {int(seconds):6d} s" for name, seconds in rows)


def goal(name: str, value: float) -> None:
    """Print one line that a machine can read."""
    verdict = "ok" if value <= BOUNDS[name] else "short"
    print(f"goal {name} {value:.1f} {BOUNDS[name]:.0f} {verdict}", flush=True)


def forget_images() -> None:
    """Remove the lab's images, so that they are built from nothing."""
    listed = subprocess.run(
        ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"], capture_output=True, text=True, check=False
    )
    ours = [name for name in listed.stdout.split() if name.startswith(("stowage/host:", "stowage/base:"))]
    if ours:
        subprocess.run(["docker", "image", "rm", "--force", *ours], capture_output=True, check=True)


def main() -> None:
    """Measure, print the breakdowns and the goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the images alone: the first run is then not cold")
    args = parser.parse_args()
    # An engine of its own, ended again, so that starting one is part of the first run.
    run("scripts/engine", "start", cwd=ROOT)
    running = subprocess.run(
        ["docker", "ps", "-q", "--filter", "label=stowage.lab=stowage-lab"], capture_output=True, text=True, check=False
    )
    if running.stdout.strip():
        sys.exit("a lab is running on this machine; run make down first")
    if not args.keep:
        forget_images()
    run("scripts/engine", "stop", cwd=ROOT)
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load before the start {load:.1f}")
    with tempfile.TemporaryDirectory(prefix="stowage-bench-") as folder:
        clone = Path(folder) / "stowage"
        run("git", "clone", "--quiet", str(ROOT), str(clone), cwd=ROOT)
        try:
            cold, output = run("make", "up", cwd=clone)
            print(f"make up, cold: {cold:.1f} s\n{stages(clone)}\n  site.yml by role:\n{breakdown(output)}")
            run("make", "down", cwd=clone)
            warm, _ = run("make", "up", cwd=clone)
            print(f"make up after make down: {warm:.1f} s\n{stages(clone)}")
            unchanged, output = run("make", "site", cwd=clone)
            if changed := [line for line in output.splitlines() if re.search(r"changed=[1-9]", line)]:
                sys.exit("the second run changed something:\n" + "\n".join(changed))
            print(f"make site, nothing to change: {unchanged:.1f} s\n{breakdown(output)}")
        finally:
            run("make", "down", cwd=clone)
    goal("cold_up_seconds", cold)
    goal("warm_up_seconds", warm)
    goal("no_change_seconds", unchanged)


if __name__ == "__main__":
    main()
