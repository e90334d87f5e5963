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

from filator import __version__, figures, logs
from filator.archive.rows import ArchiveRows, Transaction
from filator.database import LOST
from filator.errors import Unavailable
from filator.figures import Figures, Line
from filator.health import Health
from filator.times import in_zone, now

_TEMPLATE = Path(__file__).parent / "page.html"
# Seconds. The page must not become the load it shows: it reads what the worker has counted, and counts nothing itself.
_PATIENCE = 5
# After three rounds that left no new figures the worker seems not to run.
_STALE = 3 * figures.EVERY


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page shows.

    Attributes:
        report: of /readyz.
        figures: what the worker has counted; None when it has not yet.
        transactions: archive transactions that are not closed.
        errors: last warnings of this worker.
        problem: why the tables are empty.
    """

    report: dict[str, Any]
    figures: Figures | None
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
    try:
        found = await figures.read(pool, patience=_PATIENCE)
        transactions = await archives.open_ones()
    except (asyncpg.PostgresError, Unavailable, *LOST) as exc:
        return Facts(report, None, [], errors, f"The database does not answer ({type(exc).__name__}).")
    return Facts(report, found, transactions, errors, None)


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


def _chart(expiry: list[Line]) -> str:
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


def _age(span: timedelta) -> str:
    """Write how long ago something was, in its largest unit."""
    # The clock of another host may be ahead.
    seconds = max(0, int(span.total_seconds()))
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= length:
            number = seconds // length
            return f"{number} {unit}{'' if number == 1 else 's'} ago"
    return "just now"


def _counted(found: Figures | None, moment: datetime, zone: ZoneInfo) -> str:
    rhythm = f"the worker counts every {figures.EVERY.seconds // 60} minutes"
    if found is None:
        return f"<p>Files and bytes are not counted yet; {rhythm}.</p>"
    age = moment - found.counted_at
    text = f"Files and bytes as counted {_age(age)}, at {_stamp(found.counted_at, zone)}"
    if age > _STALE:
        return f'<p class="bad">{text}: {rhythm}, so it does not run or does not get on.</p>'
    return f"<p>{text}.</p>"


def render(facts: Facts, zone: ZoneInfo) -> bytes:
    """Write the page."""
    stores = facts.figures.stores if facts.figures else []
    known = {name: (str(files), human(size)) for name, files, size in stores}
    none = ("0", human(0)) if facts.figures else ("?", "?")
    storages = [
        (
            html.escape(name),
            part["type"] + (", read only" if part["readonly"] else ""),
            _state(part),
            *known.get(name, none),
        )
        for name, part in facts.report["storages"].items()
    ]
    storages += [
        (html.escape(name), "not configured", '<span class="bad">unreachable</span>', *counts)
        for name, counts in known.items()
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
        counted="" if facts.problem else _counted(facts.figures, now(), zone),
        chart=_chart(facts.figures.expiry) if facts.figures else "",
        transactions=_table(("transaction", "files before", "state", "opened"), transactions, "None is open."),
        errors=_table(("time (UTC)", "what", "details"), errors, "None since this worker started."),
        version=__version__,
        time=_stamp(now(), zone),
    )
    return page.encode()


def _stamp(moment: datetime, zone: ZoneInfo) -> str:
    return f"{in_zone(moment, zone):%Y-%m-%d %H:%M:%S %z}"
