"""Does an event really arrive? A canary in each bucket tells, and a binding that swallows events is named.

A binding that the server accepts may send nothing (docs/quirks.md), and the sink's own health page says "ok" while no
upload succeeds (facts/fluent-bit.md 8). So the proof is an object that is written, and its event read back from the
events bucket.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from stowage import errors
from stowage.access.model import Target
from stowage.events.bindings import Binding, parsed
from stowage.events.causes import Cause, bucket_causes, sink_causes
from stowage.events.normal import Event
from stowage.events.proof import Proof, load_proofs, store_proofs
from stowage.events.trace import Stored, TraceAge, list_since, read_object, store_time, trace_age
from stowage.s3.connection import engine_errors

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

PREFIX = "stowage-canary/"
"""Keys of canaries begin so; whoever reads the trace may leave them out."""
# Objects are named by their first event's time, which may lie this long before the canary's.
_BEFORE = timedelta(minutes=20)


@dataclass
class Sighting:
    """What became of one bucket's canary.

    Attributes:
        bucket: The bucket.
        key: The canary.
        arrived: Whether its event was found.
        seconds: From the write to the sight of its event; ``None`` when none was seen.
        copies: How often it was found; delivery is at least once.
        principal: Access key in the event.
        trace: Key of the object in the events bucket.
        causes: Why not, likeliest first.
        proven: When an earlier canary arrived (UTC), where that was enough and none was written now; else empty.
    """

    bucket: str
    key: str
    arrived: bool = False
    seconds: float | None = None
    copies: int = 0
    principal: str = ""
    trace: str = ""
    causes: list[str] = field(default_factory=list)
    proven: str = ""

    def __str__(self) -> str:
        if self.proven:
            return f"bucket {self.bucket}: bound as at {self.proven}, when an event arrived after {self.seconds:.0f} s"
        if self.arrived:
            return f"bucket {self.bucket}: event arrived after {self.seconds:.0f} s"
        return f"bucket {self.bucket}: no event arrived" + "".join(f"; {cause}" for cause in self.causes)


@dataclass
class Report:
    """What was seen: a sighting for each bucket, and how fresh the trace was at the end."""

    buckets: list[Sighting]
    sink: TraceAge

    def result(self) -> dict[str, Any]:
        """Plain data for a module."""
        lost = [str(one) for one in self.buckets if not one.arrived]
        odd = [
            f"bucket {one.bucket}: the event names key {one.principal or 'nobody'}, not the one that wrote the canary"
            for one in self.buckets
            if one.arrived and one.causes
        ]
        return {
            "results": [{**asdict(one), "said": str(one)} for one in self.buckets],
            "sink": self.sink.result(),
            "mismatches": lost + odd,
        }


Progress = Callable[[str], None]
listeners: list[Progress] = []
"""Told of progress by every probe that was given no function of its own; the action plugin adds Ansible's display."""


def _tell_listeners(line: str) -> None:
    for listener in listeners:
        listener(line)


class Probe:
    """Canaries on their way.

    Args:
        client: Of a key that may write and remove objects in the buckets and read their bindings.
        reader: Of a key that may list and read the events bucket.
        endpoint: For messages.
        events_bucket: Where the sink writes.
        access_key: The key that ``client`` signs with: the event must name it.
        targets: The server's event targets; ``None`` when it can not be asked.
        age_limit: See :func:`stowage.events.trace.age_limit`.
        progress: Told a line now and then while waiting.
        clock: Monotonic seconds.
        sleep: What waits.
    """

    def __init__(
        self,
        client: S3Client,
        reader: S3Client,
        endpoint: str,
        events_bucket: str,
        *,
        access_key: str,
        targets: Sequence[Target] | None = None,
        age_limit: float = 420,
        progress: Progress = _tell_listeners,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._reader, self._endpoint = client, reader, endpoint
        self._events, self._access_key, self._targets = events_bucket, access_key, targets
        self._limit, self._progress, self._clock, self._sleep = age_limit, progress, clock, sleep
        self._hopeless: dict[str, list[Cause]] = {}
        self._bound: dict[str, tuple[Binding, ...]] = {}
        self._written: dict[str, float] = {}
        self._read: set[str] = set()

    def run(
        self, buckets: Sequence[str], *, timeout: float, interval: float = 2, remember: float = 0, renew: bool = False
    ) -> Report:
        """Write a canary in each bucket, wait for their events, remove the canaries.

        Args:
            buckets: The buckets whose writes must leave a trace.
            timeout: Seconds to wait at the most.
            interval: Seconds between two looks.
            remember: Seconds for which an earlier canary of a bucket is proof enough while its bindings are the same
                and the trace is fresh; 0, none is.
            renew: Write canaries all the same, and remember them.

        Raises:
            RefusedError: The events bucket is among the buckets: its own events would never end.
            NotFoundError: No such bucket.
        """
        if self._events in buckets:
            raise errors.RefusedError(
                f"bucket {self._events} is where events are written: a canary in it would make events of events",
                f"take {self._events} out of the buckets",
            )
        now = store_time(self._reader, self._endpoint, self._events)
        self._since = now - _BEFORE
        mark = secrets.token_hex(6)
        sightings = {bucket: Sighting(bucket, f"{PREFIX}{mark}") for bucket in buckets}
        for one in sightings.values():
            self._bound[one.bucket] = self._bindings(one.bucket)
            self._hopeless[one.bucket] = bucket_causes(one.bucket, one.key, self._bound[one.bucket], self._targets)
        proofs = load_proofs(self._client, self._endpoint, self._events) if remember else {}
        self._recall(sightings, {} if renew else proofs, now, remember)
        asked = {one.bucket: one for one in sightings.values() if not one.proven}
        if asked:
            self._probe(asked, timeout, interval)
        sink = trace_age(self._reader, self._endpoint, self._events, self._limit)
        self._explain(asked, sink)
        if remember and asked:
            kept = {bucket: proof for bucket, proof in proofs.items() if bucket not in asked}
            made = {
                one.bucket: Proof(now, one.seconds, self._bound[one.bucket])
                for one in asked.values()
                if one.seconds is not None and not one.causes
            }
            store_proofs(self._client, self._endpoint, self._events, {**kept, **made})
        return Report(list(sightings.values()), sink)

    def _recall(
        self, sightings: Mapping[str, Sighting], proofs: Mapping[str, Proof], now: datetime, remember: float
    ) -> None:
        """Mark the buckets for which an earlier canary is proof enough."""
        if not proofs or trace_age(self._reader, self._endpoint, self._events, self._limit).stuck:
            return
        for one in sightings.values():
            proof = proofs.get(one.bucket)
            if proof and not self._hopeless[one.bucket] and proof.holds(self._bound[one.bucket], now, remember):
                one.arrived, one.seconds, one.proven = True, proof.seconds, proof.time.isoformat()

    def _probe(self, sightings: Mapping[str, Sighting], timeout: float, interval: float) -> None:
        # What is there already was uploaded before the canaries were written.
        self._read = {one.key for one in self._list()}
        versions: dict[str, str | None] = {}
        try:
            for one in sightings.values():
                versions[one.bucket] = self._write(one)
            self._wait(sightings, timeout, interval)
        finally:
            for bucket, version in versions.items():
                self._remove(bucket, sightings[bucket].key, version)

    def _list(self) -> list[Stored]:
        return list(list_since(self._reader, self._endpoint, self._events, self._since))

    def _bindings(self, bucket: str) -> tuple[Binding, ...]:
        with engine_errors(f"read bindings of bucket {bucket}", self._endpoint):
            return tuple(parsed(dict(self._client.get_bucket_notification_configuration(Bucket=bucket))))

    def _write(self, one: Sighting) -> str | None:
        with engine_errors(f"write a canary in bucket {one.bucket}", self._endpoint):
            # The clock starts before the request: an event may be on its way before the answer is.
            self._written[one.bucket] = self._clock()
            body = b"Written by stowage to see whether its event arrives, and removed again.\n"
            answer = self._client.put_object(Bucket=one.bucket, Key=one.key, Body=body, ContentType="text/plain")
        return answer.get("VersionId")

    def _remove(self, bucket: str, key: str, version: str | None) -> None:
        """Take the canary away, its version too, so that a versioned bucket keeps neither it nor a marker."""
        named = {"VersionId": version} if version else {}
        with contextlib.suppress(errors.StowageError), engine_errors("remove a canary", self._endpoint):
            self._client.delete_object(Bucket=bucket, Key=key, **named)  # type: ignore[arg-type]

    def _wait(self, sightings: Mapping[str, Sighting], timeout: float, interval: float) -> None:
        begun = told = self._clock()
        while True:
            self._look(sightings)
            waiting = [one for one in sightings.values() if not one.arrived]
            hopeful = [one for one in waiting if not any(cause.certain for cause in self._hopeless[one.bucket])]
            now = self._clock()
            if not hopeful or now - begun >= timeout:
                return
            if now - told >= 10:
                told = now
                named = ", ".join(one.bucket for one in waiting)
                arrived = f"{len(sightings) - len(waiting)} of {len(sightings)} canaries arrived"
                self._progress(f"{now - begun:.0f} s of at most {timeout:.0f} s: {arrived}, waiting for {named}")
            self._sleep(interval)

    def _look(self, sightings: Mapping[str, Sighting]) -> None:
        for stored in self._list():
            if stored.key in self._read:
                continue
            for event in read_object(self._reader, self._endpoint, self._events, stored.key).events:
                one = sightings.get(event.bucket)
                if one and event.key == one.key and event.name.startswith("s3:ObjectCreated:"):
                    self._seen(one, event, stored)
            self._read.add(stored.key)

    def _seen(self, one: Sighting, event: Event, stored: Stored) -> None:
        one.copies += 1
        if one.arrived:
            return
        one.arrived, one.principal, one.trace = True, event.principal, stored.key
        one.seconds = round(self._clock() - self._written[one.bucket], 1)
        self._progress(f"{one} as {event.principal or 'nobody'}, in {self._events}/{stored.key}")

    def _explain(self, sightings: Mapping[str, Sighting], sink: TraceAge) -> None:
        arrived = any(one.arrived for one in sightings.values())
        for one in sightings.values():
            if not one.arrived:
                causes = self._hopeless[one.bucket]
                if not any(cause.certain for cause in causes):
                    causes = [*causes, *sink_causes(self._events, sink, others_arrived=arrived)]
                one.causes = [cause.what for cause in causes]
            elif one.principal != self._access_key:
                one.causes = [f"written by {self._access_key}, but the event names {one.principal or 'nobody'}"]
