"""Each Molecule scenario is one test: from no hosts at all to hosts destroyed again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_HOSTS = {"example"}
SCENARIOS = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))


@pytest.mark.needs_docker
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario_goes_from_bare_hosts_to_verified_and_destroyed(scenario):
    if scenario not in WITHOUT_HOSTS and not shutil.which("docker"):
        pytest.skip("needs a Docker engine: scripts/engine start")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MOLECULE_COMMAND_BORDERS": "0",
        "ANSIBLE_FORCE_COLOR": "0",
        "PY_COLORS": "0",
        "NO_COLOR": "1",
        # Hosts of several scenarios have the same names, and two scenarios run at a time.
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(ROOT / ".cache" / f"facts-{scenario}"),
    }
    log = ROOT / ".lab" / "molecule" / f"{scenario}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        done = subprocess.run(
            ["molecule", "test", "-s", scenario],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=2400,
            check=False,
        )
    said = log.read_text(errors="replace")
    assert done.returncode == 0, f"molecule test -s {scenario} ended with {done.returncode}:\n{said[-30000:]}"
