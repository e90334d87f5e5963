"""`make attack`: the file service attacked for minutes, by itself and behind both edges, while others use it.

Lines `goal NAME VALUE BOUND ok|short`; the exit code says whether all are ok. Memory is what the service takes above
what it takes idle, since its budget is for what clients make it hold.

    python bench/attack.py [--scale 0.1] [--seed N] [--only direct,caddy,nginx]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "service" / "tests"))

import servers  # noqa: E402
from attack import Target, attack  # noqa: E402
from test_edges import in_front  # noqa: E402

EACH = {"upgrade": 1000, "framing": 2000, "preface": 200, "early close": 500, "malformed": 10_000, "header flood": 60}
HELD = 400
BUDGET = 256 << 20
HEALTH_SECONDS = 0.5


def goal(name: str, value: float, bound: float) -> bool:
    """Print one line."""
    good = value <= bound
    print(f"goal {name} {value:g} <={bound:g} {'ok' if good else 'short'}", flush=True)
    return good


def main() -> int:
    """Attack each target in turn; 0 when every goal is met, 1 when not, 2 when a server is missing."""
    parser = argparse.ArgumentParser(description="Attack the file service.")
    parser.add_argument("--scale", type=float, default=1.0, help="how much of it all")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default="direct,caddy,nginx")
    options = parser.parse_args()
    if (reason := servers.missing()) is not None:
        print(reason, file=sys.stderr)
        return 2
    print(f"seed {options.seed}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    each = {kind: max(1, int(count * options.scale)) for kind, count in EACH.items()}
    good = True
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(servers.running(servers.Postgres()))
        redis = stack.enter_context(servers.running(servers.Redis()))
        service = servers.Filator(
            {
                "FILATOR_DATABASE_URL": postgres.create("attacked"),
                "FILATOR_REDIS_URL": redis.url,
                "STORAGES_CONFIGURATIONS": json.dumps([{"name": "db", "type": "db"}]),
                "FILATOR_EDGE_LISTEN": "yes",
                "FILATOR_EDGE_ACCESS": "open",
                "FILATOR_UPLOAD_BUDGET_BYTES": str(BUDGET),
                "FILATOR_WORKERS": "2",
            }
        )
        stack.callback(service.close)
        service.start()
        assert service.process is not None
        for name in options.only.split(","):
            with contextlib.ExitStack() as edge:
                url = service.url
                if name != "direct":
                    folder = Path(edge.enter_context(tempfile.TemporaryDirectory()))
                    folder.chmod(0o755)
                    url = edge.enter_context(in_front(name, folder, service.edge_port)).service_url
                target = Target(name, url.removeprefix("http://"), service.process.pid, service.log)
                begin = time.monotonic()
                report = attack(target, each=each, held=int(HELD * options.scale), seed=options.seed)
                print(
                    f"# {name}: {report.tried} in {time.monotonic() - begin:.0f} s; others asked {report.asked} times, "
                    f"{len(report.broken)} without an answer; idle {report.idle_bytes >> 20} MiB, "
                    f"at most {report.peak_bytes >> 20} MiB"
                )
                for text in (*report.desyncs[:3], *report.broken[:3]):
                    print(f"#   {text}")
                verdicts = [
                    goal(f"attack-{name}-desyncs", len(report.desyncs), 0),
                    goal(f"attack-{name}-broken-others", len(report.broken), 0),
                    goal(f"attack-{name}-answers-500", report.failures, 0),
                    goal(f"attack-{name}-health-seconds", round(report.health_seconds, 3), HEALTH_SECONDS),
                    goal(
                        f"attack-{name}-memory-mib",
                        (report.peak_bytes - report.idle_bytes) >> 20,
                        (BUDGET * 5 // 4) >> 20,
                    ),
                ]
                good = good and all(verdicts)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
