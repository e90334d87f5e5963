"""A small, even-handed load generator and a CPU meter for `bench/service.py`."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

TICKS = os.sysconf("SC_CLK_TCK")
BOUNDARY = "benchbenchbench"


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured round: wall seconds and CPU seconds of all processes together."""

    wall: float
    cpu: float


def cpu_of(roots: Iterable[int]) -> float:
    """Sum the CPU seconds of some processes and of all that descend from them, those that have ended included.

    By parent, not by session: each PostgreSQL backend makes a session of its own.
    """
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
            ticks[int(entry.name)] = sum(int(value) for value in fields[11:15])
    found, open_ = set(), list(roots)
    while open_:
        pid = open_.pop()
        if pid not in found:
            found.add(pid)
            open_ += children.get(pid, [])
    return sum(ticks.get(pid, 0) for pid in found) / TICKS


def rss_of(session: int) -> int:
    """Sum the resident bytes of all processes of a session, shared pages counted once each process."""
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                    total += int((entry / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            except OSError:
                continue
    return total


def measure(roots: list[int], work: Callable[[], None]) -> Sample:
    """Run `work` and meter it; this process's own CPU, its children's included, is part of the chain."""
    before, mine = cpu_of(roots), os.times()
    start = time.perf_counter()
    work()
    wall = time.perf_counter() - start
    spent, now = cpu_of(roots) - before, os.times()
    own = sum(now[:4]) - sum(mine[:4])
    return Sample(wall, spent + own)


def curl(*arguments: str) -> None:
    """Run curl; fails on any answer of 400 and above.

    curl minds the time itself: subprocess.run with a time-out looks for the end at 15, 31, 63, 113 ms and so on.
    """
    command = ["curl", "-sS", "-f", "-o", "/dev/null", "-H", "Expect:", "--max-time", "300", *arguments]
    subprocess.run(command, check=True)


def form(data: bytes) -> bytes:
    """Wrap bytes as the field `body` of a form."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="body"; filename="bench.bin"\r\n\r\n'
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def request(method: str, url: str, body: bytes = b"", **headers: str) -> bytes:
    """Build a raw HTTP/1.1 request for a kept connection."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _client(host: str, port: int, pending: list[bytes], bad: list[bytes]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    while pending:
        writer.write(pending.pop())
        head = await reader.readuntil(b"\r\n\r\n")
        if head[9:10] not in (b"2", b"3"):
            bad.append(head.split(b"\r\n")[0])
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            while (size := int((await reader.readline()).split(b";")[0], 16)) or await reader.readline() is None:
                await reader.readexactly(size + 2)
        elif b"content-length:" in lower:
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            if length:
                await reader.readexactly(length)
    writer.close()


def fire(url: str, requests: list[bytes], *, clients: int = 16) -> None:
    """Send all requests over some kept connections.

    Raises:
        RuntimeError: an answer was not 2xx or 3xx.
    """
    parts = urlsplit(url)
    bad: list[bytes] = []

    async def run() -> None:
        pending = list(requests)
        await asyncio.gather(
            *(_client(str(parts.hostname), int(parts.port or 80), pending, bad) for _ in range(clients))
        )

    uvloop.run(run())
    if bad:
        raise RuntimeError(f"{len(bad)} of {len(requests)} answers were not fine, the first: {bad[0]!r}")


def ratio(direct: list[Sample], through: list[Sample]) -> tuple[float, float]:
    """Return the median paired wall ratio and the ratio of all CPU seconds, direct divided by through."""
    wall = statistics.median(a.wall / b.wall for a, b in zip(direct, through, strict=True))
    return wall, sum(it.cpu for it in direct) / sum(it.cpu for it in through)
