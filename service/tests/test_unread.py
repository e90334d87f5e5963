"""Clients that ask for files and do not read them: bounded memory, and an end."""

from __future__ import annotations

import contextlib
import re
import resource
import socket
import time
from pathlib import Path

import pytest
import requests
import servers
from conftest import MakeSite, Site
from hypothesis import given
from hypothesis import strategies as st
from test_files import get, post

from filator.outgoing import WINDOW, Taking

MIB = 1 << 20
CLIENTS = 100


def resident(site: Site) -> int:
    """Bytes of all processes of the service, which share a session."""
    assert site.app.process is not None
    found = 0
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((place / "stat").read_text().rpartition(")")[2].split()[3]) == site.app.process.pid:
                found += int((place / "statm").read_text().split()[1]) * resource.getpagesize()
    return found


def ask(site: Site, path: str) -> socket.socket:
    """Ask for something and read nothing of it; the little buffer is the client's kernel's."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", site.app.port))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return sock


def cut_off(site: Site) -> int:
    text = requests.get(f"{site.url}/metrics", timeout=10).text
    found = re.search(r"^filator_clients_cut_off_total (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("kind", ["s3", "db"])
def test_clients_that_never_read_are_bounded_and_cut_off_and_their_memory_goes_back(
    make_site: MakeSite, kind: str
) -> None:
    budget = 64 * MIB
    site = make_site(
        kind, FILATOR_DOWNLOAD_BUDGET_BYTES=str(budget), FILATOR_IDLE_SECONDS="4", FILATOR_WAIT_SECONDS="2"
    )
    data = bytes(range(256)) * (12 << 12)
    uuid = post(site, data)["uuid"]
    assert get(site, uuid).content == data
    before = resident(site)
    most = before
    with contextlib.ExitStack() as stack:
        for _ in range(CLIENTS):
            stack.enter_context(ask(site, f"/attachments/{uuid}"))
        end = time.monotonic() + 3
        while time.monotonic() < end:
            most = max(most, resident(site))
            assert requests.get(f"{site.url}/healthz", timeout=10).ok
            time.sleep(0.05)
        # Those that found no memory were told to come again; the others are cut off, none is left.
        servers.wait_for(lambda: cut_off(site) > 0, "a cut-off", 30)
        servers.wait_for(lambda: not _peers(site), "the end of all unread downloads", 30)
    assert most - before <= budget * 1.25, f"{(most - before) / MIB:.0f} MiB"
    assert get(site, uuid).content == data
    assert "took nothing for 4 seconds" in site.app.log.read_text()
    servers.wait_for(lambda: resident(site) - before <= budget // 4, "memory that goes back", 20)


def _peers(site: Site) -> int:
    """Number of connections over which the service still has something to send."""
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    mine = f":{site.app.port:04X}"
    return sum(1 for line in table if (cells := line.split())[1].endswith(mine) and not cells[4].startswith("0" * 8))


@given(
    st.lists(st.tuples(st.floats(0.1, 20), st.integers(0, 5000)), max_size=60),
    st.floats(1, 60),
    st.integers(0, 2000),
)
def test_a_client_is_cut_off_for_silence_and_for_slowness_and_for_nothing_else(
    steps: list[tuple[float, int]], silence: float, rate: int
) -> None:
    taking = Taking(silence, rate)
    silent = waited = 0.0
    taken = 0
    for seconds, count in steps:
        silent = 0.0 if count else silent + seconds
        waited, taken = waited + seconds, taken + count
        reason = taking.note(seconds, count)
        if silent >= silence:
            assert reason == f"the client took nothing for {silence:g} seconds"
            return
        if waited >= WINDOW:
            assert (reason is not None) == (taken < rate * waited)
            if reason is not None:
                return
            waited, taken = 0.0, 0
        else:
            assert reason is None


def test_a_slow_reader_gets_its_file(make_site: MakeSite) -> None:
    site = make_site("s3", FILATOR_IDLE_SECONDS="2", FILATOR_DOWNLOAD_BUDGET_BYTES=str(16 * MIB))
    data = b"slow but sure. " * 70_000
    uuid = post(site, data)["uuid"]
    got = bytearray()
    with ask(site, f"/attachments/{uuid}") as sock:
        sock.settimeout(20)
        # 8 s in all: four times the longest silence, of which no pause comes near.
        while len(got.partition(b"\r\n\r\n")[2]) < len(data) and (more := sock.recv(16 << 10)):
            got += more
            time.sleep(0.1)
    assert bytes(got).partition(b"\r\n\r\n")[2] == data
