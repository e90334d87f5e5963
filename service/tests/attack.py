"""Attacks on the file service while others use it: what they got, how long health took, what memory it cost.

Everything is bounded, on loopback, and comes out of a seed. `test_attack.py` runs it short, `bench/attack.py` long.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import requests
from raw import FORM, FORM_TYPE, upload

SECRET = b"only the attacker asked for this"
OFFERS = (b"foo", b"h2c", b"websocket", b"TLS/1.0", b"HTTP/2.0")


@dataclass
class Target:
    """Where the attack goes.

    Attributes:
        name: direct, caddy, nginx.
        authority: host:port that clients ask.
        pid: of the service's first process.
        log: of the service.
    """

    name: str
    authority: str
    pid: int
    log: Path

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return int(self.authority.rpartition(":")[2])


@dataclass
class Report:
    """What came of it.

    Attributes:
        tried: attacks by their kind.
        asked: requests of the other clients.
        desyncs: answers to the other clients that are not what they asked for, and bodies that were read as requests.
        broken: requests of theirs that got no answer.
        failures: answers 500 in the service's log, and tracebacks.
        health_seconds: the slowest answer of /healthz.
        idle_bytes: resident memory of the service before.
        peak_bytes: and at most.
    """

    tried: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    desyncs: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    failures: int = 0
    health_seconds: float = 0.0
    idle_bytes: int = 0
    peak_bytes: int = 0


def resident(pid: int) -> int:
    """Resident bytes of a process and all below it."""
    parents: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
            sizes[int(entry.name)] = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    found, todo = 0, [pid]
    while todo:
        one = todo.pop()
        found += sizes.get(one, 0)
        todo += parents.get(one, [])
    return found


@contextlib.contextmanager
def connected(target: Target, timeout: float = 5) -> Iterator[socket.socket]:
    """Connect; whatever the other side does to the connection is an answer too."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", target.port), timeout) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


def exchange(target: Target, *pieces: bytes, pause: float = 0.0, wait: float = 0.3) -> bytes:
    """Send the pieces and read what comes within a moment."""
    got = b""
    with connected(target, timeout=wait) as client:
        for piece in pieces:
            client.sendall(piece)
            if pause:
                time.sleep(pause)
        while data := client.recv(65536):
            got += data
    return got


# -- attacks: each takes the target, its dice, and the path of the file that only the attacker asks for --------------


def _smuggled(target: Target, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {target.authority}\r\n\r\n".encode()


def _head(target: Target, dice: random.Random) -> bytes:
    method = dice.choice([b"GET", b"HEAD", b"PUT", b"POST", b"DELETE", b"OPTIONS"])
    return b"%s /attachments/%064x HTTP/1.1\r\nHost: %s\r\n" % (
        method,
        dice.getrandbits(200),
        target.authority.encode(),
    )


def by_upgrade(target: Target, dice: random.Random, path: str) -> str | None:
    """The body of a request with an offer holds another request."""
    marker = _smuggled(target, path)
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMAAABk\r\n" % dice.choice(OFFERS)
    if dice.random() < 0.5:
        framing, body = b"Content-Length: %d\r\n\r\n" % len(marker), marker
    else:
        framing, body = b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(marker), marker)
    got = exchange(target, _head(target, dice) + offer + framing, body, pause=dice.choice([0, 0.005]))
    return f"a body was read as a request: {got!r}" if SECRET in got else None


def by_framing(target: Target, dice: random.Random, path: str) -> None:
    """Two readers may find different ends of this request."""
    marker = _smuggled(target, path)
    length = b"Content-Length: %d\r\n" % dice.choice([0, 4, 5, len(marker)])
    chunks = dice.choice(
        [
            b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding : chunked\r\n",
            b"Transfer-Encoding:\r\n chunked\r\n",
            b"Transfer-Encoding: xchunked\r\n",
            b"Transfer-Encoding: identity, chunked\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            b"Transfer-Encoding:\x0bchunked\r\n",
            b"Transfer_Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\nX: y\r\n",
            b"X: y\rTransfer-Encoding: chunked\r\n",
            b"Content-Length: 0\r\n",
            b"Content-Length: +5\r\n",
            b"Content-Length: 0x10\r\n",
        ]
    )
    fields = dice.choice([length + chunks, chunks + length, chunks])
    body = dice.choice(
        [b"0\r\n\r\n", b"0;a=b\r\n\r\n", b"5;a\nxx\r\nhello\r\n0\r\n\r\n", b"1\r\nZ\r\nQ", b"0\r\nX: y\r\n\r\n", b""]
    )
    exchange(target, _head(target, dice) + fields + b"\r\n" + body + marker)


def by_preface(target: Target, dice: random.Random, path: str) -> None:
    """HTTP/2 without having been agreed on, CONNECT, and two requests at once."""
    marker = _smuggled(target, path)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
    connect = b"CONNECT %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (target.authority.encode(), len(marker))
    exchange(target, dice.choice([preface, connect, _head(target, dice) + b"\r\n"]) + marker)


def early_close(target: Target, dice: random.Random, path: str) -> None:
    """Gone in the midst of an upload, or before the answer."""
    data = upload(bytes(dice.choice([10, 10_000, 1_000_000]))).replace(
        b"Host: x", b"Host: " + target.authority.encode()
    )
    with connected(target) as client:
        client.sendall(data[: dice.randrange(len(data))])


def malformed(target: Target, dice: random.Random, path: str) -> None:
    """An upload of which some bytes are others."""
    data = bytearray(upload(b"x" * 50).replace(b"Host: x", b"Host: " + target.authority.encode()))
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(data))
        action = dice.random()
        if action < 0.4:
            data[at] = dice.randrange(256)
        elif action < 0.7:
            del data[at : at + dice.randint(1, 30)]
        else:
            data[at:at] = dice.choice([b"\r\n", b"\n", b"\0", b"--b", b"\r\n--b--\r\n", b": ", b"a" * 3000, b"\xff"])
        data = data or bytearray(b"x")
    exchange(target, bytes(data), wait=0.1)


def header_flood(target: Target, dice: random.Random, path: str) -> None:
    """Fields without an end, 4 MiB at the most."""
    field_ = dice.choice([b"A: b\r\n", b"A: " + b"a" * 60_000, b"a" * 60_000, b"\r\n"])
    with connected(target) as client:
        client.sendall(_head(target, dice))
        for _ in range((1 << 22) // (len(field_) * 100) + 1):
            client.sendall(field_ * 100)


ATTACKS: dict[str, Callable[[Target, random.Random, str], str | None]] = {
    "upgrade": by_upgrade,
    "framing": by_framing,
    "preface": by_preface,
    "early close": early_close,
    "malformed": malformed,
    "header flood": header_flood,
}


# -- clients that hold on --------------------------------------------------------------------------------------------


def _held(target: Target, count: int, large: str) -> list[socket.socket]:
    """Open connections that are silent, send half a head, half a body, or do not read."""
    host = target.authority.encode()
    halves = [
        b"",
        b"GET /atta",
        b"GET /attachments/x HTTP/1.1\r\nHost: " + host + b"\r\nA: ",
        b"POST /attachments HTTP/1.1\r\nHost: "
        + host
        + b"\r\n"
        + FORM_TYPE
        + b"Content-Length: 900000\r\n\r\n"
        + FORM[:40],
        b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (large.encode(), host),
    ]
    held = []
    for number in range(count):
        with contextlib.suppress(OSError):
            client = socket.create_connection(("127.0.0.1", target.port), 5)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(halves[number % len(halves)])
            held.append(client)
    return held


def _drip(clients: list[socket.socket], stop: threading.Event) -> None:
    """Let each of them send a byte now and then."""
    while not stop.wait(1):
        for client in clients:
            with contextlib.suppress(OSError):
                client.setblocking(False)
                client.send(b"a")


# -- the others ------------------------------------------------------------------------------------------------------


def _victim(target: Target, report: Report, uuid: str, content: bytes, stop: threading.Event) -> None:
    session = requests.Session()
    while not stop.is_set():
        report.asked += 1
        try:
            answer = session.get(f"http://{target.authority}/attachments/{uuid}", timeout=20)
        except requests.RequestException as exc:
            report.broken.append(repr(exc))
            continue
        if answer.status_code == 503:
            continue
        if answer.content != content:
            report.desyncs.append(f"{answer.status_code} {answer.content[:80]!r} instead of {content!r}")
        time.sleep(0.002)


def _watch(target: Target, report: Report, stop: threading.Event) -> None:
    session = requests.Session()
    while not stop.wait(0.1):
        report.peak_bytes = max(report.peak_bytes, resident(target.pid))
        begin = time.monotonic()
        with contextlib.suppress(requests.RequestException):
            session.get(f"http://{target.authority}/healthz", timeout=30)
        report.health_seconds = max(report.health_seconds, time.monotonic() - begin)


def attack(target: Target, *, each: dict[str, int], held: int, seed: int, threads: int = 4) -> Report:
    """Attack for as long as it takes.

    Args:
        target: what is attacked.
        each: how many attacks of each kind.
        held: connections that are held open meanwhile.
        seed: of the dice.
        threads: attackers at the same time.

    Returns:
        What came of it.
    """
    report = Report(idle_bytes=resident(target.pid))
    begun = target.log.stat().st_size
    url = f"http://{target.authority}/attachments"

    def stored(content: bytes) -> str:
        return str(requests.post(url, files={"body": ("f", content)}, timeout=60).json()["uuid"])

    secret = f"/attachments/{stored(SECRET)}"
    large = f"/attachments/{stored(os.urandom(8 << 20))}"
    stop = threading.Event()
    clients = _held(target, held, large)
    others = [
        threading.Thread(target=_watch, args=(target, report, stop)),
        threading.Thread(target=_drip, args=(clients, stop)),
    ]
    for number in range(3):
        content = b"content of client %d" % number
        others.append(threading.Thread(target=_victim, args=(target, report, stored(content), content, stop)))
    for thread in others:
        thread.start()
    try:
        jobs = [(kind, number) for kind, count in each.items() for number in range(count)]
        random.Random(seed).shuffle(jobs)
        with ThreadPoolExecutor(threads) as pool:
            found = pool.map(lambda job: ATTACKS[job[0]](target, random.Random(f"{seed} {job}"), secret), jobs)
            report.desyncs += [text for text in found if text]
        report.tried = {**each, "held": len(clients)}
    finally:
        stop.set()
        for thread in others:
            thread.join()
        for client in clients:
            client.close()
    with target.log.open("rb") as log:
        log.seek(begun)
        text = log.read()
    report.failures = text.count(b'"status":500') + text.count(b'"status": 500') + text.count(b"Traceback")
    return report
