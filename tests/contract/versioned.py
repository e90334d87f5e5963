"""Help for the version tests: fresh versioned buckets, and writes whose result is known."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest


def versioned_bucket(client: Any, **options: Any) -> str:
    name = f"prune-{secrets.token_hex(5)}"
    client.create_bucket(Bucket=name, **options)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def write_versions(client: Any, bucket: str, keys: Iterable[str], count: int) -> dict[str, list[str]]:
    """Write each key ``count`` times; the ids come back oldest first, the bodies are ``b"<key> <number>"``."""

    def write(key: str) -> tuple[str, list[str]]:
        ids = []
        for number in range(count):
            answer = client.put_object(Bucket=bucket, Key=key, Body=f"{key} {number}".encode())
            ids.append(answer["VersionId"])
        return key, ids

    with ThreadPoolExecutor(8) as pool:
        return dict(pool.map(write, keys))


def stored(client: Any, bucket: str, prefix: str = "") -> dict[str, list[str]]:
    """What is really there, read with boto3's own paginator: version ids by key, delete markers included."""
    found: dict[str, list[str]] = {}
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for row in page.get("Versions", []) + page.get("DeleteMarkers", []):
            found.setdefault(row["Key"], []).append(row["VersionId"])
    return found


STORES = ["weed", "rustfs"]


def open_store(request: pytest.FixtureRequest) -> Any:
    """The server that a parametrised fixture asks for, or a skip that says what is missing."""
    name: str = request.param
    try:
        return request.getfixturevalue(name)
    except pytest.FixtureLookupError:
        pytest.skip(f"needs the fixture {name}: a real RustFS named by STOWAGE_RUSTFS_BIN or STOWAGE_RUSTFS_ENDPOINT")
