"""The event trace from a write to the events bucket: on the doubles, and on the real RustFS and the real Fluent Bit.

Both sinks run with the configuration that role fluent_bit renders; the real ones need STOWAGE_RUSTFS_BIN and
STOWAGE_FLUENT_BIT_BIN.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from double_server import Double
from double_server import running as rustfs_double
from modules import ROOT, ModuleFailedError, connection, run
from rendered import policy, rendered
from role_programs import sink, store, wait_for_port
from servers import Server, free_ports
from trace_load import Load
from trace_site import (
    ASSETS,
    EVENTS,
    SINK_KEY,
    bind,
    drain,
    event_target,
    make_sink_bucket,
    set_up,
    sink_values,
    stop_signal,
)

from stowage.access.connect import connect
from stowage.events.normal import Event
from stowage.events.trace import list_since, read_object, trace_age
from stowage.s3.connection import S3Settings, s3_client
from stowage.s3.ready import wait_until_ready

sys.path.append(str(ROOT / "tests" / "doubles"))

import fluent_bit_double

PUT_DELETE = ["put", "delete"]


@dataclasses.dataclass
class Site:
    """A store whose target ``qatlas`` is a sink that writes to ``s3-events``; the root key is in ``settings``."""

    settings: S3Settings
    post: str

    @property
    def options(self) -> dict[str, Any]:
        """The connection options of modules."""
        return connection(self.settings, "rustfs")

    def bucket(self, *, arn: str = "arn:rustfs:sqs::qatlas:webhook", events: list[str] | None = None) -> str:
        """A new versioned bucket, bound through the module."""
        name = f"asset-{secrets.token_hex(4)}"
        run("s3_bucket", {**self.options, "name": name, "versioning": "enabled"})
        bindings = [{"arn": arn, "events": events or PUT_DELETE}]
        run("s3_notification", {**self.options, "name": name, "bindings": bindings, "sink_buckets": [EVENTS]})
        return name

    def probe(self, *buckets: str, **more: Any) -> dict[str, Any]:
        """The answer of s3_event_probe."""
        times = {"upload_timeout": "2s", "heartbeat": 2, "timeout": 60}
        return run(
            "s3_event_probe", {**self.options, "buckets": list(buckets), "events_bucket": EVENTS, **times, **more}
        )

    def events(self, bucket: str, count: int, seconds: float = 60) -> list[Event]:
        """That many events of a bucket, or what there is in the end."""
        client = s3_client(self.settings)
        endpoint = str(self.settings.endpoint)
        found: dict[str, list[Event]] = {}
        deadline = time.monotonic() + seconds
        while True:
            for stored in list_since(client, endpoint, EVENTS):
                if stored.key not in found:
                    found[stored.key] = list(read_object(client, endpoint, EVENTS, stored.key).events)
            made = [one for batch in found.values() for one in batch if one.bucket == bucket]
            if len(made) >= count or time.monotonic() > deadline:
                return made
            time.sleep(0.5)


@contextlib.contextmanager
def doubles(weed: Server, folder: Path) -> Iterator[Site]:
    port, monitoring = free_ports(2)
    with rustfs_double(Double(weed.settings, {"qatlas": f"http://127.0.0.1:{port}/"})) as endpoint:
        settings = dataclasses.replace(weed.settings, endpoint=endpoint)
        make_sink_bucket(settings)
        ports = {"fluent_bit_listen_port": port, "fluent_bit_monitoring_port": monitoring}
        values = {**sink_values(endpoint, "2s", heartbeat=2), **ports, "fluent_bit_data_dir": str(folder)}
        config = yaml.safe_load(rendered("fluent_bit", "stowage.yaml", values))
        with fluent_bit_double.running(config, *SINK_KEY):
            yield Site(settings, f"http://127.0.0.1:{port}/")


@contextlib.contextmanager
def real(folder: Path, form: str = "yaml") -> Iterator[Site]:
    (port,) = free_ports(1)
    rustfs = store([os.environ["STOWAGE_RUSTFS_BIN"]], folder / "store", rustfs_event_targets=event_target(port))
    values = sink_values(rustfs.settings.endpoint, "2s", heartbeat=2)
    fluent_bit = sink(os.environ["STOWAGE_FLUENT_BIT_BIN"], folder / "sink", port, values, form)
    with rustfs.program.running():
        wait_until_ready(rustfs.settings, timeout=90)
        make_sink_bucket(rustfs.settings)
        with fluent_bit.program.running():
            wait_for_port(fluent_bit.program, port)
            yield Site(rustfs.settings, f"http://127.0.0.1:{port}/")


def needs_real() -> None:
    missing = [one for one in ("STOWAGE_RUSTFS_BIN", "STOWAGE_FLUENT_BIT_BIN") if not os.environ.get(one)]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}")


@pytest.fixture(scope="module")
def of_doubles(weed: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with doubles(weed, tmp_path_factory.mktemp("doubles")) as site:
        yield site


@pytest.fixture(scope="module")
def of_real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    needs_real()
    with real(tmp_path_factory.mktemp("real")) as site:
        yield site


@pytest.fixture(params=["doubles", "real"])
def site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(f"of_{request.param}")
    return found


def test_a_canary_arrives_names_its_writer_and_leaves_nothing_behind(site: Site) -> None:
    bucket = site.bucket()
    answer = site.probe(bucket)
    assert not answer["changed"]
    (one,) = answer["results"]
    assert (one["arrived"], one["principal"], one["causes"]) == (True, site.settings.access_key, [])
    assert one["seconds"] > 0
    assert one["trace"] in {stored.key for stored in list_since(s3_client(site.settings), "", EVENTS)}
    left = s3_client(site.settings).list_object_versions(Bucket=bucket)
    assert left.get("Versions", []) == left.get("DeleteMarkers", []) == []
    assert not answer["sink"]["stuck"]


def test_a_put_and_a_delete_name_the_key_that_did_them(site: Site) -> None:
    bucket = site.bucket()
    driver = connect("rustfs", site.settings)
    name = f"writer-{secrets.token_hex(3)}"
    driver.put_policy(name, policy("assets-rw", [bucket]))
    driver.create_user(name)
    driver.attach(name, frozenset([name]))
    key = driver.create_key(name, None, "test")
    client = s3_client(site.settings.with_key(key.access_key_id, key.secret_access_key))
    client.put_object(Bucket=bucket, Key="dir/a b+c.txt", Body=b"x")
    client.delete_object(Bucket=bucket, Key="dir/a b+c.txt")
    events = site.events(bucket, 2)
    assert {(one.key, one.principal) for one in events} == {("dir/a b+c.txt", key.access_key_id)}
    assert {one.name for one in events} == {"s3:ObjectCreated:Put", "s3:ObjectRemoved:DeleteMarkerCreated"}


def test_a_binding_in_the_wrong_case_is_named_while_the_others_arrive(site: Site) -> None:
    good, bad = site.bucket(), site.bucket()
    wrong = {"QueueConfigurations": [{"QueueArn": "arn:rustfs:sqs::QATLAS:webhook", "Events": ["s3:ObjectCreated:*"]}]}
    s3_client(site.settings).put_bucket_notification_configuration(Bucket=bad, NotificationConfiguration=wrong)  # type: ignore[arg-type]
    with pytest.raises(ModuleFailedError, match="in lower case: arn:rustfs:sqs::qatlas:webhook") as caught:
        site.probe(good, bad)
    answer = caught.value.answer
    assert [one["arrived"] for one in answer["results"]] == [True, False]
    assert len(answer["mismatches"]) == 1
    assert bad in answer["msg"]


def test_a_bucket_that_somebody_unbound_is_named_without_waiting_for_it(site: Site) -> None:
    bucket = site.bucket()
    s3_client(site.settings).put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    with pytest.raises(ModuleFailedError, match=f"bucket {bucket} is bound to no target") as caught:
        site.probe(bucket, timeout=3600)
    assert not caught.value.answer["results"][0]["arrived"]


def test_a_binding_whose_events_vanish_elsewhere_is_told_apart_from_a_stuck_sink(site: Site) -> None:
    """The events go to the right target, but the wrong bucket is asked: nothing can arrive there."""
    bucket, other = site.bucket(), f"other-{secrets.token_hex(4)}"
    run("s3_bucket", {**site.options, "name": other})
    with pytest.raises(ModuleFailedError, match=f"nothing was ever written to bucket {other}"):
        site.probe(bucket, events_bucket=other, timeout=5)


def test_the_bucket_of_the_trace_is_refused_by_binding_and_by_canary(site: Site) -> None:
    bindings = [{"arn": "arn:rustfs:sqs::qatlas:webhook", "events": PUT_DELETE}]
    options = {**site.options, "name": EVENTS, "bindings": bindings, "sink_buckets": [EVENTS]}
    with pytest.raises(ModuleFailedError, match="for ever"):
        run("s3_notification", options)
    with pytest.raises(ModuleFailedError, match="events of events"):
        site.probe(EVENTS)


def test_an_earlier_canary_is_enough_until_the_binding_changes(site: Site) -> None:
    bucket = site.bucket()
    assert not site.probe(bucket, remember=3600)["results"][0]["proven"]
    again = site.probe(bucket, remember=3600, timeout=0)
    assert again["results"][0]["proven"]
    assert "bound as at" in again["results"][0]["said"]
    assert not site.probe(bucket, remember=3600, renew=True)["results"][0]["proven"]
    changed = [{"arn": "arn:rustfs:sqs::qatlas:webhook", "events": ["put"]}]
    run("s3_notification", {**site.options, "name": bucket, "bindings": changed})
    assert not site.probe(bucket, remember=3600)["results"][0]["proven"]


def test_check_mode_writes_no_canary(site: Site) -> None:
    bucket = site.bucket()
    options = {**site.options, "buckets": [bucket], "events_bucket": EVENTS}
    assert run("s3_event_probe", options, check=True)["skipped"]
    assert "Versions" not in s3_client(site.settings).list_object_versions(Bucket=bucket)


def test_the_age_of_the_newest_object_tells_whether_uploads_are_stuck(site: Site) -> None:
    bucket = site.bucket()
    site.probe(bucket)
    options = {**site.options, "events_bucket": EVENTS}
    well = run("s3_trace_info", {**options, "upload_timeout": "2s", "heartbeat": 3600})
    assert not well["stuck"]
    assert well["seconds"] <= well["limit"]
    client = s3_client(site.settings)
    assert trace_age(client, str(site.settings.endpoint), EVENTS, limit=-1).stuck
    empty = f"empty-{secrets.token_hex(4)}"
    run("s3_bucket", {**site.options, "name": empty})
    never = run("s3_trace_info", {**options, "events_bucket": empty})
    assert (never["stuck"], never["seconds"], never["newest"]) == (True, None, "")


def test_an_old_trace_is_found_however_old_it_is(site: Site) -> None:
    bucket = f"old-{secrets.token_hex(4)}"
    client = s3_client(site.settings)
    client.create_bucket(Bucket=bucket)
    for key in ("2024/12/31/23-59-59-aaaaaaaa.json", "2025/01/02/03-04-05-bbbbbbbb.json", "notes/zzz.txt"):
        client.put_object(Bucket=bucket, Key=key, Body=b"")
    assert trace_age(client, str(site.settings.endpoint), bucket, 60).newest == "2025/01/02/03-04-05-bbbbbbbb.json"


def test_the_sinks_key_can_add_to_the_trace_and_take_nothing_away(site: Site) -> None:
    client = s3_client(site.settings.with_key(*SINK_KEY))
    client.put_object(Bucket=EVENTS, Key="added", Body=b"x")
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(Bucket=EVENTS, Key="added")
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.put_bucket_notification_configuration(Bucket=EVENTS, NotificationConfiguration={})


def test_a_poison_record_does_not_erase_its_neighbours(site: Site) -> None:
    """Fluent Bit takes ``[1]`` with 201, and without tag_key drops what follows in the same batch, silently."""
    bucket = f"poison-{secrets.token_hex(4)}"
    http = urllib3.PoolManager()
    headers = {"Content-Type": "application/json"}

    def post(body: str) -> int:
        return http.request("POST", site.post, body=body.encode(), headers=headers).status

    def event(number: int) -> str:
        thing = {"bucket": {"name": bucket}, "object": {"key": str(number)}}
        record = {"eventName": "s3:ObjectCreated:Put", "s3": thing}
        return json.dumps({"EventName": record["eventName"], "Key": f"{bucket}/{number}", "Records": [record]})

    for number in range(20):
        assert post(event(number)) == 201
        assert post("[1]") == 201
    assert {one.key for one in site.events(bucket, 20)} == {str(number) for number in range(20)}


def test_the_classic_form_of_the_configuration_works_too(tmp_path: Path) -> None:
    needs_real()
    with real(tmp_path, "classic") as site:
        assert site.probe(site.bucket())["results"][0]["arrived"]


def test_a_store_stopped_as_its_unit_does_leaves_no_write_without_an_event(tmp_path: Path) -> None:
    """By SIGTERM the writes of its last half second have none; `make faults-trace` is the long form of this."""
    needs_real()
    (port,) = free_ports(1)
    rustfs = store([os.environ["STOWAGE_RUSTFS_BIN"]], tmp_path / "store", rustfs_event_targets=event_target(port))
    settings = rustfs.settings
    values = sink_values(settings.endpoint, "2s", heartbeat=2)
    fluent_bit = sink(os.environ["STOWAGE_FLUENT_BIT_BIN"], tmp_path / "sink", port, values)
    with contextlib.ExitStack() as stack:
        stack.enter_context(rustfs.program.running())
        driver, writers = set_up(settings)
        stack.enter_context(fluent_bit.program.running())
        wait_for_port(fluent_bit.program, port)
        bind(settings, driver)
        load = Load(settings.endpoint, writers, ASSETS, total=300, rate=60, seed=1)
        working = threading.Thread(target=load.run)
        working.start()
        time.sleep(2)
        rustfs.program.end(signal.Signals[stop_signal()])
        rustfs.program.start()
        working.join()
        verdict, unreadable, _ = drain(rustfs, load, 120)
    assert len(load.ledger.done) >= 300
    assert load.ledger.unanswered, "the store was away for a moment"
    assert (verdict.missing, verdict.wrong_key, verdict.strange, unreadable) == ([], [], [], 0)
