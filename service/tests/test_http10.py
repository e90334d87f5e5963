"""Clients that speak HTTP/1.0: they know no chunks, so every answer must say its length."""

from __future__ import annotations

import json
import socket

from conftest import MakeSite, Site

FORM = b'--b\r\nContent-Disposition: form-data; name="body"; filename="f"\r\n\r\n0123456789\r\n--b--\r\n'


def ask(site: Site, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Send one request and read until the service closes."""
    lines = [f"{method} {path} HTTP/1.0", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    if body:
        lines += [f"Content-Length: {len(body)}", "Content-Type: multipart/form-data; boundary=b"]
    with socket.create_connection(("127.0.0.1", site.app.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
    head, _, content = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    return int(status.split()[1]), dict(field.lower().split(": ", 1) for field in fields), content


def test_every_answer_to_http_1_0_says_its_length_and_the_connection_ends(make_site: MakeSite) -> None:
    site = make_site("db")
    status, _fields, content = ask(site, "POST", "/attachments", FORM)
    assert status == 201
    file = f"/attachments/{json.loads(content)['uuid']}"
    assert ask(site, "GET", file)[2] == b"0123456789"
    assert ask(site, "GET", file, Range="bytes=2-3")[2] == b"23"
    answers = [ask(site, "GET", file, Range="bytes=0-1,4-5"), ask(site, "PUT", file, FORM), ask(site, "POST", file)]
    paths = [f"{file}.json", "/attachments/none", "/healthz", "/readyz", "/metrics", "/", "/openapi.json", "/none"]
    answers += [ask(site, "GET", path) for path in paths]
    for status, fields, content in answers:
        assert "transfer-encoding" not in fields
        assert int(fields["content-length"]) == len(content), (status, fields)
