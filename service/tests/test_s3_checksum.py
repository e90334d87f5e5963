"""Which checksum uploads carry: the cheap one only where nobody could forge it and the store proves that it looks."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import servers
from botocore.stub import ANY, Stubber
from conftest import s3_entry

from filator.models import Pointer
from filator.settings import S3Storage
from filator.storages.s3 import HASHED_BYTES, S3Store, out_of_reach


def conf(**more: Any) -> S3Storage:
    entry = {"name": "s3", "type": "s3", "endpoint": "http://127.0.0.1:9", "access_key": "a", "secret_key": "b"}
    return S3Storage(**{**entry, "bucket": "files", "prefix": "p", **more})


def make(settings: S3Storage) -> S3Store:
    return S3Store(settings, zone=ZoneInfo("UTC"), public={}, limit=1 << 30)


@pytest.mark.parametrize(
    ("endpoint", "more", "expected"),
    [
        ("http://127.0.0.1:9000", {}, True),
        ("http://[::1]:9000", {}, True),
        ("http://localhost:9000", {}, True),
        ("https://s3.example.org", {}, True),
        ("https://s3.example.org", {"ssl_verify_peer": False}, False),
        ("http://192.0.2.1:9000", {}, False),
        ("http://localhost.example.org:9000", {}, False),
    ],
)
def test_only_verified_tls_and_the_same_machine_are_out_of_reach(
    endpoint: str, more: dict[str, Any], expected: bool
) -> None:
    assert out_of_reach(conf(endpoint=endpoint, **more)) is expected


def test_a_real_store_that_refuses_a_wrong_checksum_gets_the_cheap_one_and_keeps_nothing(weed: servers.Weed) -> None:
    bucket = f"checksum-{secrets.token_hex(4)}"
    weed.client().create_bucket(Bucket=bucket)
    store = make(S3Storage(**s3_entry(weed, bucket)))
    asyncio.run(store.start())
    assert store.checksum == "crc64nvme"
    assert "Versions" not in weed.client().list_object_versions(Bucket=bucket)
    for size, header in ((5, "ChecksumSHA256"), (HASHED_BYTES, "ChecksumCRC64NVME")):
        asyncio.run(store.put(Pointer("s3", bucket, header, None), bytes(size)))
        assert header in weed.client().head_object(Bucket=bucket, Key=header, ChecksumMode="ENABLED")


@pytest.mark.parametrize("asked", ["sha256", "crc64nvme"])
def test_a_checksum_that_the_settings_name_is_taken_without_a_proof(asked: str) -> None:
    store = make(conf(checksum=asked))
    with Stubber(store.control) as control:
        store.choose_checksum("files")
        control.assert_no_pending_responses()
    assert store.checksum == asked


def test_a_store_in_reach_of_others_keeps_the_signed_checksum_without_a_proof() -> None:
    store = make(conf(endpoint="http://192.0.2.1:9000"))
    with Stubber(store.control):
        store.choose_checksum("files")
    assert store.checksum == "sha256"


def test_a_store_that_takes_a_wrong_checksum_keeps_sha256_and_loses_the_probe_again() -> None:
    store = make(conf())
    with Stubber(store.control) as control:
        control.add_response("put_object", {"VersionId": "v1"}, None)
        objects = {"Objects": [{"Key": ANY, "VersionId": "v1"}], "Quiet": True}
        control.add_response("delete_objects", {}, {"Bucket": "files", "Delete": objects})
        store.choose_checksum("files")
        control.assert_no_pending_responses()
        store.choose_checksum("files")
    assert store.checksum == "sha256"


def test_a_store_that_answers_something_else_is_asked_again_at_the_next_chance() -> None:
    store = make(conf())
    with Stubber(store.control) as control:
        control.add_client_error("put_object", "AccessDenied", http_status_code=403)
        store.choose_checksum("files")
        assert store.checksum == "sha256"
        control.add_client_error("put_object", "BadDigest", http_status_code=400)
        store.choose_checksum("files")
        control.assert_no_pending_responses()
    assert store.checksum == "crc64nvme"


def test_nothing_is_written_into_a_store_that_is_only_read() -> None:
    store = make(conf(readonly=True))
    with Stubber(store.control):
        store.choose_checksum("files")
    assert store.checksum == "sha256"
