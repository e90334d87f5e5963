"""``stowage doctor`` against a live server: each fault is brought about, and must be named."""

from __future__ import annotations

import dataclasses
import http.server
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from servers import Server
from versioned import STORES, open_store, stored, versioned_bucket

from stowage.doctor import FAIL, OK, WARN, Finding, examine
from stowage.s3.connection import S3Settings, iam_client, s3_client


@pytest.fixture(scope="module")
def client(weed: Server) -> Any:
    return s3_client(weed.settings)


@pytest.fixture
def bucket(client: Any) -> str:
    return versioned_bucket(client)


def findings(settings: S3Settings, bucket: str) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(settings, bucket)}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Any:
    return open_store(request)


def test_a_healthy_store_has_nothing_wrong_and_nothing_is_written(store: Any) -> None:
    client = s3_client(store.settings)
    name = versioned_bucket(client)
    found = findings(store.settings, name)
    assert {finding.check: finding.detail for finding in found.values() if finding.result != OK} == {}
    assert {"reach", "clock", "signature", "versioning", "s3:DeleteObjectVersion"} <= set(found)
    assert stored(client, name) == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"secret_key": "wrong"}, "the secret is wrong"),
        ({"access_key": "nobody"}, "does not know this access key"),
    ],
)
def test_a_wrong_key_is_named(weed: Server, bucket: str, change: dict[str, str], said: str) -> None:
    found = findings(dataclasses.replace(weed.settings, **change), bucket)  # type: ignore[arg-type]
    assert (found["signature"].result, said in found["signature"].detail) == (FAIL, True)


def test_a_missing_bucket_and_the_wrong_scheme_are_named(weed: Server, bucket: str) -> None:
    assert "no bucket nobody-made-this" in findings(weed.settings, "nobody-made-this")["signature"].detail
    tls = dataclasses.replace(weed.settings, endpoint=weed.settings.endpoint.replace("http:", "https:"))
    assert "speaks plain HTTP" in findings(tls, bucket)["reach"].detail


def test_versioning_that_is_off_is_told(weed: Server, client: Any, bucket: str) -> None:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert findings(weed.settings, bucket)["versioning"].result == WARN


def test_missing_permissions_are_listed_one_by_one(weed: Server, bucket: str) -> None:
    iam = iam_client(weed.settings)
    iam.create_user(UserName=f"reader-{bucket}")
    iam.put_user_policy(
        UserName=f"reader-{bucket}",
        PolicyName="read",
        PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:ListBucket",'
        f'"s3:ListBucketVersions","s3:GetBucketVersioning"],"Resource":["arn:aws:s3:::{bucket}"]}}]}}',
    )
    pair = iam.create_access_key(UserName=f"reader-{bucket}")["AccessKey"]
    found = findings(weed.settings.with_key(pair["AccessKeyId"], pair["SecretAccessKey"]), bucket)
    assert found["s3:DeleteObjectVersion"].result == WARN
    assert found["s3:GetObjectVersion"].result == WARN
    assert {found[name].result for name in ("s3:ListBucket", "s3:ListBucketVersions")} == {OK}


@pytest.fixture
def rewriting_proxy(weed: Server) -> Iterator[str]:
    """A double of a proxy that sets Host to its upstream's name and port."""
    upstream = weed.settings.endpoint
    # The doctor tries the ports that stores usually have; this one has a random port, so the double says another.

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            request = urllib.request.Request(upstream + self.path, headers={**headers, "Host": "127.0.0.1:9000"})
            try:
                with urllib.request.urlopen(request) as answer:
                    status, body = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                status, body = error.code, error.read()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_proxy_that_rewrites_host_is_told_from_a_wrong_secret(
    weed: Server, bucket: str, rewriting_proxy: str
) -> None:
    through = dataclasses.replace(weed.settings, endpoint=rewriting_proxy)
    found = findings(through, bucket)["signature"]
    assert (found.result, "the store saw Host 127.0.0.1:9000" in found.detail) == (FAIL, True)
    wrong = findings(dataclasses.replace(through, secret_key="wrong"), bucket)["signature"]
    assert "the secret is wrong" in wrong.detail
