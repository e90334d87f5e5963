"""Rules of one bucket that overlap, made into rules of which each event of a key fits one. Pure functions.

Servers do not look for overlaps. Where one sends an event once for each rule that fits, the trace holds it twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from stowage import errors
from stowage.events.bindings import QUEUES, Binding, Mode, same_target, without_region
from stowage.outcome import Difference

# What a wildcard stands for on every server at hand; RustFS and MinIO differ about the rest (facts/rustfs.md 4.3).
_STANDS_FOR = {
    "s3:ObjectCreated:*": ("Put", "Post", "Copy", "CompleteMultipartUpload"),
    "s3:ObjectRemoved:*": ("Delete", "DeleteMarkerCreated"),
    "s3:ObjectAccessed:*": ("Get", "Head"),
    "s3:ObjectTagging:*": ("Put", "Delete"),
    "s3:ObjectRestore:*": ("Post", "Completed"),
}


def spread(events: Iterable[str]) -> frozenset[str]:
    """The events that these names stand for; a wildcard stays among them, as what else a server may mean by it."""
    found = set(events)
    for wildcard in found & set(_STANDS_FOR):
        found |= {wildcard.removesuffix("*") + one for one in _STANDS_FOR[wildcard]}
    return frozenset(found)


def shortest(events: Iterable[str]) -> tuple[str, ...]:
    """These names without those that a wildcard among them stands for."""
    named = set(events)
    covered = {one for wildcard in named & set(_STANDS_FOR) for one in spread([wildcard]) - {wildcard}}
    return tuple(sorted(named - covered))


def covered(one: Binding, bindings: Iterable[Binding]) -> bool:
    """Whether each event of this rule is sent to its target by those bindings."""
    wider = [other for other in bindings if same_target(one.arn, other.arn) and _scope_holds(other, one)]
    return set(one.events) <= spread(event for other in wider for event in other.events)


def merged(bindings: Iterable[Binding], untouchable: Iterable[Binding] = ()) -> list[Binding]:
    """These bindings without overlaps: the same events of the same keys, each by one rule.

    Args:
        bindings: All rules of a bucket.
        untouchable: Those of them that stay as they are, since somebody else keeps them.

    Returns:
        Sorted, and itself when nothing overlaps.

    Raises:
        BadInputError: Two rules overlap in a part of their keys or events that can not be cut out of either.
    """
    fixed = [one for one in untouchable if one.kind != QUEUES]
    queues = _same_keys_joined(one for one in bindings if one not in fixed)
    kept = []
    for one in queues:
        wider = [other for other in [*fixed, *queues] if other is not one and _is_wider(other, one)]
        elsewhere = spread(event for other in wider for event in other.events)
        if left := tuple(event for event in one.events if event not in elsewhere):
            kept.append(one if left == one.events else dataclasses.replace(one, events=left, raw=None))
    known = list(untouchable)
    for number, one in enumerate(kept):
        for other in [*fixed, *kept[number + 1 :]]:
            if _overlap(one, other) and not (one in known and other in known):
                raise errors.BadInputError(
                    f"bindings {one.shown()} and {other.shown()} overlap: an event that fits both may be sent twice",
                    "give them different events, prefixes that do not begin with each other, or make them one",
                )
    return sorted([*fixed, *kept])


def _same_keys_joined(bindings: Iterable[Binding]) -> list[Binding]:
    joined: list[Binding] = []
    for one in bindings:
        twin = next((other for other in joined if _is_wider(one, other) and _is_wider(other, one)), None)
        if twin is None:
            joined.append(one)
        elif not set(one.events) <= spread(twin.events):
            both = shortest([*twin.events, *one.events])
            joined[joined.index(twin)] = dataclasses.replace(twin, events=both, raw=None)
    return joined


def _scope_holds(wide: Binding, narrow: Binding) -> bool:
    return narrow.prefix.startswith(wide.prefix) and narrow.suffix.endswith(wide.suffix)


def _is_wider(wide: Binding, narrow: Binding) -> bool:
    return same_target(wide.arn, narrow.arn) and _scope_holds(wide, narrow)


def _overlap(one: Binding, other: Binding) -> bool:
    prefixes = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    suffixes = one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix)
    return same_target(one.arn, other.arn) and prefixes and suffixes and bool(spread(one.events) & spread(other.events))


def plan_bindings(current: list[Binding], wanted: list[Binding], mode: Mode) -> tuple[list[Binding], list[Difference]]:
    """What the bucket's bindings must become.

    Args:
        current: As the server has them.
        wanted: As asked for.
        mode: ``exact`` removes others; ``at_least`` keeps them, and of those to the same target makes one with ours
            where they overlap.

    Returns:
        The bindings to store, and the difference (none when they are as asked for).

    Raises:
        BadInputError: Two of them overlap and can not be made one.
    """
    asked = merged(wanted)
    if mode == "at_least":
        after = merged([*current, *asked], untouchable=current)
    else:
        # A rule that is there keeps what the server knows of it, such as its Id.
        there = {_identity(one): one for one in current}
        after = sorted(there.get(_identity(one), one) for one in asked)
    if same(current, after):
        return after, []
    return after, [
        Difference("bindings", [one.shown() for one in sorted(current)], [one.shown() for one in after]),
    ]


def same(some: Iterable[Binding], others: Iterable[Binding]) -> bool:
    """Whether a server does the same by these rules as by those."""
    return sorted(map(_identity, some)) == sorted(map(_identity, others))


def _identity(one: Binding) -> tuple[str, ...]:
    # Case counts in what the server holds: a binding stored in the wrong case sends nothing.
    return (*without_region(one.arn), one.kind, one.prefix, one.suffix, *one.events)
