"""`make bench-access`: how long it takes to make a site's access true, against the same work done call by call.

    python bench/access.py                        the RustFS double over SeaweedFS
    STOWAGE_RUSTFS_BIN=... python bench/access.py a real RustFS

Five asset buckets with versioning, an events bucket, three policies, three users, two keys, five bindings. Timed are
a first and a second ``ansible-playbook`` run over an empty server, a run in check mode, and two shell scripts that do
one call for each thing and verify nothing:

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

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "contract"))

from double_server import Double, running  # noqa: E402
from servers import Server, rustfs, rustfs_targets, seaweedfs  # noqa: E402
from sink import receiving  # noqa: E402

TURNS = 3
MC = os.environ.get("STOWAGE_MC_BIN") or shutil.which("mc")
ASSETS = [f"qatlas-{kind}" for kind in ("raw", "pdf", "md", "images", "openalex")]
EVENTS = "qatlas-s3-events"
ARN = "arn:rustfs:sqs::qatlas:webhook"
USERS = {
    "qatlasd": ["qatlas-assets-rw", "qatlas-s3-events-ro"],
    "qatlas-s3-events-writer": ["qatlas-s3-events-rw"],
    "qatlas-auditor": ["qatlas-s3-events-ro"],
}
KEYS = {"qatlasd": "QATLASDKEY0000000001", "qatlas-s3-events-writer": "QATLASSINKKEY0000001"}
POLICIES = {
    "qatlas-assets-rw": ("assets-rw", ASSETS),
    "qatlas-s3-events-rw": ("events-rw", [EVENTS]),
    "qatlas-s3-events-ro": ("events-ro", [EVENTS]),
}


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


def play(server: Server) -> list[dict[str, object]]:
    """The tasks of playbooks/access.yml with these values."""
    common = {
        "endpoint": server.settings.endpoint,
        "access_key": server.settings.access_key,
        "secret_key": "{{ lookup('ansible.builtin.env', 'BENCH_SECRET') }}",
        "driver": "rustfs",
    }
    template = (
        "{{ lookup('ansible.builtin.template', '%s/templates/policies/%s.json.j2', "
        "template_vars={'policy_buckets': %s}) }}"
    )
    tasks: list[dict[str, object]] = [
        {"s3_bucket": {"buckets": [*({"name": one, "versioning": "enabled"} for one in ASSETS), {"name": EVENTS}]}},
        {
            "s3_policy": {
                "policies": [
                    {"name": name, "document": template % (ROOT, kind, json.dumps(buckets))}
                    for name, (kind, buckets) in POLICIES.items()
                ]
            }
        },
        {"s3_user": {"users": [{"name": name, "policies": policies} for name, policies in USERS.items()]}},
        {
            "s3_access_key": {
                "keys": [
                    {"user": user, "access_key_id": one, "secret_access_key": "0123456789abcdefghij0123456789"}
                    for user, one in KEYS.items()
                ]
            },
            "no_log": True,
        },
        {
            "s3_notification": {
                "sink_buckets": [EVENTS],
                "bindings": [{"arn": ARN, "events": ["put", "delete"]}],
                "buckets": [{"name": one} for one in ASSETS],
            }
        },
    ]
    modules = [next(name for name in task if name.startswith("s3_")) for task in tasks]
    return [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable},
            "module_defaults": dict.fromkeys(modules, common),
            "tasks": tasks,
        }
    ]


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


def timed(command: list[str], server: Server) -> tuple[float, float, str]:
    """Seconds by the clock and of CPU, and what it printed."""
    address = server.settings.endpoint.removeprefix("http://")
    environment = {
        **os.environ,
        "BENCH_KEY": str(server.settings.access_key),
        "BENCH_SECRET": str(server.settings.secret_key),
        "BENCH_MC": MC or "",
        "MC_HOST_s": f"http://{server.settings.access_key}:{server.settings.secret_key}@{address}",
        "MC_CONFIG_DIR": str(server.folder / "mc"),
    }
    begin, before = time.perf_counter(), os.times()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - begin, os.times()
    # The steadier figure on a machine that has other work.
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return seconds, cpu, done.stdout


def run_playbook(server: Server, folder: Path) -> Iterator[tuple[str, float, float]]:
    """A first run, a second one that must change nothing, and check mode with diff."""
    (folder / "play.yml").write_text(yaml.safe_dump(play(server), sort_keys=False))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(folder / "play.yml")]
    for what, more, changes in (("first", [], 5), ("second", [], 0), ("check", ["--check", "--diff"], 0)):
        seconds, cpu, printed = timed([*command, *more], server)
        changed = int(printed.rpartition("changed=")[2].split()[0])
        if changed != changes:
            raise SystemExit(f"{what} run: changed={changed}, must be {changes}\n{printed}")
        yield f"ansible-playbook, {what} run", seconds, cpu


def run_script(name: str, text: str, server: Server, folder: Path) -> Iterator[tuple[str, float, float]]:
    """All calls, one after the other."""
    (folder / "calls.sh").write_text(text)
    seconds, cpu, _ = timed(["bash", str(folder / "calls.sh")], server)
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
                        runs = run_playbook(server, folder)
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
