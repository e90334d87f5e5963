"""What lies in the events bucket becomes plain records, and what is no event is counted, not fatal."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowage import errors
from stowage.events.normal import HEARTBEAT, read_batch

RECORD: dict[str, Any] = {
    "eventName": "s3:ObjectCreated:Put",
    "eventTime": "2026-11-22T20:24:17.526758295Z",
    "userIdentity": {"principalId": "AKIAWRITER"},
    "requestParameters": {"principalId": "AKIAWRITER", "principalid": "forged", "x-amz-request-id": "a42c"},
    "responseElements": {"x-amz-request-id": ""},
    "s3": {
        "bucket": {"name": "files"},
        "object": {"key": "dir%2Fa+b%2Bc.txt", "versionId": "v1", "sequencer": "18EA"},
    },
}
ENVELOPE = {"EventName": RECORD["eventName"], "Key": "files/dir/a b+c.txt", "Records": [RECORD]}


def lines(*found: object) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in found)


def test_an_event_of_rustfs_tells_who_did_what_to_which_object() -> None:
    batch = read_batch(lines({"received_at": "2026-11-22T20:24:17.8Z", **ENVELOPE}))
    event = batch.events[0]
    assert (event.bucket, event.key, event.name) == ("files", "dir/a b+c.txt", "s3:ObjectCreated:Put")
    assert (event.principal, event.version, event.sequencer, event.request) == ("AKIAWRITER", "v1", "18EA", "a42c")
    assert (batch.heartbeats, batch.unreadable) == (0, 0)


def test_a_bare_record_is_an_event_and_its_key_is_decoded() -> None:
    assert read_batch(lines(RECORD)).events == read_batch(lines(ENVELOPE)).events


def test_a_key_that_looks_encoded_is_taken_as_the_envelope_says() -> None:
    record = {**RECORD, "s3": {"bucket": {"name": "files"}, "object": {"key": "100%2525"}}}
    assert read_batch(lines({**ENVELOPE, "Key": "files/100%25", "Records": [record]})).events[0].key == "100%25"


def test_a_name_without_its_beginning_gets_it() -> None:
    aws = {**RECORD, "eventName": "ObjectRemoved:Delete"}
    assert read_batch(lines(aws)).events[0].name == "s3:ObjectRemoved:Delete"


def test_heartbeats_and_what_is_no_event_are_counted() -> None:
    data = lines({"EventName": HEARTBEAT, "Records": []}, ENVELOPE, [1], "text", {"EventName": "x"}) + b'{"cut off'
    batch = read_batch(data)
    assert (len(batch.events), batch.heartbeats, batch.unreadable) == (1, 1, 4)


def test_a_compressed_batch_is_read_and_a_damaged_one_refused() -> None:
    packed = gzip.compress(lines(ENVELOPE))
    assert len(read_batch(packed).events) == 1
    with pytest.raises(errors.BadInputError, match="no whole gzip file"):
        read_batch(packed[:-9])


def test_copies_of_an_event_are_one_and_another_event_of_the_key_is_not() -> None:
    later = {**RECORD, "eventTime": "2026-11-22T20:24:18Z", "s3": {**RECORD["s3"]}}
    first, copy, other = read_batch(lines(ENVELOPE, ENVELOPE, {**ENVELOPE, "Records": [later]})).events
    assert first.identity == copy.identity != other.identity


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Records", "s3", "bucket", "object", "name", "key", "userIdentity", "EventName", "eventName", "Key"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=5))
def test_no_line_of_json_breaks_the_reader(found: list[object]) -> None:
    batch = read_batch(lines(*found))
    assert batch.heartbeats + batch.unreadable <= len(found)
    assert all(event.bucket and event.name.startswith("s3:") for event in batch.events)
