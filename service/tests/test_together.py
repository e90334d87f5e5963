"""Statements that many requests share, and the memory that uploads share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import asyncpg
from conftest import MakeSite

from filator.database import Rows, open_pool
from filator.models import Attachment, Pointer
from filator.times import now
from filator.together import Together


class Statements:
    """Notes what each statement was asked; the first one ends when it is told to."""

    def __init__(self, *, bad: str = "") -> None:
        self.asked: list[list[str]] = []
        self.may_end = asyncio.Event()
        self.bad = bad

    async def run(self, batch: dict[str, int]) -> Mapping[str, int]:
        self.asked.append(list(batch))
        await self.may_end.wait()
        if self.bad in batch:
            raise ValueError(self.bad)
        return {key: value * 10 for key, value in batch.items() if value}


def test_requests_that_come_while_a_statement_runs_share_the_next() -> None:
    async def run() -> None:
        statements = Statements()
        together = Together(statements.run)
        first = asyncio.create_task(together.ask("a", 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rest = [asyncio.create_task(together.ask(key, value)) for key, value in (("b", 2), ("c", 0), ("b", 3))]
        await asyncio.sleep(0)
        statements.may_end.set()
        assert await first == 10
        assert await asyncio.gather(*rest) == [20, None, 20]
        assert statements.asked == [["a"], ["b", "c"]]
        assert await together.ask("d", 4) == 40

    asyncio.run(run())


def test_a_statement_has_no_more_keys_than_it_may() -> None:
    async def run() -> None:
        statements = Statements()
        statements.may_end.set()
        together = Together(statements.run, most=2)
        assert await asyncio.gather(*(together.ask(key, 1) for key in "abcde")) == [10] * 5
        assert statements.asked == [["a", "b"], ["c", "d"], ["e"]]

    asyncio.run(run())


def test_a_failure_reaches_each_request_of_its_statement_and_no_other() -> None:
    async def run() -> None:
        statements = Statements(bad="b")
        statements.may_end.set()
        together = Together(statements.run, most=2)
        found = await asyncio.gather(*(together.ask(key, 1) for key in "abc"), return_exceptions=True)
        assert [type(it) for it in found] == [ValueError, ValueError, int]

    asyncio.run(run())


def test_a_row_that_postgresql_refuses_spoils_no_other_of_its_statement(make_site: MakeSite) -> None:
    site = make_site("db", start=False)
    moment = now()
    where = Pointer("s", "b", "k", "v")
    good, bad = (
        Attachment(digit * 64, "c" * 64, moment, moment, "[]", metadata, None, "text/plain", "f", where, 1)
        for digit, metadata in (("1", "{}"), ("2", '{"key": "\\u0000"}'))
    )

    async def run() -> None:
        pool = await open_pool(site.database, size=3, name="test")
        rows = Rows(pool, gc_grace=timedelta(0), keep_replaced=True)
        said = await asyncio.gather(rows.add(bad), rows.add(good), return_exceptions=True)
        assert [type(it) for it in said] == [asyncpg.UntranslatableCharacterError, bool]
        assert (await rows.find(good.uuid), await rows.find(bad.uuid)) == (good, None)
        assert await rows.add(good) is False, "the uuid is taken"
        await pool.close()

    asyncio.run(run())
