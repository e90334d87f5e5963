"""The byte budgets: rules under any order of requests, shares of 1 to 64 workers, slow clients beside quick ones."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import Counter

import pytest
import requests
from conftest import MakeSite
from hypothesis import given
from hypothesis import strategies as st
from test_files import post
from test_operation import BOUNDARY

from filator.budget import Budget, Ledger, share
from filator.errors import Unavailable
from filator.settings import LEAST_DOWNLOAD_BYTES, LEAST_UPLOAD_BYTES, MIB, Settings
from filator.storages.blobs import BlobStore
from filator.storages.local import LocalStore
from filator.storages.s3 import S3Store
from filator.upload import ENTRY_BYTES, SMALL_BYTES, Admission, cost_of

LANES = ("small", "entry", "whole")


def settings(**more: object) -> Settings:
    values = {
        "database_url": "postgresql://u@h/d",
        "redis_url": "redis://h",
        "storages": ({"name": "db", "type": "db"},),
        **more,
    }
    return Settings.model_validate(values)


@given(
    st.integers(0, 50),
    st.integers(0, 50),
    st.lists(st.tuples(st.sampled_from(LANES), st.integers(1, 120), st.booleans()), max_size=80),
)
def test_no_order_of_requests_takes_a_lane_what_it_is_sure_of(
    small: int, entry: int, steps: list[tuple[str, int, bool]]
) -> None:
    sure = {"small": small, "entry": entry, "whole": 0}
    ledger = Ledger(100, sure)
    held: list[tuple[str, int]] = []
    for lane, cost, give in steps:
        if give and held:
            ledger.release(*held.pop(cost % len(held)))
        elif ledger.fits(lane, cost):
            ledger.hold(lane, cost)
            held.append((lane, cost))
        took: Counter[str] = Counter()
        for name, amount in held:
            took[name] += amount
        assert ledger.free == 100 - sum(took.values()) >= 0
        for name in LANES:
            left = sure[name] - took[name]
            assert ledger.sure(name, max(left, 0)) == (left >= 0)
            assert left <= 0 or ledger.fits(name, left), f"{name} lost what it was sure of"
            room = ledger.free - sum(max(0, sure[other] - took[other]) for other in LANES if other != name)
            assert ledger.fits(name, room)
            assert not ledger.fits(name, room + 1)
    for lane, cost in held:
        ledger.release(lane, cost)
    assert ledger.free == 100


@given(st.lists(st.tuples(st.sampled_from(LANES), st.integers(1, 200), st.integers(0, 3)), min_size=1, max_size=40))
def test_all_are_let_in_sooner_or_later_and_all_comes_back(steps: list[tuple[str, int, int]]) -> None:
    async def run() -> None:
        budget = Budget(100, {"small": 10, "entry": 10, "whole": 0}, patience=5)

        async def one(lane: str, cost: int, turns: int) -> int:
            lease = await budget.take(lane, cost)
            taken = lease.cost
            try:
                for _ in range(turns):
                    await asyncio.sleep(0)
            finally:
                lease.release()
                lease.release()
            return taken

        tasks = [asyncio.create_task(one(*step)) for step in steps]
        # Every third gives up on its way.
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        for (lane, cost, _turns), got in zip(steps, found, strict=True):
            assert isinstance(got, asyncio.CancelledError) or got == min(cost, budget.ledger.most(lane))
        assert (budget.ledger.free, budget.waiting) == (100, 0)

    asyncio.run(run())


def test_within_a_lane_the_first_comes_first_and_who_waits_longest_borrows() -> None:
    async def run() -> None:
        budget = Budget(100, {"small": 10, "entry": 0, "whole": 0}, patience=3600)
        first = await budget.take("whole", 90)
        large = asyncio.create_task(budget.take("whole", 80))
        await asyncio.sleep(0)
        # Sure of 10, so no waiting; beyond that behind the one that waits already.
        sure = await budget.take("small", 10)
        assert budget.take_now("small", 5) is None
        beyond = asyncio.create_task(budget.take("small", 5))
        await asyncio.sleep(0)
        assert budget.waiting == 2
        first.release()
        leases = [await large, await beyond]
        assert budget.ledger.free == 100 - 80 - 10 - 5
        for lease in (*leases, sure):
            lease.release()
        assert budget.ledger.free == 100

    asyncio.run(run())


def test_who_waits_too_long_is_told_to_come_again_and_leaves_nothing() -> None:
    async def run() -> None:
        ended: list[int] = []
        budget = Budget(10, {"only": 0}, patience=0.05, after_pressure=lambda: ended.append(1))
        lease = await budget.take("only", 8)
        with pytest.raises(Unavailable) as caught:
            await budget.take("only", 8)
        assert (caught.value.status, caught.value.headers["retry-after"]) == (503, "1")
        assert budget.waiting == 0
        lease.release()
        assert (budget.ledger.free, ended) == (10, [1])

    asyncio.run(run())


@pytest.mark.parametrize("processes", range(1, 65))
@pytest.mark.parametrize("total", [64 * MIB, 256 * MIB])
def test_every_worker_of_1_to_64_can_take_a_stream_and_small_files_beside_it(processes: int, total: int) -> None:
    limits = settings(upload_budget_bytes=total, max_uploads=1, workers=processes)
    admission = Admission(limits, processes=processes)
    stream = max(store.stream_cost for store in (BlobStore, LocalStore, S3Store))
    memory, places = admission.memory.ledger, admission.places.ledger
    memory.hold("entry", cost_of(ENTRY_BYTES))
    memory.hold("whole", stream - cost_of(ENTRY_BYTES))
    places.hold("other", 1)
    assert memory.sure("small", cost_of(SMALL_BYTES))
    assert places.sure("small", 1)
    assert share(limits.download_budget_bytes, processes, LEAST_DOWNLOAD_BYTES) >= LEAST_DOWNLOAD_BYTES
    over = processes * LEAST_UPLOAD_BYTES > total
    assert any("FILATOR_UPLOAD_BUDGET_BYTES" in text for text in limits.warnings) == over


def _trickle(port: int, stop: threading.Event) -> None:
    """Send a large file at 1,300 bytes a second."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 10) as sock:
        head = "POST /attachments HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        sock.sendall(f"{head}Content-Length: {40 * MIB}\r\n\r\n".encode() + BOUNDARY)
        while not stop.wait(0.25):
            sock.sendall(bytes(325))


def test_slow_uploads_starve_neither_small_nor_large_ones(make_site: MakeSite) -> None:
    site = make_site("s3", FILATOR_UPLOAD_BUDGET_BYTES=str(64 * MIB), FILATOR_WAIT_SECONDS="5")
    stop = threading.Event()
    slow = [threading.Thread(target=_trickle, args=(site.app.port, stop)) for _ in range(16)]
    try:
        for thread in slow:
            thread.start()
        metric = "filator_uploads_running 16"
        end = time.monotonic() + 20
        while metric not in requests.get(f"{site.url}/metrics", timeout=10).text and time.monotonic() < end:
            time.sleep(0.1)
        assert metric in requests.get(f"{site.url}/metrics", timeout=10).text
        for size in (1, 1, 1, 12 * MIB, 1):
            assert post(site, b"x" * size)["uuid"]
    finally:
        stop.set()
        for thread in slow:
            thread.join()


def test_waiting_for_memory_is_503_and_not_the_slowness_of_the_client(make_site: MakeSite) -> None:
    site = make_site(
        "s3", FILATOR_UPLOAD_BUDGET_BYTES=str(64 * MIB), FILATOR_WAIT_SECONDS="2", FILATOR_IDLE_SECONDS="30"
    )
    head = "POST /attachments HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(socket.create_connection(("127.0.0.1", site.app.port), 10)) for _ in range(2)]
        for sock in holders:
            # Quick at first, so that the memory of a stream is taken, then nothing.
            sock.sendall(f"{head}Content-Length: {40 * MIB}\r\n\r\n".encode() + BOUNDARY + bytes(9 * MIB))
        time.sleep(1)
        assert post(site, b"small ones find room")["uuid"]
        answer = requests.post(f"{site.url}/attachments", files={"body": bytes(12 * MIB)}, timeout=20)
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert "memory for uploads is in use" in answer.json()["msg"]
