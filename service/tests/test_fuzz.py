"""Malformed requests: never a 500, never a traceback, nothing left behind. FILATOR_FUZZ=10000 for the long run."""

from __future__ import annotations

import http.client
import os
import random
import secrets
from concurrent.futures import ThreadPoolExecutor

from conftest import MakeSite, Site, sql
from test_files import get, post
from test_sweeps import versions

COUNT = int(os.environ.get("FILATOR_FUZZ", "600"))
WORDS = [
    b"\r\n",
    b"\n",
    b"--",
    b"--b",
    b"\r\n--b\r\n",
    b"\r\n--b--\r\n",
    b'Content-Disposition: form-data; name="body"; filename="x"',
    b'Content-Disposition: form-data; name="metadata[\xff]"',
    b'Content-Disposition: form-data; name="delete_at"',
    b'Content-Disposition: form-data; name="store_prefix"',
    b"Content-Type: text/html; charset=\xd1",
    b"Content-Disposition: attachment",
    b"\x00",
    b"a" * 5000,
    b"never",
    b"2001-02-30",
    b"99999-01-01",
    b"../..",
]
PATHS = [
    "/attachments",
    "/attachments/",
    "/attachments/%00",
    "/attachments/" + "a" * 64,
    "/attachments/" + "A" * 64 + ".json",
    "/attachments/" + "g" * 64,
    "/attachments/" + "a" * 64 + "?redirect=1&redirect=2",
    "/attachments/" + "b" * 64 + "?expected_sha256=%ff&store_prefix=%2e%2e",
    "/attachments/archive/tx",
    "/attachments/archive/tx?date=00000000",
    "/attachments/archive/tx?date=%F0%9F%92%A9",
    "/attachments/archive/" + "c" * 64,
    "/attachments/archive/" + "c" * 64 + "?objects=all&message=%00",
    "/attachments/archive/tx?" + "&".join(f"k{n}=v" for n in range(150)),
    "/openapi.json",
    "/readyz",
    "/%2e%2e/etc/passwd",
    "//attachments",
]
HEADERS = {
    "Content-Type": ["multipart/form-data; boundary=b", "multipart/form-data", "multipart/form-data; boundary=",
                     'multipart/form-data; boundary="b\\""', "text/plain", "application/x-www-form-urlencoded", "\xff"],
    "Range": ["bytes=0-0", "bytes=5-1", "bytes=-0", "bytes=0-0,1-1,2-2", "bytes=99999999999999999999-", "x=1",
              "bytes=" + "0-0," * 40],
    "If-None-Match": ["*", '"', "W/", '"' + "a" * 64 + '"'],
    "If-Range": ["*", "Sat, 01 Jan 2000 00:00:00 GMT", "\xe9"],
    "X-Metadata-K": ["\xff\xfe", "v", "x" * 5000],
    "X_Metadata_": ["empty key"],
    "X-Request-Id": ["a b", "ok-1", "x" * 300],
    "Host": ["files.example.org", "\xe9", "[::1"],
    "Authorization": ["Bearer", "Basic !!!", "Basic " + "A" * 100],
}  # fmt: skip
VALID = b'--b\r\nContent-Disposition: form-data; name="body"; filename="f"\r\n\r\ndata\r\n--b--\r\n'


def body(dice: random.Random) -> bytes:
    kind = dice.random()
    if kind < 0.2:
        return b""
    if kind < 0.5:
        data = bytearray(VALID)
        for _ in range(dice.randint(1, 4)):
            spot = dice.randrange(len(data))
            action = dice.random()
            if action < 0.4:
                data[spot] = dice.randrange(256)
            elif action < 0.7:
                del data[spot : spot + dice.randint(1, 20)]
            else:
                data[spot:spot] = dice.choice(WORDS)
            data = data or bytearray(b"x")
        return bytes(data)
    return b"".join(dice.choice(WORDS) for _ in range(dice.randint(1, 12)))


def shoot(site: Site, number: int) -> str | None:
    """Send one request; returns what was wrong with the answer."""
    dice = random.Random(number)
    connection = http.client.HTTPConnection("127.0.0.1", site.app.port, timeout=30)
    method = dice.choice(["POST", "POST", "PUT", "GET", "HEAD", "DELETE", "PATCH", "OPTIONS"])
    path = dice.choice(PATHS)
    data = body(dice)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    headers = {"Host": "x", "Content-Type": HEADERS["Content-Type"][0]}
    for name in dice.sample(list(HEADERS), dice.randint(0, 4)):
        headers[name] = dice.choice(HEADERS[name])
    for name, value in headers.items():
        connection.putheader(name, value.encode("latin-1"))
    connection.putheader("Content-Length", str(len(data)))
    try:
        connection.endheaders(data)
        answer = connection.getresponse()
        text = answer.read()
    except (http.client.HTTPException, OSError):
        # The server may close on bytes that are no HTTP; that is an answer too.
        return None
    finally:
        connection.close()
    if answer.status >= 500:
        return f"request {number}: {method} {path} {headers} {data[:200]!r}: {answer.status} {text[:200]!r}"
    if b"Traceback" in text or b'File "' in text:
        return f"request {number}: a traceback in the answer"
    return None


def test_malformed_requests_never_fail_the_service_or_leave_anything(make_site: MakeSite) -> None:
    site = make_site("s3")
    start = secrets.randbelow(1 << 40) if COUNT > 600 else 0
    with ThreadPoolExecutor(4) as pool:
        wrong = [text for text in pool.map(lambda number: shoot(site, number), range(start, start + COUNT)) if text]
    assert wrong == []
    known = {
        row["version_id"]
        for row in sql(site, "SELECT version_id FROM attachments UNION SELECT version_id FROM blob_gc")
    }
    assert set(versions(site)) <= known
    assert not site.s3.list_multipart_uploads(Bucket=site.bucket).get("Uploads")
    assert get(site, post(site, b"still well")["uuid"]).content == b"still well"
