"""The page at `/`: storages, files, what expires when, open archive transactions, last errors. One file, no script."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from string import Template
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg  # type: ignore[import-untyped]

from filator import __version__, logs
from filator.archive.rows import ArchiveRows, Transaction
from filator.database import LOST
from filator.errors import Unavailable
from filator.health import Health
from filator.times import in_zone, now

_TEMPLATE = Path(__file__).parent / "page.html"
# The page must not become the load it shows: counts are estimates beyond this many seconds.
_PATIENCE = 5
BUCKETS = (
    ("1 hour", timedelta(hours=1)),
    ("6 hours", timedelta(hours=6)),
    ("1 day", timedelta(days=1)),
    ("3 days", timedelta(days=3)),
    ("1 week", timedelta(days=7)),
    ("1 month", timedelta(days=30)),
    ("1 year", timedelta(days=365)),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page shows.

    Attributes:
        report: of /readyz.
        stores: (name, files, bytes).
        expiry: (label, files, bytes), one bar each.
        transactions: archive transactions that are not closed.
        errors: last warnings of this worker.
        problem: why the tables are empty.
    """

    report: dict[str, Any]
    stores: list[tuple[str, int, int]]
    expiry: list[tuple[str, int, int]]
    transactions: list[Transaction]
    errors: list[dict[str, Any]]
    problem: str | None


def human(size: int) -> str:
    """Write bytes as people read them."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


async def gather(pool: asyncpg.Pool, health: Health, archives: ArchiveRows) -> Facts:
    """Ask the database for the numbers; a database that is away leaves the tables empty, with the reason."""
    _usable, report = await health.report()
    errors = list(logs.RECENT)[::-1]
    moment = now()
    ends = [moment + span for _label, span in BUCKETS]
    try:
        stores = await pool.fetch(
            "SELECT store, count(*), coalesce(sum(size), 0)::bigint FROM attachments "
            "WHERE delete_at IS NULL OR delete_at > $1 GROUP BY store ORDER BY store",
            moment,
            timeout=_PATIENCE,
        )
        slots = await pool.fetch(
            "SELECT CASE WHEN delete_at IS NULL THEN -2 WHEN delete_at <= $1 THEN -1 "
            "ELSE width_bucket(delete_at, $2::timestamptz[]) END AS slot, count(*), coalesce(sum(size), 0)::bigint "
            "FROM attachments GROUP BY slot",
            moment,
            ends,
            timeout=_PATIENCE,
        )
        transactions = await archives.open_ones()
    except (asyncpg.PostgresError, Unavailable, *LOST) as exc:
        return Facts(report, [], [], [], errors, f"The database does not answer ({type(exc).__name__}).")
    counts = {slot: (files, size) for slot, files, size in slots}
    labels = [(-1, "overdue"), *((index, f"in {label}") for index, (label, _span) in enumerate(BUCKETS))]
    labels += [(len(BUCKETS), "later"), (-2, "never")]
    expiry = [(label, *counts.get(slot, (0, 0))) for slot, label in labels]
    return Facts(report, [tuple(row) for row in stores], expiry, transactions, errors, None)


def _table(head: Iterable[str], rows: Iterable[Iterable[object]], empty: str) -> str:
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    if not body:
        return f"<p>{empty}</p>"
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def _state(part: dict[str, Any]) -> str:
    if part["ok"]:
        return '<span class="fine">works</span>'
    return f'<span class="bad">{html.escape(str(part["reason"]))}</span>'


def _chart(expiry: list[tuple[str, int, int]]) -> str:
    most = max((files for _label, files, _size in expiry), default=0)
    if not most:
        return "<p>No files.</p>"
    bars = []
    for label, files, size in expiry:
        share = 100 * files / most
        bars.append(
            f'<tr><th scope="row">{label}</th><td class="bar"><svg width="100%" height="18" role="img" '
            f'aria-label="{files} files"><rect width="{share:.1f}%" height="18" rx="3"/></svg></td>'
            f"<td>{files}</td><td>{human(size)}</td></tr>"
        )
    return (
        '<table class="chart"><thead><tr><th scope="col">expires</th><th></th><th scope="col">files</th>'
        f'<th scope="col">bytes</th></tr></thead><tbody>{"".join(bars)}</tbody></table>'
    )


def render(facts: Facts, zone: ZoneInfo) -> bytes:
    """Write the page."""
    known = {name: (files, size) for name, files, size in facts.stores}
    storages = [
        (
            html.escape(name),
            part["type"] + (", read only" if part["readonly"] else ""),
            _state(part),
            known.get(name, (0, 0))[0],
            human(known.get(name, (0, 0))[1]),
        )
        for name, part in facts.report["storages"].items()
    ]
    storages += [
        (html.escape(name), "not configured", '<span class="bad">unreachable</span>', files, human(size))
        for name, files, size in facts.stores
        if name not in facts.report["storages"]
    ]
    services = [(name, _state(facts.report[key])) for key, name in (("database", "PostgreSQL"), ("redis", "Redis"))]
    transactions = [
        (
            f"<code>{tx.uuid[:12]}…</code>",
            html.escape(str(tx.ctx["date"])),
            "being deleted" if tx.state == "committing" else "downloaded" if tx.downloaded else "open",
            _stamp(tx.created_at, zone),
        )
        for tx in facts.transactions
    ]
    # Only what names no file: a uuid, a path or a reason that holds one would let whoever sees the page fetch files.
    errors = [
        (
            html.escape(str(it.get("timestamp", ""))[:19]),
            html.escape(str(it.get("event", ""))),
            html.escape(", ".join(f"{key} {it[key]}" for key in ("method", "status", "storage", "sweep") if key in it)),
        )
        for it in facts.errors
    ]
    page = Template(_TEMPLATE.read_text("utf-8")).substitute(
        status=facts.report["status"],
        problem=f'<p class="bad">{html.escape(facts.problem)}</p>' if facts.problem else "",
        services=_table(("service", "state"), services, ""),
        storages=_table(("storage", "type", "state", "files", "bytes"), storages, ""),
        chart=_chart(facts.expiry),
        transactions=_table(("transaction", "files before", "state", "opened"), transactions, "None is open."),
        errors=_table(("time (UTC)", "what", "details"), errors, "None since this worker started."),
        version=__version__,
        time=_stamp(now(), zone),
    )
    return page.encode()


def _stamp(moment: datetime, zone: ZoneInfo) -> str:
    return f"{in_zone(moment, zone):%Y-%m-%d %H:%M:%S %z}"
