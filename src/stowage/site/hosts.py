"""Whether a host can carry its roles: one look by a shell script, and a pure verdict on what it printed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from stowage.site.model import Problem


@dataclass(frozen=True)
class HostNeeds:
    """What a host must have.

    Args:
        python: Path of the interpreter that modules will run with.
        debian_versions: Releases of Debian that hosts may have.
        max_clock_skew: Seconds that its clock may differ from the controller's, either way.
        data_dir: Directory whose file system is measured; the nearest existing parent counts.
        min_free_mb: Megabytes that must be free there; 0 when the host keeps no data.
        user: Who logs in, for the message.
    """

    python: str
    debian_versions: Sequence[str]
    max_clock_skew: int
    data_dir: str
    min_free_mb: int
    user: str = "the login user"


def look_script(needs: HostNeeds, now: float) -> str:
    """Return the shell script that looks at a host. It only reads, and needs neither Python nor bash.

    Args:
        needs: What to look for.
        now: The controller's clock in seconds since 1970, taken right before the script is sent.
    """
    values = {"there": str(round(now)), "python": needs.python, "dir": needs.data_dir}
    settings = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    return settings + files("stowage.site").joinpath("look.sh").read_text(encoding="utf-8")


def judge_host(host: str, output: str, error: str, needs: HostNeeds) -> list[Problem]:
    """Say what a host lacks.

    Args:
        host: Name in the inventory.
        output: What the script printed, lines ``name=value``; others (a banner) are passed over.
        error: What came on the error stream, shown when the script did not run.
        needs: What the host must have.

    Returns:
        One problem per lack; empty when the host can carry its roles.
    """
    seen = dict(line.strip().split("=", 1) for line in output.splitlines() if "=" in line)
    if "skew" not in seen:
        last = " ".join(error.split())[-200:] or "nothing was said"
        return [
            Problem(
                where=host,
                what=f"the look at the host did not run ({last})",
                right=f"a POSIX shell, and sudo without a password where ansible_become is true, for {needs.user}",
                mend=f"ansible {host} -m ansible.builtin.raw -a true",
            )
        ]
    problems = []
    if seen.get("python") != "yes":
        command = f"ansible {host} -b -m ansible.builtin.raw -a 'apt-get update && apt-get install -y python3'"
        problems.append(Problem(host, f"no Python at {needs.python}", "Python 3.9 or newer", command))
    if seen.get("systemd") != "yes":
        mend = "take another host for this group, or an external store (docs/stores.md)"
        problems.append(Problem(host, "systemd does not run here", "a host or container booted with systemd", mend))
    good = [f"debian {version}" for version in needs.debian_versions]
    if seen.get("os") not in good:
        what = f"{seen.get('os', 'its release')} is none of the releases that the roles are for"
        mend = "take another host, or add the release to preflight_debian_versions and see"
        problems.append(Problem(host, what, " or ".join(good), mend))
    if abs(int(seen["skew"])) > needs.max_clock_skew:
        what = f"the clock differs by {seen['skew']} s from the controller's"
        mend = f"ansible {host} -b -m ansible.builtin.command -a 'timedatectl set-ntp true'"
        problems.append(Problem(host, what, f"at most {needs.max_clock_skew} s", mend))
    if int(seen.get("free_mb") or 0) < needs.min_free_mb:
        what = f"{seen.get('free_mb') or 'unknown'} MB free at {needs.data_dir}"
        mend = "make room, or name another place in preflight_data_dir"
        problems.append(Problem(host, what, f"at least {needs.min_free_mb} MB", mend))
    return problems
