"""`make bench-access`: how long it takes to make a site's access true, against the same work done call by call.

    python bench/access.py                        the RustFS double over SeaweedFS
    STOWAGE_RUSTFS_BIN=... python bench/access.py a real RustFS

Five asset buckets with versioning, an events bucket, three policies, three users, two keys, five bindings. Timed are
``playbooks/access.yml`` and ``playbooks/notify.yml`` in one command, as an operator runs them on a site with a vault: a
first and a second time on an empty server, and in check mode. The first run puts the keys that it makes into the vault.
Beside them two shell scripts that do one call for each thing and verify and keep nothing:

mc      MinIO's client, with which such scripts are written (``go install github.com/minio/mc@latest``, found on the
        PATH or named by ``STOWAGE_MC_BIN``). The goal is set against it. Real RustFS only: the double does not speak
        the encrypted admin API that mc uses.
curl    ``curl --aws-sigv4``: no client, only the bare calls. A lower bound for any script, and no goal.

Each way runs three times, in turns, on a new server; the figures are medians.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "contract"))

from asset_site import ARN, ASSETS, CHANGES, EVENTS, PLAYBOOKS, POLICIES, USERS, WITH_KEYS, asset_site  # noqa: E402
from double_server import Double, running  # noqa: E402
from servers import Server, rustfs, rustfs_targets, seaweedfs  # noqa: E402
from sink import receiving  # noqa: E402
from site_play import changed  # noqa: E402

TURNS = 3
MC = os.environ.get("STOWAGE_MC_BIN") or shutil.which("mc")
KEYS = {user: f"BENCHACCESSKEY{number:06}" for number, user in enumerate(WITH_KEYS)}
"""Of the scripts; the playbooks have the store make them."""


@contextlib.contextmanager
def store(folder: Path) -> Iterator[Server]:
    """An empty store with one event target."""
    with receiving() as sink:
        if binary := os.environ.get("STOWAGE_RUSTFS_BIN"):
            folder.mkdir(parents=True)
            with rustfs(folder, binary, rustfs_targets(folder, sink.port)) as server:
                yield server
            return
        with seaweedfs(folder) as weed:
            double = Double(weed.settings, {"qatlas": f"http://127.0.0.1:{sink.port}/"})
            with running(double) as endpoint:
                settings = weed.settings.__class__(
                    endpoint=endpoint, access_key=weed.settings.access_key, secret_key=weed.settings.secret_key
                )
                yield Server("double", settings, "rustfs", folder)


def script(server: Server, folder: Path) -> str:
    """One curl for each thing."""
    lines = ["set -e"]

    def call(method: str, path: str, body: str = "") -> None:
        data = ""
        if body:
            file = folder / f"body-{len(lines)}"
            file.write_text(body)
            data = f"--data-binary @{file} -H Content-Type:application/octet-stream"
        lines.append(
            f'curl -sf -o /dev/null -X {method} --aws-sigv4 aws:amz:us-east-1:s3 --user "$BENCH_KEY:$BENCH_SECRET" '
            f'-H "x-amz-content-sha256: {hashlib.sha256(body.encode()).hexdigest()}" '
            f"{data} '{server.settings.endpoint}{path}'"
        )

    admin = "/rustfs/admin/v3/"
    for bucket in [*ASSETS, EVENTS]:
        call("PUT", f"/{bucket}")
    versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    for bucket in ASSETS:
        call("PUT", f"/{bucket}?versioning=", versioning)
    for name, (_, buckets) in POLICIES.items():
        resources = [f"arn:aws:s3:::{one}/*" for one in buckets]
        statement = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": resources}
        call(
            "PUT",
            f"{admin}add-canned-policy?name={name}",
            json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )
    for user, policies in USERS.items():
        call("PUT", f"{admin}add-user?accessKey={user}", '{"secretKey":"thrown-away-0123","status":"enabled"}')
        call("POST", f"{admin}idp/builtin/policy/attach", json.dumps({"policies": policies, "user": user}))
    for user, one in KEYS.items():
        pair = {"targetUser": user, "accessKey": one, "secretKey": "0123456789abcdefghij0123456789"}
        call("PUT", f"{admin}add-service-account", json.dumps(pair))
    events = "<Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event>"
    binding = f"<QueueConfiguration><Queue>{ARN}</Queue>{events}</QueueConfiguration>"
    xmlns = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    for bucket in ASSETS:
        call(
            "PUT",
            f"/{bucket}?notification=",
            f"<NotificationConfiguration {xmlns}>{binding}</NotificationConfiguration>",
        )
    return "\n".join(lines) + "\n"


def mc_script(server: Server, folder: Path) -> str:
    """One call of MinIO's client for each thing."""
    lines = ["set -e", 'mc() { "$BENCH_MC" --quiet "$@" >/dev/null; }']
    lines += [f"mc mb s/{bucket}" for bucket in [*ASSETS, EVENTS]]
    lines += [f"mc version enable s/{bucket}" for bucket in ASSETS]
    for name, (_, buckets) in POLICIES.items():
        resources = [f"arn:aws:s3:::{one}/*" for one in buckets]
        statement = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": resources}
        file = folder / f"policy-{name}.json"
        file.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        lines.append(f"mc admin policy create s {name} {file}")
    for user, policies in USERS.items():
        lines.append(f"mc admin user add s {user} thrown-away-0123")
        lines.append(f"mc admin policy attach s {' '.join(policies)} --user {user}")
    for user, one in KEYS.items():
        lines.append(
            f"mc admin user svcacct add s {user} --access-key {one} --secret-key 0123456789abcdefghij0123456789"
        )
    lines += [f"mc event add s/{bucket} {ARN} --event put,delete" for bucket in ASSETS]
    return "\n".join(lines) + "\n"


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Seconds by the clock and of CPU, and what it printed."""
    begin, before = time.perf_counter(), os.times()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - begin, os.times()
    # The steadier figure on a machine that has other work.
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return seconds, cpu, done.stdout


def run_playbooks(server: Server, folder: Path) -> Iterator[tuple[str, float, float]]:
    """A first run, a second one that must change nothing, and check mode with diff."""
    site = asset_site(folder, server)
    # Of the first run, one more: the new keys go into the vault.
    for what, more, changes in (("first", [], CHANGES + 1), ("second", [], 0), ("check", ["--check", "--diff"], 0)):
        seconds, cpu, printed = timed(site.playing(PLAYBOOKS, *more), site.environment)
        if changed(printed) != changes:
            raise SystemExit(f"{what} run: changed={changed(printed)}, must be {changes}\n{printed}")
        yield f"ansible-playbook, {what} run", seconds, cpu


def run_script(name: str, text: str, server: Server, folder: Path) -> Iterator[tuple[str, float, float]]:
    """All calls, one after the other."""
    (folder / "calls.sh").write_text(text)
    key, address = server.settings, server.settings.endpoint.removeprefix("http://")
    environment = {
        **os.environ,
        "BENCH_KEY": str(key.access_key),
        "BENCH_SECRET": str(key.secret_key),
        "BENCH_MC": MC or "",
        "MC_HOST_s": f"http://{key.access_key}:{key.secret_key}@{address}",
        "MC_CONFIG_DIR": str(server.folder / "mc"),
    }
    seconds, cpu, _ = timed(["bash", str(folder / "calls.sh")], environment)
    yield f"{name} for each thing", seconds, cpu


def main() -> None:
    """Print one line for each way, and the goal."""
    figures: dict[str, list[tuple[float, float]]] = {}
    name = ""
    with tempfile.TemporaryDirectory() as temporary:
        for turn in range(TURNS):
            for way in ("playbook", "mc", "curl"):
                if way == "mc" and not (MC and os.environ.get("STOWAGE_RUSTFS_BIN")):
                    continue
                folder = Path(temporary) / f"{way}-{turn}"
                folder.mkdir()
                with store(folder / "store") as server:
                    name = server.name
                    if way == "playbook":
                        runs = run_playbooks(server, folder)
                    else:
                        text = mc_script(server, folder) if way == "mc" else script(server, folder)
                        runs = run_script(way, text, server, folder)
                    for what, seconds, cpu in runs:
                        figures.setdefault(what, []).append((seconds, cpu))
    median = {
        what: (statistics.median(one[0] for one in all_), statistics.median(one[1] for one in all_))
        for what, all_ in figures.items()
    }
    for what, (seconds, cpu) in median.items():
        print(f"{name:8} {what:30} {seconds:6.2f} s  CPU {cpu:5.2f} s")
    if "mc for each thing" not in median:
        print("  mc: needs a real RustFS (STOWAGE_RUSTFS_BIN) and mc (STOWAGE_MC_BIN or on the PATH); not compared")
        return
    ratio = median["ansible-playbook, first run"][0] / median["mc for each thing"][0]
    print(f"goal access_times_the_time_of_mc {ratio:.2f} 1 {'ok' if ratio <= 1 else 'short'}")


if __name__ == "__main__":
    main()
