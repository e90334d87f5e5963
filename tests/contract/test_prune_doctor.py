"""``stowage doctor`` against a live server: each fault is brought about, and must be named."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Server
from versioned import STORES, open_store, stored, versioned_bucket

from stowage.doctor import FAIL, OK, WARN, Finding, examine
from stowage.s3.connection import S3Settings, iam_client, s3_client

OPENAPI = Path(__file__).parents[2] / "service" / "src" / "filator" / "openapi.json"


@pytest.fixture(scope="module")
def client(weed: Server) -> Any:
    return s3_client(weed.settings)


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


def restricted(weed: Server, bucket: str) -> S3Settings:
    """A key that may list one bucket and nothing else."""
    iam = iam_client(weed.settings)
    user = f"lister-{bucket}"
    iam.create_user(UserName=user)
    iam.put_user_policy(
        UserName=user,
        PolicyName="list",
        PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:ListBucket"],'
        f'"Resource":["arn:aws:s3:::{bucket}"]}}]}}',
    )
    pair = iam.create_access_key(UserName=user)["AccessKey"]
    return weed.settings.with_key(pair["AccessKeyId"], pair["SecretAccessKey"])


def test_a_misspelt_bucket_is_a_fault_also_for_a_key_that_may_do_nothing_there(
    weed: Server, client: Any, bucket: str
) -> None:
    key = restricted(weed, bucket)
    found = findings(key, f"{bucket}x")
    assert (found["bucket"].result, bucket in found["bucket"].cure) == (FAIL, True)
    foreign = findings(key, versioned_bucket(client))
    assert (foreign["bucket"].result, "has no rights on it" in foreign["bucket"].detail) == (FAIL, True)
    assert "bucket" not in findings(key, bucket)


def test_a_store_without_versions_is_told_with_what_would_help(juicefs: Server) -> None:
    name = "doctor-plain"
    s3_client(juicefs.settings).create_bucket(Bucket=name)
    found = findings(juicefs.settings, name)
    assert (found["s3:GetBucketVersioning"].result, "(501)" in found["s3:GetBucketVersioning"].detail) == (WARN, True)
    assert "use a store that can" in found["s3:GetBucketVersioning"].cure
    assert FAIL not in {one.result for one in found.values()}


Page = tuple[int, str, bytes]


@contextlib.contextmanager
def pages(answers: dict[str, Page], *more: tuple[str, str]) -> Iterator[S3Settings]:
    """A double of something that is no store: these answers by path, 404 for the rest, with more headers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = answers.get(self.path.partition("?")[0], (404, "application/json", b'{"error": 1}'))
            self.send_response_only(status)
            for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *more):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield S3Settings(endpoint=f"http://127.0.0.1:{server.server_port}", access_key="k", secret_key="s" * 8)
        server.shutdown()


@pytest.mark.parametrize(
    "answers",
    [
        {
            "/": (200, "text/html", b"<!doctype html><title>filator</title>"),
            "/openapi.json": (200, "application/json", OPENAPI.read_bytes()),
        },
        {
            "/": (401, "application/json", b"{}"),
            "/openapi.json": (401, "application/json", b"{}"),
            "/healthz": (200, "application/json", b'{"status":"ok"}'),
            "/attachments": (401, "application/json", b"{}"),
        },
    ],
    ids=["open", "with tokens"],
)
def test_the_file_service_is_told_from_a_store(answers: dict[str, Page]) -> None:
    with pages(answers) as settings:
        found = findings(settings, "filator")["signature"]
    assert (found.result, "is the file service" in found.detail) == (FAIL, True)


@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/html", b"<!doctype html><p>hello"),
        (200, "text/html", b"<html><body>hello</body></html>"),
        (200, "application/json", b"{}"),
        (404, "text/html", b"<html><body>nothing</body></html>"),
        (401, "text/plain", b"who are you?"),
    ],
)
def test_what_is_no_store_is_no_healthy_store(answer: Page) -> None:
    with pages({"/": answer, "/filator": answer}) as settings:
        found = findings(settings, "filator")["signature"]
    assert (found.result, "not an answer of S3" in found.detail) == (FAIL, True)


@pytest.mark.parametrize("dates", [["0"], ["Sun, 22 Nov 2026 18:00:00 GMT", "Sun, 22 Nov 2026 18:00:01 GMT"], ["soon"]])
def test_a_clock_that_can_not_be_read_ends_nothing(dates: list[str]) -> None:
    with pages({}, *(("Date", one) for one in dates)) as settings:
        assert "signature" in findings(settings, "filator")


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
