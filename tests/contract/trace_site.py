"""A store whose writes leave a trace, set up through the engine, and the trace read until nothing is missing."""

from __future__ import annotations

import os
import re
import time

from rendered import ROOT, policy
from role_programs import Store
from trace_load import Load, Verdict, judge

from stowage.access.connect import connect
from stowage.access.model import AccessDriver, Credentials
from stowage.events.bindings import binding
from stowage.events.normal import Event
from stowage.events.reconcile import reconcile_bindings
from stowage.events.trace import list_since, read_object
from stowage.s3.connection import S3Settings, s3_client
from stowage.s3.ready import wait_until_ready

TARGET = "qatlas"
EVENTS = "s3-events"
ASSETS = ["qatlas-raw", "qatlas-pdf", "qatlas-md", "qatlas-images", "qatlas-openalex"]
SINK_KEY = ("EVENTSWRITER", f"events-writer-{os.urandom(8).hex()}")


def event_target(port: int) -> list[dict[str, str]]:
    """``rustfs_event_targets`` with a sink on loopback."""
    return [{"name": TARGET, "endpoint": f"http://127.0.0.1:{port}/"}]


def sink_values(endpoint: str, upload_timeout: str, heartbeat: int) -> dict[str, object]:
    """``fluent_bit_*`` variables of a sink of that store."""
    return {
        "fluent_bit_s3_endpoint": endpoint,
        "fluent_bit_s3_bucket": EVENTS,
        "fluent_bit_s3_access_key": SINK_KEY[0],
        "fluent_bit_s3_secret_key": SINK_KEY[1],
        "fluent_bit_upload_timeout": upload_timeout,
        "fluent_bit_heartbeat_seconds": heartbeat,
    }


def stop_signal() -> str:
    """The signal by which role rustfs lets the store be stopped."""
    unit = (ROOT / "roles" / "rustfs" / "templates" / "rustfs.service.j2").read_text()
    found = re.search(r"^KillSignal=(\w+)$", unit, re.MULTILINE)
    return found[1] if found else "SIGTERM"


def make_sink_bucket(settings: S3Settings) -> AccessDriver:
    """The events bucket and the sink's own key, which may add to it and not delete."""
    s3_client(settings).create_bucket(Bucket=EVENTS)
    driver = connect("rustfs", settings)
    make_key(driver, "events-writer", "events-rw", [EVENTS], SINK_KEY)
    return driver


def make_key(driver: AccessDriver, user: str, template: str, buckets: list[str], pair: tuple[str, str]) -> None:
    """A user with a policy of templates/policies and this key pair."""
    driver.put_policy(template, policy(template, buckets))
    driver.create_user(user)
    driver.attach(user, frozenset([template]))
    driver.create_key(user, Credentials(*pair), "made by a test")


def set_up(settings: S3Settings) -> tuple[AccessDriver, list[tuple[str, str]]]:
    """Buckets, the sink's key and three writers' keys, each made through the engine as access.yml does."""
    wait_until_ready(settings, timeout=90)
    client, driver = s3_client(settings), make_sink_bucket(settings)
    for bucket in ASSETS:
        client.create_bucket(Bucket=bucket)
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    writers = [(f"TRACEWRITER{number}", f"trace-writer-{number}-{os.urandom(8).hex()}") for number in range(3)]
    for number, pair in enumerate(writers):
        make_key(driver, f"writer-{number}", "assets-rw", ASSETS, pair)
    return driver, writers


def bind(settings: S3Settings, driver: AccessDriver) -> None:
    """Every asset bucket to the sink."""
    wanted = [binding(f"arn:rustfs:sqs::{TARGET}:webhook", ["put", "delete"])]
    for bucket in ASSETS:
        reconcile_bindings(s3_client(settings), driver, str(settings.endpoint), bucket, wanted, sink_buckets=[EVENTS])


def drain(store: Store, load: Load, seconds: float) -> tuple[Verdict, int, dict[str, int]]:
    """Read the trace until nothing is missing, or nothing has come for a while, or the time is up."""
    seen: dict[str, list[Event]] = {}
    bad = 0
    begun = last = time.monotonic()
    before = -1
    while True:
        bad += _read_new(store.settings, seen)
        verdict = judge(load.ledger, (event for events in seen.values() for event in events))
        missing = len(verdict.missing)
        now = time.monotonic()
        if missing != before:
            print(f"{now - begun:5.0f} s after the load: {missing} missing, {store.waiting()} in the store's queue")
            before, last = missing, now
        # The store waits up to 64 s (and a tenth of it) between two tries of an event.
        if not missing or now - begun > seconds or (now - last > 90 and not store.waiting()):
            return verdict, bad, {key: len(events) for key, events in seen.items()}
        time.sleep(5)


def _read_new(settings: S3Settings, seen: dict[str, list[Event]]) -> int:
    """Read what is new in the events bucket into ``seen``; the number of unreadable lines in it."""
    client = s3_client(settings)
    bad = 0
    for stored in list_since(client, str(settings.endpoint), EVENTS):
        if stored.key not in seen:
            batch = read_object(client, str(settings.endpoint), EVENTS, stored.key)
            seen[stored.key] = list(batch.events)
            bad += batch.unreadable
    return bad
