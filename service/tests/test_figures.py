"""The kept figures: right, counted by one process at a time, and the only thing that the page reads of the files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg  # type: ignore[import-untyped]
import pytest
import requests
from conftest import MakeSite, Site, sql
from hypothesis import given
from hypothesis import strategies as st
from test_sweeps import sweep

from filator import figures, page, worker
from filator.archive.rows import ArchiveRows
from filator.database import Rows
from filator.figures import BUCKETS, Figures, fold
from filator.health import Health
from filator.settings import Settings
from filator.storages.registry import Registry

MANY = 20_000
BIG_TABLES = ("attachments", "attachment_blobs", "archive_txs", "archive_downloads", "archive_rows")
FILL = (
    # Every tenth is overdue, every tenth never expires, the others go within 40 days.
    f"""
    INSERT INTO attachments
        (uuid, checksum, created_at, updated_at, mime_type, filename, store, identifier_in_store, size, delete_at)
    SELECT u, u, now(), now(), 'text/plain', 'x', CASE n % 4 WHEN 0 THEN 'old' ELSE 'db' END, u, n,
        CASE n % 10 WHEN 0 THEN now() - interval '1 day' WHEN 1 THEN NULL
            ELSE now() + n % 960 * interval '1 hour' + interval '30 minutes' END
    FROM (SELECT n, encode(sha256(n::text::bytea), 'hex') AS u FROM generate_series(1, {MANY}) AS n) AS made
    """,
    "INSERT INTO attachment_blobs (id, attachment_id, blob) SELECT uuid, uuid, 'x' FROM attachments",
    """
    INSERT INTO archive_txs (uuid, before, state, ctx, created_at, updated_at)
    SELECT uuid, now(), 'committed', '{"date": "2022-09-01"}', now(), now() FROM attachments
    """,
    """
    INSERT INTO archive_downloads (archive_uuid, beat_at, notes) SELECT uuid, now(), '{}' FROM attachments
    """,
    "INSERT INTO archive_rows SELECT id, archive_uuid, 1 FROM archive_downloads",
    "UPDATE archive_txs SET state = 'open' WHERE uuid IN (SELECT uuid FROM archive_txs ORDER BY uuid LIMIT 3)",
    f"ANALYZE {', '.join(BIG_TABLES)}",
)
WAITS = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'attachments'::regclass)"


@pytest.fixture(scope="module")
def large(make_site: MakeSite) -> Site:
    site = make_site("db")
    for statement in FILL:
        sql(site, statement)
    return site


def test_the_figures_are_those_of_the_table(large: Site) -> None:
    before = datetime.now(UTC)
    assert sweep(large, "figures") == {"figures": {"counted": 1}}
    [row] = sql(large, "SELECT counted_at, content FROM figures")
    assert before <= row["counted_at"] <= datetime.now(UTC)
    moment = row["counted_at"]
    content = json.loads(row["content"])
    rows = sql(large, "SELECT store, delete_at, size FROM attachments")
    stores: dict[str, list[int]] = {}
    expiry = {label: [0, 0] for label in ("overdue", *(f"in {label}" for label, _span in BUCKETS), "later", "never")}
    for store, delete_at, size in rows:
        if delete_at is None:
            label = "never"
        elif delete_at <= moment:
            label = "overdue"
        else:
            label = next((f"in {name}" for name, span in BUCKETS if delete_at < moment + span), "later")
        for numbers in [expiry[label]] + [stores.setdefault(store, [0, 0])] * (label != "overdue"):
            numbers[0] += 1
            numbers[1] += size
    assert content["stores"] == [[name, *stores[name]] for name in ("db", "old")]
    assert content["expiry"] == [[label, *numbers] for label, numbers in expiry.items()]
    text = requests.get(large.url, timeout=20).text
    assert f"<td>{stores['db'][0]}</td>" in text


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(-2, len(BUCKETS)), st.integers(1, 9), st.integers(0, 99))))
def test_no_file_is_counted_twice_or_not_at_all(rows: list[tuple[str, int, int, int]]) -> None:
    found = fold(datetime.now(UTC), rows)
    alive = [row for row in rows if row[1] != -1]
    for column, place in ((2, 1), (3, 2)):
        assert sum(line[place] for line in found.expiry) == sum(row[column] for row in rows)
        assert sum(line[place] for line in found.stores) == sum(row[column] for row in alive)
    assert [line[0] for line in found.stores] == sorted({row[0] for row in alive})


def test_the_page_answers_while_nobody_may_read_the_files(large: Site) -> None:
    sweep(large, "figures")

    async def run() -> str:
        connection = await asyncpg.connect(large.database)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE attachments, archive_rows IN ACCESS EXCLUSIVE MODE")
                answer = await asyncio.to_thread(requests.get, large.url, timeout=60)
                return answer.text
        finally:
            await connection.close()

    text = asyncio.run(run())
    assert "does not answer" not in text
    assert "Files and bytes as counted" in text


def _settings(site: Site) -> Settings:
    env = site.app.env
    values = {"database_url": site.database, "redis_url": env["FILATOR_REDIS_URL"]}
    return Settings.model_validate({**values, "storages": json.loads(str(env["STORAGES_CONFIGURATIONS"]))})


async def _leave_session(_connection: object) -> None:
    return None


async def _with_parts(site: Site, statements: list[Any], work: Callable[..., Awaitable[None]]) -> None:
    async def listen(connection: Any) -> None:
        connection.add_query_logger(statements.append)

    settings = _settings(site)
    pool = await asyncpg.create_pool(site.database, min_size=0, max_size=2, init=listen, reset=_leave_session)
    registry = Registry.from_settings(settings, pool)
    health = Health(settings, pool, registry)
    try:
        await work(pool, health, ArchiveRows(Rows(pool, gc_grace=timedelta(0), keep_replaced=True), settings))
    finally:
        await health.close()
        await registry.close()
        await pool.close()


def test_no_statement_of_the_page_reads_a_whole_table(large: Site) -> None:
    statements: list[Any] = []

    async def work(pool: Any, health: Health, archives: ArchiveRows) -> None:
        facts = await page.gather(pool, health, archives)
        assert facts.problem is None
        assert len(facts.transactions) == 3
        assert all(set(tx.ctx) == {"date"} and tx.downloaded for tx in facts.transactions)
        asked = [it for it in statements if it.query.lstrip().startswith("SELECT")]
        assert sum(any(table in it.query for table in (*BIG_TABLES, "figures")) for it in asked) >= 3
        for it in asked:
            plan = await pool.fetch(f"EXPLAIN {it.query}", *it.args)
            lines = [line[0] for line in plan]
            wrong = [line for line in lines if any(f"Seq Scan on {table}" in line for table in BIG_TABLES)]
            assert not wrong, "\n".join([it.query, *lines])

    asyncio.run(_with_parts(large, statements, work))


def test_two_workers_do_not_count_at_the_same_time(large: Site) -> None:
    async def run() -> tuple[dict[str, int], dict[str, int]]:
        pool = await asyncpg.create_pool(large.database, min_size=0, max_size=4)
        try:
            async with pool.acquire() as other:
                async with other.transaction():
                    await other.execute("LOCK TABLE attachments IN ACCESS EXCLUSIVE MODE")
                    first = asyncio.create_task(figures.count(pool))
                    while not await pool.fetchval(WAITS):
                        assert not first.done()
                        await asyncio.sleep(0.01)
                    second = await asyncio.wait_for(figures.count(pool), 60)
                return await first, second
        finally:
            await pool.close()

    assert asyncio.run(run()) == ({"counted": 1}, {"counted": 0})
    # A lock that outlived its holder would end all counting.
    assert sweep(large, "figures") == {"figures": {"counted": 1}}


def test_the_worker_has_a_sweep_for_each_line_of_its_schedule(large: Site) -> None:
    async def run() -> set[str]:
        async with worker.sweeper(_settings(large), name="test") as sweeps:
            return set(sweeps)

    assert asyncio.run(run()) | {"all_orphans"} == set(worker._SCHEDULE)
    # As a cron line says it: every so many minutes of an hour.
    assert timedelta(hours=1) % figures.EVERY == timedelta(0)


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=-3), "just now"),
        (timedelta(seconds=1), "1 second ago"),
        (timedelta(minutes=4, seconds=59), "4 minutes ago"),
        (timedelta(hours=1, minutes=59), "1 hour ago"),
        (timedelta(days=2, hours=5), "2 days ago"),
    ],
)
def test_the_page_tells_the_age_of_its_figures_and_when_they_are_stale(age: timedelta, text: str) -> None:
    moment = datetime(2026, 11, 28, 12, tzinfo=UTC)
    shown = page._counted(Figures(moment - age, [], []), moment, ZoneInfo("UTC"))
    assert f"as counted {text}, at 2026-11-" in shown
    assert ("does not run" in shown) == (age > timedelta(minutes=15))
