"""Kept figures: how many files and bytes, by storage and by when they expire.

Counting reads the whole table, so one worker does it now and then; who wants the figures reads the row it leaves.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg  # type: ignore[import-untyped]

from filator.times import now

EVERY = timedelta(minutes=5)
BUCKETS = (
    ("1 hour", timedelta(hours=1)),
    ("6 hours", timedelta(hours=6)),
    ("1 day", timedelta(days=1)),
    ("3 days", timedelta(days=3)),
    ("1 week", timedelta(days=7)),
    ("1 month", timedelta(days=30)),
    ("1 year", timedelta(days=365)),
)
_OVERDUE, _NEVER = -1, -2
# Any fixed number of its own: who holds it counts, everybody else leaves the counting to them.
LOCK = 7_161_204_319
# Of a large table on a slow disk; the pool's own limit is for requests.
_PATIENCE = 3600
_COUNT = f"""
    SELECT store, CASE WHEN delete_at IS NULL THEN {_NEVER} WHEN delete_at <= $1 THEN {_OVERDUE}
        ELSE width_bucket(delete_at, $2::timestamptz[]) END AS slot, count(*), coalesce(sum(size), 0)::bigint
    FROM attachments GROUP BY store, slot
"""  # noqa: S608 - constants only
_KEEP = """
    INSERT INTO figures (counted_at, content) VALUES ($1, $2::jsonb)
    ON CONFLICT (id) DO UPDATE SET counted_at = excluded.counted_at, content = excluded.content
"""
_READ = "SELECT counted_at, content FROM figures WHERE id"

Line = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted.

    Attributes:
        counted_at: when.
        stores: (name, files, bytes) of what can be fetched.
        expiry: (label, files, bytes), from overdue to never.
    """

    counted_at: datetime
    stores: list[Line]
    expiry: list[Line]


def fold(counted_at: datetime, rows: Iterable[tuple[str, int, int, int]]) -> Figures:
    """Sum up the counts of (storage, slot of expiry, files, bytes).

    Args:
        counted_at: when they were counted.
        rows: slot -2 never expires, -1 is overdue, others are the index in BUCKETS.

    Returns:
        The figures; overdue files can no longer be fetched, so no storage counts them.
    """
    files: Counter[str | int] = Counter()
    sizes: Counter[str | int] = Counter()
    names: set[str] = set()
    for store, slot, count, size in rows:
        keys: list[str | int] = [slot]
        if slot != _OVERDUE:
            names.add(store)
            keys.append(store)
        for key in keys:
            files[key] += count
            sizes[key] += size
    labels = [(_OVERDUE, "overdue"), *((index, f"in {label}") for index, (label, _span) in enumerate(BUCKETS))]
    labels += [(len(BUCKETS), "later"), (_NEVER, "never")]
    return Figures(
        counted_at,
        [(name, files[name], sizes[name]) for name in sorted(names)],
        [(label, files[slot], sizes[slot]) for slot, label in labels],
    )


async def count(pool: asyncpg.Pool) -> dict[str, int]:
    """Count the files and keep the figures, unless somebody else is counting.

    Args:
        pool: of the database.

    Returns:
        How often it counted: 1, or 0 when another process does.
    """
    async with pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
            return {"counted": 0}
        # Nobody waits for the figures: one core is enough for them.
        await connection.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        moment = now()
        ends = [moment + span for _label, span in BUCKETS]
        found = fold(moment, await connection.fetch(_COUNT, moment, ends, timeout=_PATIENCE))
        await connection.execute(_KEEP, moment, json.dumps({"stores": found.stores, "expiry": found.expiry}))
    return {"counted": 1}


async def read(pool: asyncpg.Pool, *, patience: float) -> Figures | None:
    """Read the kept figures.

    Args:
        pool: of the database.
        patience: seconds to wait for it.

    Returns:
        The figures; None when nobody has counted yet.
    """
    row = await pool.fetchrow(_READ, timeout=patience)
    if row is None:
        return None
    content = json.loads(row["content"])
    lines = {key: [(name, files, size) for name, files, size in content[key]] for key in ("stores", "expiry")}
    return Figures(row["counted_at"], lines["stores"], lines["expiry"])
