"""Notification bindings: the rules of an ARN, what a bucket must be bound to, and what would be lost. Pure functions.

RustFS 1.0.0-beta.5 takes an ARN in the wrong case, or of a target that does not exist, with a 200 and then sends
nothing (facts/rustfs.md 4.3), and it keeps a malformed one while it answers 400. So everything is checked before the
put, and read back after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stowage import errors
from stowage.access.model import Target
from stowage.outcome import Difference

Mode = Literal["exact", "at_least"]

# s3:ObjectCreated:* and the rest as RustFS and MinIO know them (facts/rustfs.md 4.3).
_EVENT_NAMES = """
    s3:ObjectCreated:* s3:ObjectCreated:Put s3:ObjectCreated:Post s3:ObjectCreated:Copy
    s3:ObjectCreated:CompleteMultipartUpload s3:ObjectCreated:PutRetention s3:ObjectCreated:PutLegalHold
    s3:ObjectCreated:PutTagging s3:ObjectCreated:DeleteTagging s3:ObjectRemoved:* s3:ObjectRemoved:Delete
    s3:ObjectRemoved:DeleteMarkerCreated s3:ObjectRemoved:DeleteAllVersions s3:ObjectRemoved:NoOP s3:ObjectAccessed:*
    s3:ObjectAccessed:Get s3:ObjectAccessed:Head s3:ObjectAccessed:GetRetention s3:ObjectAccessed:GetLegalHold
    s3:ObjectAccessed:Attributes s3:ObjectTagging:* s3:ObjectTagging:Put s3:ObjectTagging:Delete s3:ObjectAcl:Put
    s3:ObjectRestore:* s3:ObjectRestore:Post s3:ObjectRestore:Completed s3:Replication:* s3:Scanner:*
"""
EVENT_NAMES = frozenset(_EVENT_NAMES.split())
# What operators write for short, as the peer's command line does.
_SHORT = {"put": "s3:ObjectCreated:*", "delete": "s3:ObjectRemoved:*", "get": "s3:ObjectAccessed:*"}
_ARN = re.compile(r"^arn:([a-z]+):sqs:([^:]*):([^:]+):([^:]+)$", re.IGNORECASE)
_KINDS = ("QueueConfigurations", "TopicConfigurations", "LambdaFunctionConfigurations")
_ARN_FIELD = {
    "QueueConfigurations": "QueueArn",
    "TopicConfigurations": "TopicArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}


@dataclass(frozen=True, order=True)
class Binding:
    """One rule: these events of keys with that prefix and suffix go to that target."""

    arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def shown(self) -> dict[str, Any]:
        """Plain data, without what is empty."""
        made: dict[str, Any] = {"arn": self.arn, "events": list(self.events)}
        return {**made, **{key: value for key, value in (("prefix", self.prefix), ("suffix", self.suffix)) if value}}


def normal_arn(arn: str) -> str:
    """The ARN as the server knows it.

    RustFS puts the id of a target into lower case and compares with case; MinIO keeps the case it was given, so only
    ARNs of RustFS are lower-cased.

    Raises:
        BadInputError: Not six parts of the right form.
    """
    found = _ARN.match(arn.strip())
    if not found:
        raise errors.BadInputError(f"target {arn!r} is no ARN", "right: arn:rustfs:sqs::NAME:webhook")
    partition, region, name, kind = found.groups()
    if partition.lower() == "rustfs":
        name, kind = name.lower(), kind.lower()
    return f"arn:{partition.lower()}:sqs:{region}:{name}:{kind}"


def same_target(one: str, other: str) -> bool:
    """Whether two ARNs name the same target: the region plays no part in it (facts/rustfs.md 4.2)."""
    return _without_region(one) == _without_region(other)


def _without_region(arn: str) -> tuple[str, ...]:
    parts = arn.split(":")
    return (*parts[:3], *parts[4:])


def binding(arn: str, events: Iterable[str], prefix: str = "", suffix: str = "") -> Binding:
    """A binding from what a person wrote.

    Raises:
        BadInputError: A malformed ARN or an unknown event name, which the server would silently never match.
    """
    names = {_SHORT.get(one, one) for one in events}
    if unknown := sorted(names - EVENT_NAMES):
        raise errors.BadInputError(
            f"unknown event {', '.join(unknown)}", "right: put, delete, get, or names such as s3:ObjectCreated:*"
        )
    if not names:
        raise errors.BadInputError(f"binding to {arn} names no events", "right: [put, delete]")
    return Binding(normal_arn(arn), tuple(sorted(names)), prefix, suffix)


def parsed(configuration: Mapping[str, Any]) -> list[Binding]:
    """The bindings in a bucket's notification configuration, as boto3 returns it."""
    found = []
    for kind in _KINDS:
        for one in configuration.get(kind) or []:
            rules = {
                str(rule["Name"]).lower(): rule["Value"]
                for rule in one.get("Filter", {}).get("Key", {}).get("FilterRules", [])
            }
            arn = str(one[_ARN_FIELD[kind]])
            events = tuple(sorted(one.get("Events", [])))
            found.append(Binding(arn, events, rules.get("prefix", ""), rules.get("suffix", "")))
    return sorted(found)


def document(bindings: Iterable[Binding]) -> dict[str, Any]:
    """The notification configuration for boto3 that holds these bindings."""
    queues = []
    for one in sorted(bindings):
        rules = [{"Name": name, "Value": value} for name, value in (("prefix", one.prefix), ("suffix", one.suffix))]
        made: dict[str, Any] = {"QueueArn": one.arn, "Events": list(one.events)}
        if used := [rule for rule in rules if rule["Value"]]:
            made["Filter"] = {"Key": {"FilterRules": used}}
        queues.append(made)
    return {"QueueConfigurations": queues} if queues else {}


def check_targets(
    wanted: Iterable[Binding], targets: Iterable[Target], *, allow_offline: bool, known: bool
) -> list[str]:
    """Refuse a target that does not exist or can not be reached.

    Args:
        wanted: The bindings asked for.
        targets: What the server lists.
        allow_offline: Bind to a target that is offline (its queue keeps the events).
        known: ``False`` when the server has no list to ask; then its own answer to the put decides.

    Returns:
        Warnings about offline targets that were allowed.

    Raises:
        NotFoundError: No such target; the message names those there are.
        RefusedError: The target is offline.
    """
    if not known:
        return []
    listed = list(targets)
    warnings = []
    for one in wanted:
        target = next((target for target in listed if same_target(target.arn, one.arn)), None)
        if target is None:
            there = ", ".join(sorted(target.arn for target in listed)) or "none (are notifications switched on?)"
            raise errors.NotFoundError(f"no event target {one.arn} on the server; there are: {there}")
        if target.status == "offline":
            text = f"event target {one.arn} is offline: the server can not reach its endpoint or use its queue folder"
            if not allow_offline:
                raise errors.RefusedError(text, "mend the endpoint and the queue folder, or allow_offline: true")
            warnings.append(text)
    return warnings


def check_no_loop(bucket: str, wanted: Iterable[Binding], sink_buckets: Iterable[str]) -> None:
    """Refuse to bind the bucket that the sink writes to: each event would make the next one.

    Raises:
        RefusedError: The bucket is one of them.
    """
    if bucket in set(sink_buckets) and list(wanted):
        raise errors.RefusedError(
            f"bucket {bucket} is where events are written: bound, each event would make another, for ever",
            f"take {bucket} out of the bound buckets",
        )


def plan_bindings(current: list[Binding], wanted: list[Binding], mode: Mode) -> tuple[list[Binding], list[Difference]]:
    """What the bucket's bindings must become.

    Args:
        current: As the server has them.
        wanted: As asked for.
        mode: ``exact`` removes others, ``at_least`` keeps them.

    Returns:
        The bindings to store, and the difference (none when they are as asked for).
    """
    asked = {_identity(one): one for one in wanted}
    kept = [one for one in current if mode == "at_least" or _identity(one) in asked]
    there = {_identity(one) for one in kept}
    after = sorted([*kept, *(one for key, one in asked.items() if key not in there)])
    if [_identity(one) for one in sorted(current)] == [_identity(one) for one in after]:
        return after, []
    return after, [
        Difference("bindings", [one.shown() for one in sorted(current)], [one.shown() for one in after]),
    ]


def _identity(one: Binding) -> tuple[object, ...]:
    # Case counts in what the server holds: a binding stored in the wrong case sends nothing.
    return (_without_region(one.arn), one.events, one.prefix, one.suffix)
