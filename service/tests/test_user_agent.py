"""Requests to a store say which edge they come from, by either of the two clients."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from zoneinfo import ZoneInfo

import obstore
import pytest

from filator import __version__
from filator.settings import S3Storage, Settings
from filator.storages.s3 import S3Store


@pytest.fixture
def recorder() -> Iterator[tuple[str, list[str]]]:
    """A server that notes the user agent of each request; its URL and the notes."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            seen.append(self.headers["User-Agent"])
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.send_header("ETag", '"x"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_HEAD  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()


@pytest.mark.parametrize(
    ("edge", "ending"), [("north", f"filator/{__version__}/north"), ("", f"filator/{__version__}")]
)
def test_both_clients_end_their_user_agent_with_the_edge(
    recorder: tuple[str, list[str]], edge: str, ending: str
) -> None:
    url, seen = recorder
    entry = {"name": "main", "type": "s3", "endpoint": url, "access_key": "a", "secret_key": "s", "bucket": "files"}
    settings = Settings.model_validate(
        {
            "database_url": "postgresql://f:p@127.0.0.1/f",
            "redis_url": "redis://127.0.0.1",
            "storages": [entry],
            "edge_name": edge,
        }
    )
    conf = settings.storages[0]
    assert isinstance(conf, S3Storage)
    store = S3Store(conf, zone=ZoneInfo("UTC"), public={}, limit=1000, agent=settings.user_agent)
    store.control.head_bucket(Bucket="files")
    obstore.put(store._store("files"), "key", b"x")
    assert len(seen) == 2
    assert [agent.endswith(ending) for agent in seen] == [True, True], seen
