"""The second look: before the versions of a key go, the key is listed again and the rules must still agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from stowage.s3.prune_file import Candidate
from stowage.s3.prune_plan import Decision, PruneRules, plan_key
from stowage.s3.versions import PAGE_SIZE, History, list_key, list_pages, one_page
from stowage.s3.versions_narrow import common_start

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# One page of 1,000 rows costs a server about as much as this many listings of one key with 20 versions (measured on
# SeaweedFS 4.48: 110 ms against 4 ms).
_KEY_LISTINGS_PER_PAGE = 25
_SPARE_ROWS = 25

Decide = Callable[[History, PruneRules, datetime], list[Decision]]
"""Decides about every version of one key."""


class Outcome(StrEnum):
    """What became of one planned version."""

    DELETED = "deleted"
    GONE = "already_gone"
    SKIPPED = "skipped"
    LOCKED = "locked"
    FAILED = "failed"


class ItemResult(NamedTuple):
    """The result for one planned version.

    Args:
        candidate: The line of the plan.
        outcome: What became of it.
        detail: Why, where it was not simply deleted.
    """

    candidate: Candidate
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True)
class Unit:
    """Whole keys that are looked at and deleted together.

    Args:
        candidates: Planned versions, grouped by key, in listing order.
        after_key: The last key of the unit before: a place in the listing to start from; empty at the beginning.
        after_position: Its row number.
    """

    candidates: list[Candidate]
    after_key: str
    after_position: int

    def by_key(self) -> dict[str, list[Candidate]]:
        """The planned versions of each key."""
        keys: dict[str, list[Candidate]] = {}
        for candidate in self.candidates:
            keys.setdefault(candidate.key, []).append(candidate)
        return keys


def to_units(candidates: Iterable[Candidate], *, size: int = PAGE_SIZE) -> Iterator[Unit]:
    """Cut a plan into units of at most ``size`` versions; a key with more is a unit by itself.

    A key is never cut in two, so one second look holds for all of its versions.
    """
    unit: list[Candidate] = []
    group: list[Candidate] = []
    after = ("", 0)

    def close(rows: list[Candidate]) -> Unit:
        nonlocal after
        made = Unit(rows, *after)
        after = (rows[-1].key, rows[-1].position)
        return made

    for candidate in candidates:
        if group and candidate.key != group[0].key:
            if unit and len(unit) + len(group) > size:
                yield close(unit)
                unit = []
            unit += group
            group = []
        group.append(candidate)
    if unit and len(unit) + len(group) > size:
        yield close(unit)
        unit = []
    if unit + group:
        yield close(unit + group)


def confirm(
    planned: Sequence[Candidate],
    fresh: History,
    rules: PruneRules,
    planned_at: datetime,
    decide: Decide = plan_key,
) -> tuple[list[Candidate], list[ItemResult]]:
    """Split the planned versions of one key into those that may still go and those that may not, with the reason.

    Args:
        planned: Versions of one key.
        fresh: The rows that the key has now.
        rules: The rules of the plan.
        planned_at: The clock of the plan, so that waiting does not widen it.
        decide: What decides about a key.

    Returns:
        What to delete, and a result for everything else.
    """
    rows = {row.version_id: row for row in fresh}
    decisions = (
        {decision.version.version_id: decision for decision in decide(fresh, rules, planned_at)} if fresh else {}
    )
    go: list[Candidate] = []
    rest: list[ItemResult] = []
    for candidate in planned:
        row = rows.get(candidate.version_id)
        if row is None:
            rest.append(ItemResult(candidate, Outcome.GONE, "not there any more"))
        elif row.is_latest:
            rest.append(ItemResult(candidate, Outcome.SKIPPED, "became the current version since the plan"))
        elif (row.last_modified.isoformat(), row.is_marker) != (candidate.last_modified, candidate.delete_marker):
            rest.append(ItemResult(candidate, Outcome.SKIPPED, "was written anew under the same version id"))
        elif not decisions[candidate.version_id].delete:
            rest.append(ItemResult(candidate, Outcome.SKIPPED, decisions[candidate.version_id].reason))
        else:
            go.append(candidate)
    return go, rest


def relist(
    client: S3Client, bucket: str, prefix: str, unit: Unit, *, short_prefixes: bool = False, afterwards: bool = False
) -> dict[str, History]:
    """List the keys of a unit again: by one stretch of the listing where its keys lie close, else one by one.

    A key that was not shown so with every planned version is listed by itself, so that a server which loses
    rows at page boundaries costs time and not trust.

    Args:
        client: boto3 S3 client.
        bucket: Bucket name.
        prefix: The prefix of the plan.
        unit: What to look at.
        short_prefixes: Ask by the keys' common beginnings instead, where the server reads more than it shows.
        afterwards: The planned versions should be gone: each key shows what it kept, not what was planned.

    Returns:
        Rows by key; a key without rows is missing.
    """
    keys = unit.by_key()
    found: dict[str, History] = {}
    stretch = unit.candidates[-1].position + unit.candidates[-1].siblings - unit.after_position
    pages = stretch // PAGE_SIZE + 1
    if stretch > 0 and pages * _KEY_LISTINGS_PER_PAGE <= len(keys):
        if short_prefixes:
            found = _by_prefix(client, bucket, keys)
        else:
            # One row more than planned shows that the last key is whole; a few more let it grow meanwhile.
            page_size = min(PAGE_SIZE, stretch // pages + _SPARE_ROWS)
            found = _stretch(client, bucket, prefix, unit, most_pages=pages + 1, page_size=page_size)
    for key, planned in keys.items():
        seen = {row.version_id for row in found.get(key, ())}
        if not (seen if afterwards else all(candidate.version_id in seen for candidate in planned)):
            fresh = list_key(client, bucket, key, expected=planned[0].siblings)
            found[key] = fresh
    return {key: found[key] for key in keys if found.get(key)}


def _stretch(
    client: S3Client, bucket: str, prefix: str, unit: Unit, *, most_pages: int, page_size: int
) -> dict[str, History]:
    last = unit.candidates[-1].key
    found: dict[str, History] = {}
    listing = list_pages(client, bucket, prefix=prefix, after_key=unit.after_key, page_size=page_size, ahead=False)
    for number, page in enumerate(listing, start=1):
        for row in page.rows:
            found.setdefault(row.key, []).append(row)
        if not page.truncated:
            return found
        if number >= most_pages or (last in found and page.rows and page.rows[-1].key != last):
            # The page may have ended inside its last key.
            found.pop(page.rows[-1].key, None)
            break
    return found


def _by_prefix(client: S3Client, bucket: str, keys: Iterable[str]) -> dict[str, History]:
    letters = len(common_start(list(keys))) + 1
    found: dict[str, History] = {}
    for _, group in groupby(keys, lambda key: key[:letters]):
        together = list(group)
        if len(together) > 1:
            page = one_page(client, bucket, common_start(together))
            for row in page.rows:
                # The page may have ended inside this key.
                if row.key != page.next_key:
                    found.setdefault(row.key, []).append(row)
    return found
