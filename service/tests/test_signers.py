"""Clients that sign links: as many as endpoints are configured, whatever requests say."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from filator.models import Pointer
from filator.settings import S3Storage
from filator.storages.s3 import S3Store

CONF = {
    "name": "s3",
    "type": "s3",
    "endpoint": "http://127.0.0.1:9000",
    "access_key": "A",
    "secret_key": "B",
    "bucket": "files",
    "public_endpoint": "https://s3.example.org",
}


def test_no_request_adds_a_client_that_signs() -> None:
    known = frozenset({"https://s3.example.org", "https://s3.north.example.org"})
    store = S3Store(S3Storage.model_validate(CONF), zone=ZoneInfo("UTC"), public={}, limit=1000, endpoints=known)
    hosts = set()
    for authority in (*known, *(f"https://{number}.evil.example" for number in range(20))):
        url = store.presign(
            Pointer("s3", "files", "key", None), authority=authority, seconds=60, filename="f", mime_type="a/b"
        )
        assert url is not None
        hosts.add(url.split("/files/")[0])
    assert hosts == known
    assert len(store._signers) == len(known)
