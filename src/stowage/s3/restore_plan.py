"""Which version of a key becomes current again: a pure function of the key's history."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from stowage import errors
from stowage.s3.prune_plan import newest_first, parse_age
from stowage.s3.versions import History
from stowage.s3.versions_xml import Version


class Action(StrEnum):
    """What a restore does with one key."""

    RESTORE = "restore"
    REMOVE = "remove"
    NOTHING = "nothing"
    LEAVE = "leave"
    REFUSE = "refuse"


class Step(NamedTuple):
    """What becomes of one key.

    Args:
        key: Object name.
        action: ``restore`` writes a copy of ``source`` on top, ``remove`` puts a delete marker on top, ``nothing`` is
            right already, ``leave`` is not as it was then but was not asked to be changed, ``refuse`` can not be done.
        reason: For a person.
        source: The version to bring back, for ``restore``.
        current: What is current now.
    """

    key: str
    action: Action
    reason: str
    source: Version | None
    current: Version


def parse_moment(text: str, now: datetime) -> datetime:
    """Read a point in time: RFC 3339 with its zone, or an age such as ``2d`` (two days ago).

    Raises:
        BadInputError: Neither, without a zone, or in the future.
    """
    example = "right: 2026-11-22T17:00:00Z, 2026-11-22T18:00:00+01:00, or 2d for two days ago"
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        try:
            moment = now - parse_age(text)
        except (errors.BadInputError, OverflowError):
            raise errors.BadInputError(f"{text!r} is no point in time", example) from None
    if moment.tzinfo is None:
        raise errors.BadInputError(f"{text!r} lacks its time zone", example)
    if moment > now:
        raise errors.BadInputError(f"{text!r} lies in the future", example)
    return moment.astimezone(UTC)


def step_to_version(history: History, version_id: str) -> Step:
    """Bring one named version of a key back.

    Args:
        history: All rows of the key, at least one.
        version_id: The version.

    Raises:
        NotFoundError: The key has no such version.
        BadInputError: It is a delete marker.
    """
    key, rows = history[0].key, newest_first(history)
    source = next((row for row in rows if row.version_id == version_id), None)
    if source is None:
        raise errors.NotFoundError(
            f"key {key!r} has no version {version_id}", f"stowage versions --key {key!r} shows those it has"
        )
    if source.is_marker:
        raise errors.BadInputError(f"version {version_id} of {key!r} is a delete marker: it has no bytes to restore")
    current = _current(rows)
    if source.is_latest:
        return Step(key, Action.NOTHING, "is the current version already", source, current)
    return Step(key, Action.RESTORE, f"version of {source.last_modified.isoformat()}", source, current)


def step_to_moment(history: History, moment: datetime, *, remove_newer: bool = False) -> Step:
    """Make a key what it was at a moment.

    Args:
        history: All rows of the key, at least one.
        moment: With time zone.
        remove_newer: Put a delete marker on keys that did not exist then; otherwise they are left.
    """
    key, rows = history[0].key, newest_first(history)
    current = _current(rows)
    then = next((row for row in rows if row.last_modified <= moment), None)
    if then is not None and not then.is_marker:
        if then.is_latest:
            return Step(key, Action.NOTHING, "has not changed since", then, current)
        return Step(key, Action.RESTORE, f"version of {then.last_modified.isoformat()}", then, current)
    absent = "was deleted then" if then else "did not exist then"
    if current.is_marker:
        return Step(key, Action.NOTHING, f"{absent}, and is deleted now", None, current)
    if remove_newer:
        return Step(key, Action.REMOVE, absent, None, current)
    return Step(key, Action.LEAVE, f"{absent}; left as it is", None, current)


def _current(rows: History) -> Version:
    return next((row for row in rows if row.is_latest), rows[0])
