"""`make faults-trace`: is every write and delete in the event trace, whatever is killed meanwhile.

A real RustFS and a real Fluent Bit with the configuration of their roles. Three keys write and delete, 10,000
operations in all, while Fluent Bit is stopped for a minute, killed five times (SIGKILL), and the store is restarted
twice, once while its queue of events is full. Then the events bucket is read: each acknowledged operation must be in it
with the key that did it.

    STOWAGE_RUSTFS_BIN=... STOWAGE_FLUENT_BIT_BIN=... python bench/faults_trace.py [--store-signal SIGTERM]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "contract"))

from role_programs import Program, Sink, Store, sink, store, wait_for_port
from servers import free_ports
from trace_load import Load, Verdict, lost_objects
from trace_site import ASSETS, bind, drain, event_target, set_up, sink_values, stop_signal

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
    (port,) = free_ports(1)
    target = event_target(port)
    the_store = store([binaries["STOWAGE_RUSTFS_BIN"]], folder / "store", rustfs_event_targets=target)
    settings = the_store.settings
    values = sink_values(settings.endpoint, given.upload_timeout, heartbeat=10)
    the_sink = sink(binaries["STOWAGE_FLUENT_BIT_BIN"], folder / "sink", port, values)
    try:
        the_store.program.start()
        driver, writers = set_up(settings)
        the_sink.program.start()
        wait_for_port(the_sink.program, port)
        bind(settings, driver)
        rate = given.operations / given.seconds
        load = Load(settings.endpoint, writers, ASSETS, given.operations, rate, given.seed)
        chaos = Chaos(the_store, the_sink, signal.Signals[given.store_signal or stop_signal()], given.seed)
        chaos.start()
        load.run()
        print(f"{time.monotonic() - chaos.begun:5.0f} s  load done", flush=True)
        chaos.join()
        found = drain(the_store, load, 240)
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
