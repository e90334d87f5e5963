"""Which versions may go: a pure function of a listing, rules and a clock. No network, property-tested.

The rules are told in docs/prune-without-fear.md. Two of them differ from the older tools on purpose, and both can be
had the old way: age counts from the moment a version was *replaced* (``age_basis: own`` counts from its own date), and
``keep_last`` counts over all noncurrent versions (``keep_last_scope: eligible`` ranks only those old enough).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple

from stowage import errors
from stowage.s3.versions_xml import Version

AgeBasis = Literal["noncurrent", "own"]
KeepLastScope = Literal["all", "eligible"]

_GO_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONG_UNITS = {"d": 86400.0, "w": 604800.0, "y": 31536000.0}
_GO_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_LONG = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([dwy])")
# What XML 1.0 puts in place of a character it can not carry; the true name is then unknown.
_GARBLED = "\ufffd"


class Why(StrEnum):
    """The rule that decided."""

    DELETE = "delete"
    CURRENT = "current"
    CURRENT_MARKER = "current_delete_marker"
    NEWEST = "keep_last"
    YOUNG = "too_young"
    LAST_COPY = "last_copy"
    NO_SUCCESSOR = "replacement_unknown"
    NO_CURRENT = "no_current_version"
    GARBLED = "garbled_key"
    LOCKED = "locked"
    NOT_REPLACED = "not_replaced"


@dataclass(frozen=True, kw_only=True)
class PruneRules:
    """What a person decided about old versions. Both filters must agree before a version goes.

    Args:
        older_than: Least age of a version that may go; ``None`` for no age filter.
        keep_last: This many of the newest noncurrent versions of each key stay; 0 for no such filter.
        age_basis: ``noncurrent`` counts the age from when the version was replaced, ``own`` from its own date.
        keep_last_scope: ``all`` ranks every noncurrent version, ``eligible`` only those that are old enough.
        include_last_copy: Let the last data version under a delete marker go, too.
        all_old: That there is no filter was said in words, and is no omission.

    Raises:
        BadInputError: A value is out of range.
    """

    older_than: timedelta | None = None
    keep_last: int = 0
    age_basis: AgeBasis = "noncurrent"
    keep_last_scope: KeepLastScope = "all"
    include_last_copy: bool = False
    all_old: bool = False

    def __post_init__(self) -> None:
        if self.keep_last < 0:
            raise errors.BadInputError(f"keep_last is {self.keep_last}, must be 0 or more")
        if self.older_than is not None and self.older_than <= timedelta(0):
            raise errors.BadInputError("older_than must be above zero", "leave it out for no age filter")
        if self.age_basis not in ("noncurrent", "own"):
            raise errors.BadInputError(f"age_basis is {self.age_basis!r}, must be noncurrent or own")
        if self.keep_last_scope not in ("all", "eligible"):
            raise errors.BadInputError(f"keep_last_scope is {self.keep_last_scope!r}, must be all or eligible")

    @property
    def may_be_applied(self) -> bool:
        """False for rules without any filter: they let every old version go, so somebody must have said so."""
        return self.older_than is not None or self.keep_last > 0 or self.all_old


class Decision(NamedTuple):
    """What becomes of one version, and why.

    Args:
        version: The row of the listing.
        why: The rule that decided; ``Why.DELETE`` for what goes.
        reason: The same for a person: ``kept: among the 5 newest``.
        age_seconds: Age by the rules' basis; from its own date where it was never replaced.
        siblings: Rows of the key in the listing, this one included.
    """

    version: Version
    why: Why
    reason: str
    age_seconds: float
    siblings: int

    @property
    def delete(self) -> bool:
        """True when the version may go."""
        return self.why is Why.DELETE


def parse_age(text: str) -> timedelta:
    """Read ``30d``, ``2w``, ``1y``, ``0.5d`` or a Go duration such as ``90m`` or ``1h30m``.

    The grammar is that of the older tool (facts/qatlasd.md 3.1) without its traps: there zero and negative values
    switch the filter off, and ``inf`` and ``nan`` pass.

    Returns:
        A duration above zero; a day has 24 hours, a year 365 days.

    Raises:
        BadInputError: Anything else; the message shows what would be right.
    """
    trimmed = text.strip()
    seconds: float | None = None
    if long := _LONG.fullmatch(trimmed):
        seconds = float(long[1]) * _LONG_UNITS[long[2]]
    elif trimmed and _GO_PART.sub("", trimmed) == "":
        seconds = sum(float(number) * _GO_UNITS[unit] for number, unit in _GO_PART.findall(trimmed))
    example = "right: 30d, 2w, 1y, 0.5d, 36h or 1h30m; m means minutes, and d, w, y stand alone"
    if seconds is None:
        raise errors.BadInputError(f"{text!r} is not a duration", example)
    if not math.isfinite(seconds) or seconds <= 0:
        raise errors.BadInputError(f"duration {text!r} must be above zero", "leave it out for no age filter")
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise errors.BadInputError(f"duration {text!r} is longer than 2 million years", example) from None


def plan_prune(listing: Iterable[Version], rules: PruneRules, now: datetime) -> list[Decision]:
    """Decide about a whole listing held in memory, in any order of rows.

    Args:
        listing: Rows of any number of keys.
        rules: What may go.
        now: The clock, with time zone.

    Returns:
        One decision per row, by key in byte order, newest first.
    """
    by_key: dict[str, list[Version]] = {}
    for row in listing:
        by_key.setdefault(row.key, []).append(row)
    ordered = sorted(by_key, key=lambda key: key.encode("utf-8", "surrogatepass"))
    return [decision for key in ordered for decision in plan_key(by_key[key], rules, now)]


def plan_key(history: list[Version], rules: PruneRules, now: datetime) -> list[Decision]:
    """Decide about every version of one key.

    Rows that a listing lost can only make fewer versions go: a missing successor makes its predecessor look younger, a
    missing sibling lowers the ranks, and a key without exactly one current row is left alone.

    Args:
        history: All rows of one key, in any order.
        rules: What may go.
        now: The clock, with time zone.

    Returns:
        One decision per row, newest first.
    """
    rows = newest_first(history)
    siblings = len(rows)
    current = [row for row in rows if row.is_latest]
    if len(current) != 1 or _GARBLED in rows[0].key:
        why, reason = _unusable(rows[0].key, len(current))
        return [Decision(row, why, reason, _seconds(now - row.last_modified), siblings) for row in rows]
    last_copy = None
    if current[0].is_marker and not rules.include_last_copy:
        last_copy = next((row for row in rows if not row.is_marker), None)
    decisions: list[Decision] = []
    rank = 0
    successor: Version | None = None
    for row in rows:
        replaced = successor.last_modified if successor else None
        since = row.last_modified if rules.age_basis == "own" or replaced is None else replaced
        age = now - since
        if row.is_latest:
            why, reason = (
                (Why.CURRENT_MARKER, "kept: current delete marker")
                if row.is_marker
                else (Why.CURRENT, "kept: current version")
            )
        else:
            old_enough = rules.older_than is None or age >= rules.older_than
            if rules.keep_last_scope == "all" or old_enough:
                rank += 1
            why, reason = _decide(
                row,
                rules,
                rank=rank,
                old_enough=old_enough,
                age=age,
                replaced=replaced,
                is_last_copy=row is last_copy,
            )
        decisions.append(Decision(row, why, reason, _seconds(age), siblings))
        successor = row
    return decisions


def _decide(
    row: Version,
    rules: PruneRules,
    *,
    rank: int,
    old_enough: bool,
    age: timedelta,
    replaced: datetime | None,
    is_last_copy: bool,
) -> tuple[Why, str]:
    if rules.age_basis == "noncurrent" and rules.older_than is not None and replaced is None:
        return Why.NO_SUCCESSOR, "kept: newer than the current version, so when it was replaced is unknown"
    if not old_enough:
        verb = "replaced" if rules.age_basis == "noncurrent" else "written"
        return Why.YOUNG, f"kept: {verb} {human_age(_seconds(age))} ago"
    if rules.keep_last and rank <= rules.keep_last:
        among = " old enough" if rules.keep_last_scope == "eligible" and rules.older_than else ""
        return Why.NEWEST, f"kept: among the {rules.keep_last} newest{among}"
    if is_last_copy:
        return Why.LAST_COPY, "kept: last data version under a delete marker"
    since = "replaced" if rules.age_basis == "noncurrent" and replaced is not None else "written"
    what = "delete marker, noncurrent" if row.is_marker else "noncurrent"
    return Why.DELETE, f"goes: {what}, {since} {human_age(_seconds(age))} ago"


def _unusable(key: str, current: int) -> tuple[Why, str]:
    if _GARBLED in key:
        return Why.GARBLED, "kept: the listing garbled the name of this key"
    if current == 0:
        return Why.NO_CURRENT, "kept: the listing shows no current version of this key"
    return Why.NO_CURRENT, f"kept: the listing shows {current} current versions of this key"


def newest_first(history: Iterable[Version]) -> list[Version]:
    """Order the rows of one key by time, newest first.

    Equal times are settled by the current version first, then by the order of the listing: servers list a key's
    versions newest first, and most tell time in whole seconds.
    """
    return sorted(history, key=lambda row: (-row.last_modified.timestamp(), not row.is_latest, row.position))


def _seconds(span: timedelta) -> float:
    return span.total_seconds()


def human_age(seconds: float) -> str:
    """The two largest units of a duration: ``3 d``, ``5 h 20 min``, ``12 s``; ``-`` in front when negative."""
    sign = "-" if seconds < 0 else ""
    left = int(abs(seconds))
    parts: list[str] = []
    for name, size in (("y", 31536000), ("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
        if len(parts) == 2 or (parts and name == "d"):
            break
    return sign + (" ".join(parts) or "0 s")
