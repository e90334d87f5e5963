"""Events as they lie in the events bucket, made into plain records. Pure functions.

A batch is lines of JSON (Fluent Bit, one event a line with the time it came in), perhaps compressed. The reader takes
what may be there: the envelope of RustFS and MinIO with ``Records``, a bare record, and lines that are none. The same
event may lie there twice: delivery is at least once (facts/fluent-bit.md 1).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from stowage import errors

HEARTBEAT = "stowage:Heartbeat"
"""Name of the events that the sink makes itself, see roles/fluent_bit."""


@dataclass(frozen=True, order=True)
class Event:
    """One thing that was done to one object.

    Attributes:
        bucket: Where.
        key: The object, decoded.
        name: What, such as ``s3:ObjectCreated:Put``.
        principal: The access key that signed, as the server verified it; empty in the events of DeleteObjects
            (RustFS) and of anonymous calls.
        time: When, as the server wrote it (UTC, ISO 8601).
        version: Version id, empty where there is none.
        sequencer: The server's order of events of one key, hexadecimal; empty where there is none.
        request: Id of the request, empty where the server tells none.
    """

    bucket: str
    key: str
    name: str
    principal: str = ""
    time: str = ""
    version: str = ""
    sequencer: str = ""
    request: str = ""

    @property
    def identity(self) -> tuple[str, ...]:
        """What two copies of one event have in common, and two events never have."""
        return (self.bucket, self.key, self.name, self.version, self.sequencer, self.time)


@dataclass(frozen=True)
class Batch:
    """What one object of the events bucket held.

    Attributes:
        events: In the order of the lines.
        heartbeats: How many lines were the sink's own.
        unreadable: How many lines were no event.
    """

    events: tuple[Event, ...]
    heartbeats: int = 0
    unreadable: int = 0


def read_batch(data: bytes) -> Batch:
    """The events in one object of the events bucket.

    Args:
        data: Its bytes; compressed by gzip or not, told by their beginning.

    Raises:
        BadInputError: The compressed bytes are damaged or cut off.
    """
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise errors.BadInputError(f"a batch of events is no whole gzip file: {error}") from None
    events: list[Event] = []
    heartbeats = unreadable = 0
    for line in data.splitlines():
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError:
            unreadable += 1
            continue
        if isinstance(found, Mapping) and found.get("EventName") == HEARTBEAT:
            heartbeats += 1
            continue
        made = list(events_in(found))
        events += made
        unreadable += not made
    return Batch(tuple(events), heartbeats, unreadable)


def events_in(found: Any) -> Iterable[Event]:
    """The events in one JSON value: an envelope with ``Records``, or a bare record; none for anything else."""
    if not isinstance(found, Mapping):
        return
    records = found.get("Records")
    for record in records if isinstance(records, list) else [found]:
        if isinstance(record, Mapping) and (event := _event(record, found)):
            yield event


def _event(record: Mapping[str, Any], envelope: Mapping[str, Any]) -> Event | None:
    thing = _mapping(record, "s3", "object")
    bucket = str(_mapping(record, "s3", "bucket").get("name") or "")
    key = unquote_plus(str(thing.get("key") or ""))
    # The envelope's own key is not encoded at all; object.key is form-encoded (docs/quirks.md).
    whole = str(envelope.get("Key") or "")
    if bucket and whole.startswith(f"{bucket}/"):
        key = whole[len(bucket) + 1 :]
    name = str(record.get("eventName") or envelope.get("EventName") or "")
    if not (bucket and name):
        return None
    return Event(
        bucket=bucket,
        key=key,
        # AWS leaves the beginning out.
        name=name if name.startswith("s3:") else f"s3:{name}",
        principal=str(_mapping(record, "userIdentity").get("principalId") or ""),
        time=str(record.get("eventTime") or ""),
        version=str(thing.get("versionId") or ""),
        sequencer=str(thing.get("sequencer") or ""),
        # RustFS beta.5 leaves the response's id empty and puts it among the request's parameters.
        request=str(
            _mapping(record, "responseElements").get("x-amz-request-id")
            or _mapping(record, "requestParameters").get("x-amz-request-id")
            or ""
        ),
    )


def _mapping(value: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found: Any = value
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}
