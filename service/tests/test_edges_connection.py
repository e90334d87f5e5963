"""What an edge hands on to the service's connections: no offer to upgrade, and no request of somebody else's."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from conftest import MakeSite, Site
from raw import FORM, FORM_TYPE, upload, wire
from test_edges import PROXIES, in_front

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMAAABk\r\n"


class Upstream:
    """Answers every request with 200 and keeps the heads."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.heads: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                data = b""
                while b"\r\n\r\n" not in data and (more := client.recv(65536)):
                    data += more
                self.heads.append(data)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    def close(self) -> None:
        self._socket.close()


def head_behind(proxy: str, folder: Path, fields: bytes = OFFER % b"websocket", **more: object) -> bytes:
    """What an upstream sees of a request with an offer, or with other fields, in lower case."""
    upstream = Upstream()
    try:
        with (
            in_front(proxy, folder, upstream.port, **more) as edge,
            wire(int(edge.service_url.rpartition(":")[2])) as client,
        ):
            host = edge.service_url.removeprefix("http://").encode()
            client.send(b"GET /attachments/x HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (host, fields))
            answer = client.answer()
            assert answer is not None
            assert answer.status == 200
        return next(head for head in upstream.heads if b"/attachments/x" in head).lower()
    finally:
        upstream.close()


@pytest.mark.parametrize("proxy", PROXIES)
def test_an_edge_hands_on_no_offer_to_upgrade(proxy: str, tmp_path: Path) -> None:
    head = head_behind(proxy, tmp_path)
    assert b"upgrade" not in head
    assert b"http2-settings" not in head


@pytest.mark.parametrize("proxy", PROXIES)
def test_an_object_site_hands_on_no_offer_either(proxy: str, tmp_path: Path) -> None:
    assert b"upgrade" not in head_behind(proxy, tmp_path, kind="object")


@pytest.mark.parametrize("kind", ["service", "object"])
@pytest.mark.parametrize("proxy", PROXIES)
def test_what_a_client_says_about_where_it_comes_from_is_replaced(proxy: str, kind: str, tmp_path: Path) -> None:
    claims = (
        b"X-Forwarded-For: 203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\n"
        b"X-Forwarded-Host: 203.0.113.9\r\nX-Forwarded-Proto: 203.0.113.9\r\n"
    )
    head = head_behind(proxy, tmp_path, claims, kind=kind)
    assert b"203.0.113.9" not in head
    assert b"x-forwarded-for: 127.0.0.1" in head


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_site_whose_program_speaks_websocket_hands_the_offer_on(proxy: str, tmp_path: Path) -> None:
    head = head_behind(proxy, tmp_path, upgrade=True)
    assert b"\r\nconnection: upgrade\r\n" in head
    assert b"\r\nupgrade: websocket\r\n" in head


@pytest.fixture(scope="module")
def opened(make_site: MakeSite) -> Site:
    return make_site("db", FILATOR_EDGE_LISTEN="yes", FILATOR_EDGE_ACCESS="open", FILATOR_MAX_BODY_BYTES="4000000")


@pytest.fixture(scope="module", params=PROXIES)
def front(request: pytest.FixtureRequest, opened: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The authority of an edge that is open on purpose."""
    with in_front(request.param, tmp_path_factory.mktemp(request.param), opened.app.edge_port) as edge:
        yield edge.service_url.removeprefix("http://")


@pytest.mark.parametrize("offer", [b"foo", b"h2c", b"websocket"])
def test_other_clients_get_what_they_asked_while_one_smuggles(front: str, offer: bytes) -> None:
    uuids = [
        requests.post(f"http://{front}/attachments", files={"body": ("f", b"%d" % at)}, timeout=20).json()["uuid"]
        for at in range(5)
    ]
    port = int(front.rpartition(":")[2])
    marker = b"GET /attachments/%s.json HTTP/1.1\r\nHost: %s\r\n\r\n" % (uuids[0].encode(), front.encode())
    head = b"GET /attachments/%s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n"
    for _ in range(10):
        with wire(port) as attacker:
            attacker.send(head % (b"a" * 64, front.encode(), OFFER % offer, len(marker)), marker, pause=0.01)
            for number, uuid in enumerate(uuids):
                assert requests.get(f"http://{front}/attachments/{uuid}", timeout=20).content == b"%d" % number


@pytest.mark.parametrize("offer", [b"foo", b"h2c", b"websocket"])
def test_an_upload_with_an_offer_is_kept_behind_an_edge(front: str, offer: bytes) -> None:
    with wire(int(front.rpartition(":")[2])) as client:
        data = upload(b"offered", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + offer)
        client.send(data.replace(b"Host: x", b"Host: " + front.encode()))
        answer = client.answer()
    assert answer is not None
    assert answer.status == 201, answer
    assert json.loads(answer.body)["filename"] == "f"


def test_fields_behind_a_body_do_not_pass_an_edge(front: str) -> None:
    body = FORM % b"with a trailer"
    head = (
        b"POST /attachments HTTP/1.1\r\nHost: %s\r\n%sTransfer-Encoding: chunked\r\nTrailer: X-Metadata-Owner\r\n\r\n"
    )
    with wire(int(front.rpartition(":")[2])) as client:
        client.send(head % (front.encode(), FORM_TYPE))
        client.send(b"%x\r\n%s\r\n0\r\nX-Metadata-Owner: mallory\r\n\r\n" % (len(body), body))
        answer = client.answer()
    assert answer is not None
    assert answer.status == 201, answer
    assert json.loads(answer.body)["metadata"] == {}
