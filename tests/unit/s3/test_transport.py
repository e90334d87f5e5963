"""One rule of trust, proxies and words for all who speak to a store."""

from __future__ import annotations

import dataclasses
import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stowage import errors
from stowage.access.driver_minio import MinioDriver
from stowage.access.signed_http import SignedHttp
from stowage.doctor import FAIL, examine
from stowage.s3.connection import S3Settings, engine_errors, s3_client
from stowage.s3.transport import authorities, server_clock


def by_boto(settings: S3Settings) -> None:
    with engine_errors("look", settings.endpoint):
        s3_client(settings).list_buckets()


def by_admin(settings: S3Settings) -> None:
    SignedHttp(settings, "/rustfs/admin/v3/").call("GET", "info", "look")


def by_minio(settings: S3Settings) -> None:
    MinioDriver(settings).policies()


def by_doctor(settings: S3Settings) -> None:
    (finding,) = examine(settings, "bucket")
    assert finding.result == FAIL
    raise errors.NetworkError(finding.detail, finding.cure)


EVERYONE = [by_boto, by_admin, by_minio, by_doctor]
Look = Callable[[S3Settings], None]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture
def plain() -> Iterator[str]:
    """The authority of a server that speaks HTTP and refuses everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def settings(endpoint: str) -> S3Settings:
    return S3Settings(endpoint=endpoint, access_key="key", secret_key="s3cret-value", max_attempts=1)


@pytest.mark.parametrize("look", EVERYONE)
def test_https_on_a_plain_port_is_said_by_everyone(look: Look, plain: str) -> None:
    with pytest.raises(errors.NetworkError, match="the server speaks plain HTTP, the endpoint says https") as caught:
        look(settings(f"https://{plain}"))
    assert caught.value.hint == f"use http://{plain}"


@pytest.mark.parametrize("look", EVERYONE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_proxy_is_told_from_a_dead_store(look: Look, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = free_port()
    monkeypatch.setenv(f"{scheme}_proxy", f"http://me:s3cret-proxy@127.0.0.1:{dead}")
    with pytest.raises(errors.NetworkError, match=f"the proxy 127.0.0.1:{dead} does not let through") as caught:
        look(settings(f"{scheme}://store.example.net"))
    assert "NO_PROXY=store.example.net" in str(caught.value.hint)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("look", EVERYONE)
def test_no_proxy_is_honoured_by_everyone(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(errors.NetworkError, match="nothing listens there"):
        look(settings(f"http://127.0.0.1:{free_port()}"))


def test_any_certificate_wins_over_a_bundle_and_the_system_over_certifi(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    named = dataclasses.replace(settings("https://nas"), ca_bundle=str(bundle))
    assert authorities(named) == str(bundle)
    assert authorities(dataclasses.replace(named, verify=False)) is False
    system = ssl.get_default_verify_paths().cafile
    if system:
        assert authorities(settings("https://nas")) == system


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("Sun, 22 Nov 2026 18:00:00 GMT", datetime(2026, 11, 22, 18, tzinfo=UTC)),
        ("Sun, 22 Nov 2026 18:00:00 GMT, Sun, 22 Nov 2026 19:00:00 GMT", datetime(2026, 11, 22, 18, tzinfo=UTC)),
        ("Sun, 22 Nov 2026 18:00:00 -0000", datetime(2026, 11, 22, 18, tzinfo=UTC)),
        ("0", None),
        ("", None),
        (None, None),
        ("Sun, 99 Nov 2026 18:00:00 GMT", None),
    ],
)
def test_a_clock_that_is_none_is_no_clock(header: str | None, told: datetime | None) -> None:
    assert server_clock(header) == told
