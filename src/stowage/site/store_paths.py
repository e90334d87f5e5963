"""Whether the folders of a store can carry it: one look by a shell script, and a pure verdict on what it printed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from stowage.site.model import Problem


@dataclass(frozen=True)
class StorePathNeeds:
    """What the folders of a store must be like.

    Args:
        data_dirs: Absolute paths, one per disk.
        user: Name of the server's user, for the commands in the lines.
        uid: Its number; owner of all that lies in the folders.
        gid: Number of its group.
        filesystems: Types that data may lie on, as ``df -T`` names them.
        min_free_mb: Megabytes that must be free at each folder.
        allow_same_device: Whether several folders may lie on one device.
        volumes: Disks of the whole store, as ``RUSTFS_VOLUMES`` will say it.
        settings_file: Environment file of a server that was set up before.
        allow_topology_change: Whether ``volumes`` may differ from what stands there.
    """

    data_dirs: Sequence[str]
    user: str
    uid: int
    gid: int
    filesystems: Sequence[str]
    min_free_mb: int
    allow_same_device: bool
    volumes: str
    settings_file: str
    allow_topology_change: bool


@dataclass(frozen=True)
class Seen:
    """One folder as the script saw it; a folder that is not there yet is judged by the nearest one above it."""

    dir: str
    there: str
    parent: bool
    full: bool
    owner: int
    device: str
    type: str
    free_mb: int


def look_script(needs: StorePathNeeds) -> str:
    """Return the shell script that looks at the folders. It only reads."""
    names = (
        f'echo "uid_user=$(getent passwd {needs.uid} | cut -d: -f1)"\n'
        f'echo "gid_group=$(getent group {needs.gid} | cut -d: -f1)"\n'
        f'echo "user_uid=$(id -u {shlex.quote(needs.user)} 2>/dev/null)"\n'
    )
    calls = "".join(f"look {shlex.quote(path)}\n" for path in needs.data_dirs)
    deployed = (
        f"sed -n 's/^RUSTFS_VOLUMES=\"\\(.*\\)\"$/volumes=\\1/p' {shlex.quote(needs.settings_file)} 2>/dev/null\n"
    )
    return files("stowage.site").joinpath("store_paths.sh").read_text(encoding="utf-8") + names + deployed + calls


def parsed(output: str) -> tuple[list[Seen], str | None]:
    """Return the folders that the script saw, in order, and the disks that were set up before."""
    seen, volumes = [], None
    for line in output.splitlines():
        if line.startswith("volumes="):
            volumes = line.removeprefix("volumes=").strip()
        if not line.startswith("path "):
            continue
        head, _, folder = line.removeprefix("path ").partition(" dir=")
        told = dict(pair.split("=", 1) for pair in head.split())
        seen.append(
            Seen(
                dir=folder.rstrip("\r"),
                there=told["there"],
                parent=told["parent"] == "yes",
                full=told["full"] == "yes",
                owner=int(told["owner"]),
                device=told["device"],
                type=told.get("type", "unknown"),
                free_mb=int(told.get("free_mb", 0)),
            )
        )
    return seen, volumes


def judge_paths(host: str, output: str, error: str, needs: StorePathNeeds) -> list[Problem]:
    """Say what is wrong with the folders of a store.

    Args:
        host: Name in the inventory.
        output: What the script printed; lines of other shape are passed over.
        error: What came on the error stream, shown when the script did not run.
        needs: What the folders must be like.

    Returns:
        One problem per fault; empty when the store can start.
    """
    seen, deployed = parsed(output)
    if len(seen) != len(needs.data_dirs):
        last = " ".join(error.split())[-200:] or "nothing was said"
        what = f"the look at the data folders did not run ({last})"
        return [Problem(host, what, "a POSIX shell with stat and df", f"ansible {host} -m raw -a true")]
    problems = _judge_numbers(host, output, needs)
    problems += [problem for one in seen for problem in _judge_one(host, one, needs)]
    problems += _judge_devices(host, seen, needs)
    if deployed and deployed != needs.volumes and not needs.allow_topology_change:
        problems.append(
            Problem(
                host,
                f'the store was set up on "{deployed}" and is now described as "{needs.volumes}"',
                "the disks and nodes it was set up with: RustFS cannot change them in place",
                "set rustfs_data_dirs and rustfs_nodes back, or copy the data into a new store (docs/nas.md)",
            )
        )
    return problems


def _judge_numbers(host: str, output: str, needs: StorePathNeeds) -> list[Problem]:
    told = dict(
        line.strip().split("=", 1) for line in output.splitlines() if not line.startswith("path ") and "=" in line
    )
    problems = []
    free = "a number that is free, the same one on every host of the store"
    for kind, number, name in (("user", needs.uid, "uid_user"), ("group", needs.gid, "gid_group")):
        if told.get(name) and told[name] != needs.user:
            what = f"number {number} belongs to {kind} {told[name]}, and the server's own {kind} is {needs.user}"
            problems.append(Problem(host, what, free, f"set rustfs_{name[:3]}, or rustfs_user to {told[name]}"))
    if told.get("user_uid") and told["user_uid"] != str(needs.uid):
        what = f"user {needs.user} has number {told['user_uid']}, not {needs.uid}"
        problems.append(Problem(host, what, f"rustfs_uid: {told['user_uid']}", "set rustfs_uid and rustfs_gid"))
    return problems


def _judge_one(host: str, one: Seen, needs: StorePathNeeds) -> list[Problem]:
    problems = []
    if one.there == "file":
        return [Problem(host, f"{one.dir} is a file", "a folder for the data", "name another one in rustfs_data_dirs")]
    if one.there == "no" and not one.parent:
        what = f"the folder above {one.dir} is not there"
        mend = f"ansible {host} -b -m command -a 'findmnt --verify'"
        problems.append(Problem(host, what, "the disk's mount point, with the disk mounted", mend))
    if one.full and one.owner != needs.uid:
        what = f"{one.dir} holds data of user {one.owner}, but the server runs as {needs.uid} ({needs.user})"
        mend = f"ansible {host} -b -m command -a 'chown -R {needs.uid}:{needs.gid} {one.dir}'"
        problems.append(Problem(host, what, f"data of user {needs.uid}, or its number in rustfs_uid", mend))
    if one.type not in needs.filesystems:
        what = f"{one.dir} lies on {one.type}"
        mend = "name a folder on a local disk in rustfs_data_dirs, or add the type to rustfs_filesystems"
        problems.append(Problem(host, what, f"one of {', '.join(needs.filesystems)}", mend))
    if one.free_mb < needs.min_free_mb:
        what = f"{one.free_mb} MB free at {one.dir}"
        mend = "make room, or lower rustfs_min_free_mb"
        problems.append(Problem(host, what, f"at least {needs.min_free_mb} MB", mend))
    return problems


def _judge_devices(host: str, seen: Sequence[Seen], needs: StorePathNeeds) -> list[Problem]:
    if needs.allow_same_device:
        return []
    by_device: dict[str, list[str]] = {}
    for one in seen:
        by_device.setdefault(one.device, []).append(one.dir)
    return [
        Problem(
            host,
            f"{' and '.join(dirs)} lie on one disk, which takes all of them when it dies",
            "one folder per disk (RustFS refuses to start else), or rustfs_allow_same_device for a trial",
            f"ansible {host} -b -m command -a 'df {' '.join(dirs)}'",
        )
        for dirs in by_device.values()
        if len(dirs) > 1
    ]
