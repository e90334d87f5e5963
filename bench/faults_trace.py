"""`make faults-trace`: is every write and delete in the event trace, whatever is killed meanwhile.

A real RustFS and a real Fluent Bit with the configuration of their roles. Three keys write and delete, 10,000
operations in all, while Fluent Bit is stopped for a minute, killed five times (SIGKILL), and the store is restarted
twice, once while its queue of events is full. Then the events bucket is read: each acknowledged operation must be in it
with the key that did it.

    STOWAGE_RUSTFS_BIN=... STOWAGE_FLUENT_BIT_BIN=... python bench/faults_trace.py [--store-signal SIGTERM]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults_trace_load import Load, Verdict, judge, lost_objects
from faults_trace_parts import ROOT, TARGET, Program, Sink, Store, free_port, render_file, sink, store, wait_for_port

from stowage.access.connect import connect
from stowage.access.model import AccessDriver, Credentials
from stowage.events.bindings import binding
from stowage.events.normal import Event
from stowage.events.reconcile import reconcile_bindings
from stowage.events.trace import list_since, read_object
from stowage.s3.connection import S3Settings, s3_client
from stowage.s3.ready import wait_until_ready

EVENTS = "s3-events"
ASSETS = ["qatlas-raw", "qatlas-pdf", "qatlas-md", "qatlas-images", "qatlas-openalex"]
STOPPED = 60.0
"""Seconds for which the sink is stopped."""


class Chaos(threading.Thread):
    """Stops, kills and restarts on a schedule in seconds after the beginning, one thing after the other."""

    def __init__(self, the_store: Store, the_sink: Sink, how: signal.Signals, seed: int) -> None:
        super().__init__(daemon=True)
        self.store, self.sink, self.how = the_store, the_sink, how
        self.dice = random.Random(seed)
        self.store_ends: list[tuple[float, float]] = []
        self.begun = time.monotonic()

    def say(self, line: str) -> None:
        """Print it with the time."""
        print(f"{time.monotonic() - self.begun:5.0f} s  {line}", flush=True)

    def run(self) -> None:
        """Two kills, the stop with a restart of the store in it, a restart, three kills."""
        self.begun = time.monotonic()
        steps: list[tuple[float, Callable[[], None]]] = [
            (10, self.kill_sink),
            (22, self.kill_sink),
            (32, self.stop_sink),
            (32 + STOPPED / 2, self.restart_store),
            (32 + STOPPED, self.start_sink),
            (32 + STOPPED + 18, self.kill_sink),
            (32 + STOPPED + 30, self.restart_store),
            (32 + STOPPED + 48, self.kill_sink),
            (32 + STOPPED + 60, self.kill_sink),
        ]
        for due, step in steps:
            time.sleep(max(0.0, self.begun + due + self.dice.random() - time.monotonic()))
            step()

    def kill_sink(self) -> None:
        """SIGKILL, and a start 3 s later, as the unit's RestartSec says."""
        self.sink.program.end(signal.SIGKILL)
        self.say(f"sink killed ({self.sink.program.kills})")
        time.sleep(3)
        self.sink.program.start()

    def stop_sink(self) -> None:
        """SIGTERM: for a minute nobody takes events."""
        code = self.sink.program.end()
        self.say(f"sink stopped (exit {code})")

    def start_sink(self) -> None:
        """The minute is over."""
        self.say(f"sink started, {self.store.waiting()} events wait in the store's queue")
        self.sink.program.start()

    def restart_store(self) -> None:
        """Stop the store as it was asked for, and start it 1 s later."""
        waiting = self.store.waiting()
        begun = time.time()
        code = self.store.program.end(self.how)
        self.store_ends.append((begun, time.time()))
        left = self.store.waiting()
        self.say(f"store ended by {self.how.name} (exit {code}), {waiting} events waited, {left} are left on disk")
        time.sleep(1)
        self.store.program.start()


def policy(template: str, buckets: list[str]) -> dict[str, Any]:
    """A policy document of templates/policies."""
    path = ROOT / "templates" / "policies" / f"{template}.json.j2"
    document: dict[str, Any] = json.loads(render_file(path, {"policy_buckets": buckets}))
    return document


def set_up(the_store: Store) -> tuple[S3Settings, AccessDriver, list[tuple[str, str]]]:
    """Buckets, the sink's key and three writers' keys, each made through the engine as access.yml does."""
    settings = S3Settings(endpoint=the_store.endpoint, access_key=the_store.access_key, secret_key=the_store.secret_key)
    wait_until_ready(settings, timeout=90)
    client, driver = s3_client(settings), connect("rustfs", settings)
    for bucket in (EVENTS, *ASSETS):
        client.create_bucket(Bucket=bucket)
    for bucket in ASSETS:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    driver.put_policy("assets-rw", policy("assets-rw", ASSETS))
    driver.put_policy("events-rw", policy("events-rw", [EVENTS]))
    writers = [(f"TRACEWRITER{number}", f"trace-writer-{number}-{os.urandom(8).hex()}") for number in range(3)]
    pairs = [
        ("events-writer", "events-rw", SINK_KEY),
        *((f"writer-{n}", "assets-rw", key) for n, key in enumerate(writers)),
    ]
    for user, rights, (access_key, secret_key) in pairs:
        driver.create_user(user)
        driver.attach(user, frozenset([rights]))
        driver.create_key(user, Credentials(access_key, secret_key), "faults-trace")
    return settings, driver, writers


def stop_signal() -> str:
    """The signal by which role rustfs lets the store be stopped."""
    unit = (ROOT / "roles" / "rustfs" / "templates" / "rustfs.service.j2").read_text()
    found = re.search(r"^KillSignal=(\w+)$", unit, re.MULTILINE)
    return found[1] if found else "SIGTERM"


SINK_KEY = ("EVENTSWRITER", f"events-writer-{os.urandom(8).hex()}")


def bind(settings: S3Settings, driver: AccessDriver) -> None:
    """Every asset bucket to the sink."""
    wanted = [binding(f"arn:rustfs:sqs::{TARGET}:webhook", ["put", "delete"])]
    for bucket in ASSETS:
        reconcile_bindings(s3_client(settings), driver, str(settings.endpoint), bucket, wanted, sink_buckets=[EVENTS])


def read_trace(settings: S3Settings, seen: dict[str, list[Event]]) -> int:
    """Read what is new in the events bucket into ``seen``; the number of unreadable lines in it."""
    client = s3_client(settings)
    bad = 0
    for stored in list_since(client, str(settings.endpoint), EVENTS):
        if stored.key not in seen:
            batch = read_object(client, str(settings.endpoint), EVENTS, stored.key)
            seen[stored.key] = list(batch.events)
            bad += batch.unreadable
    return bad


def drain(settings: S3Settings, load: Load, the_store: Store, seconds: float) -> tuple[Verdict, int, dict[str, int]]:
    """Read the trace until nothing is missing, or nothing has come for a while, or the time is up."""
    seen: dict[str, list[Event]] = {}
    bad = 0
    begun = last = time.monotonic()
    before = -1
    while True:
        bad += read_trace(settings, seen)
        verdict = judge(load.ledger, (event for events in seen.values() for event in events))
        missing = len(verdict.missing)
        now = time.monotonic()
        if missing != before:
            print(f"{now - begun:5.0f} s after the load: {missing} missing, {the_store.waiting()} in the store's queue")
            before, last = missing, now
        # The store waits up to 64 s (and a tenth of it) between two tries of an event.
        if not missing or now - begun > seconds or (now - last > 90 and not the_store.waiting()):
            return verdict, bad, {key: len(events) for key, events in seen.items()}
        time.sleep(5)


def report(
    load: Load,
    found: tuple[Verdict, int, dict[str, int]],
    lost: list[str],
    ends: list[tuple[float, float]],
    programs: dict[str, Program],
) -> int:
    """Print counts and goals; the exit code."""
    verdict, bad, objects = found
    done = load.ledger.done
    deletes = sum(1 for act in done if act[3] == "delete")
    print(f"acknowledged: {len(done)} ({len(done) - deletes} writes, {deletes} deletes), unanswered: ", end="")
    print(f"{len(load.ledger.unanswered)}; trace: {sum(objects.values())} events in {len(objects)} objects")
    print(
        f"copies: {verdict.copies}; events of unanswered operations: {verdict.of_unanswered}; unreadable lines: {bad}"
    )
    for name, program in programs.items():
        print(f"{name}: exit codes {program.exits}")
    for line in lost[:10]:
        print(f"     object {line}")
    stopping = [act for act in verdict.missing if any(begun <= done[act] <= ended + 1 for begun, ended in ends)]
    if verdict.missing:
        print(f"missing: {len(stopping)} of {len(verdict.missing)} were acknowledged while the store ended")
    for act in verdict.missing[:10]:
        nearest = min((done[act] - begun for begun, _ in ends), key=abs)
        print(f"     missing: {' '.join(act)}, {nearest:+.2f} s from the store's signal")
    figures = {
        "trace_missing": len(verdict.missing),
        "trace_wrong_key": len(verdict.wrong_key),
        "trace_strange": len(verdict.strange),
        "trace_unreadable": bad,
        "objects_lost": len(lost),
    }
    for name, value in figures.items():
        print(f"goal {name} {value} 0 {'short' if value else 'ok'}")
    return 1 if any(figures.values()) else 0


def main() -> int:
    """Run it; 0 when every goal is met, 1 when not, 2 when a program is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=170, help="how long the load shall last")
    parser.add_argument("--upload-timeout", default="10s", help="of the sink; a site has 1m")
    parser.add_argument("--store-signal", help="ends the store; that of role rustfs's unit when not given")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", action="store_true", help="keep the folder with data and logs")
    given = parser.parse_args()
    binaries = {name: os.environ.get(name, "") for name in ("STOWAGE_RUSTFS_BIN", "STOWAGE_FLUENT_BIT_BIN")}
    if missing := [name for name, path in binaries.items() if not os.access(path, os.X_OK)]:
        print(f"faults-trace needs {' and '.join(missing)}: the path of the program, which no package registry has")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="faults-trace-"))
    port = free_port()
    the_store = store(binaries["STOWAGE_RUSTFS_BIN"], folder / "store", port)
    values = {
        "fluent_bit_s3_endpoint": the_store.endpoint,
        "fluent_bit_s3_bucket": EVENTS,
        "fluent_bit_s3_access_key": SINK_KEY[0],
        "fluent_bit_s3_secret_key": SINK_KEY[1],
        "fluent_bit_upload_timeout": given.upload_timeout,
        "fluent_bit_heartbeat_seconds": 10,
    }
    the_sink = sink(binaries["STOWAGE_FLUENT_BIT_BIN"], folder / "sink", port, values)
    try:
        the_store.program.start()
        settings, driver, writers = set_up(the_store)
        the_sink.program.start()
        wait_for_port(the_sink.program, port)
        bind(settings, driver)
        load = Load(the_store.endpoint, writers, ASSETS, given.operations, given.operations / given.seconds, given.seed)
        chaos = Chaos(the_store, the_sink, signal.Signals[given.store_signal or stop_signal()], given.seed)
        chaos.start()
        load.run()
        print(f"{time.monotonic() - chaos.begun:5.0f} s  load done", flush=True)
        chaos.join()
        found = drain(settings, load, the_store, 240)
        lost = lost_objects(load.ledger, settings)
        programs = {"sink": the_sink.program, "store": the_store.program}
        return report(load, found, lost, chaos.store_ends, programs)
    finally:
        the_sink.program.end()
        the_store.program.end()
        if given.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
