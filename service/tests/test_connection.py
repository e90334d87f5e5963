"""Where a request ends, what a head may hold, how a connection is closed: with bytes that no HTTP library sends."""

from __future__ import annotations

import json
import time

import pytest
import requests
from conftest import MakeSite, Site
from raw import FORM, FORM_TYPE, upload, wire

from filator.connection import HEAD_BYTES, HEAD_FIELDS

MARKER = b"GET /healthz?smuggled HTTP/1.1\r\nHost: x\r\nX-Request-Id: smuggled\r\n\r\n"
NEXT = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: next\r\nConnection: close\r\n\r\n"
NOWHERE = b"/attachments/" + b"a" * 64


@pytest.fixture(scope="module")
def site(make_site: MakeSite) -> Site:
    return make_site("db", FILATOR_HEAD_SECONDS="1", FILATOR_IDLE_SECONDS="1")


# -- an offer to upgrade changes nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize("offer", [b"foo", b"h2c", b"websocket", b"TLS/1.0", b"h2c, websocket"])
@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE", b"OPTIONS"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("pieces", ["whole", "body later", "bytes"])
def test_the_body_of_a_request_with_an_offer_is_not_the_next_request(
    site: Site, offer: bytes, method: bytes, framing: str, pieces: str
) -> None:
    offers = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + offer + b"\r\nHTTP2-Settings: AAMAAABk\r\n"
    first = method + b" " + NOWHERE + b" HTTP/1.1\r\nHost: x\r\nX-Request-Id: first\r\n" + offers
    if framing == "length":
        head, body = first + b"Content-Length: %d\r\n\r\n" % len(MARKER), MARKER
    else:
        head, body = first + b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(MARKER), MARKER)
    with wire(site.app.port) as connection:
        if pieces == "whole":
            connection.send(head + body + NEXT)
        elif pieces == "body later":
            connection.send(head, body, NEXT, pause=0.01)
        else:
            data = head + body + NEXT
            connection.send(*(data[at : at + 1] for at in range(len(data))), pause=0)
        got = [answer.headers["x-request-id"] for answer in connection.answers()]
    # What was not read to its end may close the connection; nobody else's request is ever answered.
    assert got in (["first", "next"], ["first"])


def test_requests_behind_an_offer_are_answered_in_their_order(site: Site) -> None:
    offer = b"Connection: Upgrade\r\nUpgrade: foo\r\n"
    ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: n%d\r\n%s\r\n"
    with wire(site.app.port) as connection:
        connection.send(b"".join(ask % (number, offer if number % 2 else b"") for number in range(20)) + NEXT)
        assert [it.headers["x-request-id"] for it in connection.answers()] == [f"n{at}" for at in range(20)] + ["next"]


@pytest.mark.parametrize("offer", [b"foo", b"h2c", b"websocket"])
def test_an_upload_with_an_offer_is_kept(site: Site, offer: bytes) -> None:
    with wire(site.app.port) as connection:
        connection.send(upload(b"offered " + offer, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + offer))
        answer = connection.answer()
        assert answer is not None
        assert answer.status == 201, answer
        uuid = json.loads(answer.body)["uuid"]
    assert requests.get(f"{site.url}/attachments/{uuid}", timeout=10).content == b"offered " + offer


def test_a_websocket_is_answered_as_the_plain_request_it_is(site: Site) -> None:
    offer = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n"
    with wire(site.app.port) as connection:
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n", NEXT)
        assert [answer.status for answer in connection.answers()] == [200, 200]
    assert "Traceback" not in site.app.log.read_text()


# -- where it is in doubt where a request ends, there is one refusal and no more ---------------------------------------

POST = b"POST /attachments HTTP/1.1\r\nHost: x\r\n" + FORM_TYPE
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
DOUBTFUL = {
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "offer, length and chunks": POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "length with a sign": POST + b"Content-Length: +5\r\n\r\nhello",
    "negative length": POST + b"Content-Length: -5\r\n\r\nhello",
    "length in hex": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "empty length": POST + b"Content-Length: \r\n\r\nhello",
    "length beyond 64 bits": POST + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    "folded field": POST + b"X-Folded: a\r\n b\r\n\r\n",
    "folded length": POST + b"Content-Length:\r\n 5\r\n\r\nhello",
    "folded chunks": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "gzip": POST + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "identity, then chunked": POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, then identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "vertical tab before chunked": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
    "space before the colon": POST + b"Content-Length : 5\r\n\r\nhello",
    "space before the first field": b"POST /attachments HTTP/1.1\r\n Content-Length: 5\r\nHost: x\r\n\r\nhello",
    "lines that end with LF": b"GET /healthz HTTP/1.1\nHost: x\n\n",
    "a field that ends with LF": b"GET /healthz HTTP/1.1\r\nA: b\nHost: x\r\n\r\n",
    "a head that ends with LF": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\n",
    "a lone CR": b"GET /healthz HTTP/1.1\r\nA: b\rHost: x\r\n\r\n",
    "NUL": b"GET /healthz HTTP/1.1\r\nHost: x\0y\r\n\r\n",
    "a field without a name": b"GET /healthz HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/1.2": b"GET /healthz HTTP/1.2\r\nHost: x\r\n\r\n",
    "HTTP/2.0": b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "CONNECT": b"CONNECT 127.0.0.1:5432 HTTP/1.1\r\nHost: x\r\n\r\n",
    "chunk with 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk with a sign": CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
    "chunk with a space": CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n",
    "chunk without a length": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "chunk beyond 64 bits": CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "chunk line that ends with LF": CHUNKED + b"5\nhello\r\n0\r\n\r\n",
    "chunk that ends with LF": CHUNKED + b"5\r\nhello\n0\r\n\r\n",
    "chunk that is longer than it says": CHUNKED + b"5\r\nhello0\r\n\r\n",
    "chunk extension that ends with LF": CHUNKED + b"5;a\nxx\r\nhello\r\n0\r\n\r\n",
    "chunk extension with a lone CR": CHUNKED + b"5;a\rxx\r\nhello\r\n0\r\n\r\n",
    "chunk extension with a quoted LF": CHUNKED + b'5;a="\n"\r\nhello\r\n0\r\n\r\n',
    "chunk extension without an end": CHUNKED + b"5;" + b"a" * (5 * HEAD_BYTES),
    "trailer without an end": CHUNKED + b"0\r\nA: " + b"a" * (5 * HEAD_BYTES),
    "many trailers": CHUNKED + b"0\r\n" + b"A: b\r\n" * HEAD_BYTES,
    "length as a trailer": CHUNKED + b"0\r\nContent-Length: 80\r\n\r\n",
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_doubtful_request_is_refused_and_nothing_behind_it_is_answered(site: Site, name: str) -> None:
    with wire(site.app.port) as connection:
        connection.send(DOUBTFUL[name], MARKER, MARKER)
        answers = connection.answers()
    assert [answer.status for answer in answers] in ([400], [431]), answers
    assert answers[0].headers["connection"] == "close"
    assert answers[0].headers.get("x-request-id") != "smuggled"


def test_a_fault_behind_a_request_leaves_the_answer_to_it_whole(site: Site) -> None:
    content = b"x" * 300_000
    url = f"{site.url}/attachments"
    uuid = requests.post(url, files={"body": ("f", content)}, timeout=10).json()["uuid"]
    with wire(site.app.port) as connection:
        connection.send(b"GET /attachments/%s HTTP/1.1\r\nHost: x\r\n\r\nno HTTP\r\n\r\n" % uuid.encode())
        answers = connection.answers()
    assert [(answer.status, answer.body) for answer in answers] == [(200, content)]


def test_a_fault_in_a_body_whose_request_was_answered_brings_no_second_answer(site: Site) -> None:
    with wire(site.app.port) as connection:
        connection.send(
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"zz\r\n", NEXT, pause=0.2
        )
        assert [answer.status for answer in connection.answers()] == [200]


def test_fields_behind_a_body_are_not_fields_of_the_head(site: Site) -> None:
    body = FORM % b"with a trailer"
    trailer = b"X-Metadata-Owner: mallory\r\n"
    with wire(site.app.port) as connection:
        connection.send(CHUNKED + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailer))
        answer = connection.answer()
    assert answer is not None
    assert answer.status == 201
    assert json.loads(answer.body)["metadata"] == {}


def test_extensions_of_chunks_are_ignored(site: Site) -> None:
    body = FORM % b"with an extension"
    with wire(site.app.port) as connection:
        connection.send(CHUNKED + b"%x;a=b;c\r\n%s\r\n0;d\r\n\r\n" % (len(body), body))
        answer = connection.answer()
    assert answer is not None
    assert answer.status == 201


# -- a head has bounds -------------------------------------------------------------------------------------------------

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
TOO_MUCH = {
    "a long value": GET + b"A: " + b"a" * HEAD_BYTES + b"\r\n\r\n",
    "a value without an end": GET + b"A: " + b"a" * (40 * HEAD_BYTES),
    "a name without an end": GET + b"a" * (40 * HEAD_BYTES),
    "an address without an end": b"GET /" + b"a" * (40 * HEAD_BYTES),
    "many fields": GET + b"A: b\r\n" * HEAD_FIELDS + b"\r\n",
    "fields without an end": GET + b"A: b\r\n" * (20 * HEAD_BYTES),
    "fields of 64 KiB together": GET + (b"A: " + b"a" * 1000 + b"\r\n") * 66 + b"\r\n",
    "empty lines without an end": b"\r\n" * (20 * HEAD_BYTES),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_a_head_beyond_its_bounds_is_431(site: Site, name: str) -> None:
    with wire(site.app.port) as connection:
        connection.send(TOO_MUCH[name])
        answers = connection.answers()
    assert [answer.status for answer in answers] == [431]
    assert answers[0].headers["connection"] == "close"


def test_a_head_within_its_bounds_is_taken(site: Site) -> None:
    fields = b"".join(b"A%d: %s\r\n" % (number, b"a" * 480) for number in range(HEAD_FIELDS - 1))
    with wire(site.app.port) as connection:
        connection.send(GET + fields + b"\r\n")
        answer = connection.answer()
    assert answer is not None
    assert answer.status == 200


def test_heads_behind_long_bodies_are_counted_by_themselves(site: Site) -> None:
    long = upload(b"a" * 400_000)
    with wire(site.app.port) as connection:
        connection.send((long + GET + b"A: " + b"a" * 50_000 + b"\r\n\r\n") * 3 + NEXT)
        assert [answer.status for answer in connection.answers()] == [201, 200] * 3 + [200]


# -- a client that stops is not waited for -----------------------------------------------------------------------------

HALF = {
    "nothing": (b"", []),
    "half a request line": (b"GET /heal", [408]),
    "half a head": (GET + b"A: b", [408]),
    "empty lines": (b"\r\n\r\n", []),
    "half a small body": (upload(b"x" * 100)[:-30], [408]),
    "half a body in chunks": (CHUNKED + b"10\r\nabc", [408]),
    "half a body that nobody asked for": (GET + b"Content-Length: 10\r\n\r\nabc", [200]),
    "half of the fields of an archive": (
        b"POST /attachments/archive/tx HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\ndate",
        [408],
    ),
    "an answer, then half a head": (GET + b"\r\n" + GET, [200, 408]),
}


@pytest.mark.parametrize("name", HALF)
def test_who_stops_halfway_is_closed(site: Site, name: str) -> None:
    sent, wanted = HALF[name]
    with wire(site.app.port, timeout=25) as connection:
        if sent.count(b"GET") == 2:
            connection.send(sent[: len(GET) + 2], sent[len(GET) + 2 :])
        else:
            connection.send(sent)
        assert [answer.status for answer in connection.answers()] == wanted


@pytest.mark.parametrize("drip", [b"A", b"\r\n"])
def test_who_drips_a_head_is_closed_all_the_same(site: Site, drip: bytes) -> None:
    with wire(site.app.port) as connection:
        connection.send(GET if drip == b"A" else b"")
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            try:
                connection.socket.sendall(drip)
            except OSError:
                break
            time.sleep(0.1)
        else:
            pytest.fail("the connection was kept open")
