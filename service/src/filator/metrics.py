"""Prometheus metrics, summed over the worker processes."""

from __future__ import annotations

import os
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

# prometheus_client asks for the process id at every count, a system call each. Workers are spawned, so each imports
# this module by itself and its id stays.
_PID = os.getpid()
if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    values.ValueClass = values.MultiProcessValue(lambda: _PID)  # type: ignore[no-untyped-call]

REQUESTS = Counter("filator_requests", "Requests answered.", ["route", "method", "status"])
SECONDS = Histogram(
    "filator_request_seconds",
    "Time to the end of the answer.",
    ["route"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600),
)
UPLOADED = Counter("filator_uploaded_bytes", "Bytes of acknowledged files.", ["store"])
DOWNLOADED = Counter("filator_downloaded_bytes", "Bytes of files sent to clients.", ["store"])
FAILOVERS = Counter("filator_failovers", "Uploads that left a failing storage for the next one.", ["store"])
READ_ERRORS = Counter("filator_read_errors", "Downloads broken off.", ["store", "why"])
RUNNING = Gauge("filator_uploads_running", "Uploads in progress.", multiprocess_mode="livesum")
WAITING = Gauge("filator_uploads_waiting", "Requests waiting for the byte budgets.", multiprocess_mode="livesum")
CUT_OFF = Counter("filator_clients_cut_off", "Connections of clients that did not take what was sent.")


@cache
def _counter(route: str, method: str, status: int) -> Counter:
    return REQUESTS.labels(route, method, str(status))


@cache
def _timer(route: str) -> Histogram:
    return SECONDS.labels(route)


def count(route: str, method: str, status: int, seconds: float) -> None:
    """Count one answered request; finding a labelled child costs more than counting, so they are kept."""
    _counter(route, method, status).inc()
    _timer(route).observe(seconds)


def render(multiprocess: bool) -> bytes:
    """Write all metrics in the text format; over all workers when they share a directory."""
    if not multiprocess:
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
