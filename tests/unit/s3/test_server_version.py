"""Ways around faults hold for the versions that were seen to have them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from stowage.s3.connection import S3Settings, s3_client
from stowage.s3.server_version import READS_FAR_MORE_THAN_IT_SHOWS, rustfs_version


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body: bytes = self.server.body  # type: ignore[attr-defined]
            self.send_response(200 if self.path == "/health" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.mark.parametrize(
    ("told", "version", "known"),
    [
        ({"service": "rustfs-endpoint", "version": "1.0.0-beta.4", "status": "ok"}, "1.0.0-beta.4", True),
        ({"service": "rustfs-endpoint", "version": "1.0.0-beta.8"}, "1.0.0-beta.8", False),
        # As 1.0.0-rc.3 answers.
        ({"service": "rustfs-endpoint", "status": "ok"}, "", False),
        ({"service": "something", "version": "1.0.0-beta.4"}, "", False),
        (["no object"], "", False),
        (None, "", False),
    ],
)
def test_only_a_version_that_is_told_and_known_counts(server: Any, told: Any, version: str, known: bool) -> None:
    server.body = json.dumps(told).encode() if told else b"<html>"
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    client = s3_client(S3Settings(endpoint=endpoint, access_key="k", secret_key="s"))
    assert rustfs_version(client) == version
    assert (version in READS_FAR_MORE_THAN_IT_SHOWS) is known


def test_a_server_that_is_not_there_tells_nothing() -> None:
    client = s3_client(S3Settings(endpoint="http://127.0.0.1:9", access_key="k", secret_key="s"))
    assert rustfs_version(client) == ""
