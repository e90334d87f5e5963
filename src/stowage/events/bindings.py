"""Notification bindings: the rules of an ARN, what a bucket must be bound to, and what would be lost. Pure functions.

RustFS 1.0.0-beta.5 takes an ARN in the wrong case, or of a target that does not exist, with a 200 and then sends
nothing (facts/rustfs.md 4.3), and it keeps a malformed one while it answers 400. So everything is checked before the
put, and read back after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stowage import errors
from stowage.access.model import Target

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
QUEUES = "QueueConfigurations"
_ARN_FIELD = {
    QUEUES: "QueueArn",
    "TopicConfigurations": "TopicArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}


@dataclass(frozen=True, order=True)
class Binding:
    """One rule: these events of keys with that prefix and suffix go to that target.

    Args:
        arn: Of the target.
        events: Their names.
        prefix: Keys begin so.
        suffix: Keys end so.
        kind: The list of the configuration in which it stands.
        raw: As the server holds it, with its ``Id``; written back unchanged while the rule is kept.
    """

    arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""
    kind: str = QUEUES
    raw: dict[str, Any] | None = field(default=None, compare=False, repr=False)

    def shown(self) -> dict[str, Any]:
        """Plain data, without what is empty."""
        made: dict[str, Any] = {"arn": self.arn, "events": list(self.events)}
        kind = "" if self.kind == QUEUES else self.kind
        more = (("prefix", self.prefix), ("suffix", self.suffix), ("kind", kind))
        return {**made, **{key: value for key, value in more if value}}


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
    return without_region(one) == without_region(other)


def without_region(arn: str) -> tuple[str, ...]:
    """The parts of an ARN by which targets are told apart."""
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
    for kind, arn_field in _ARN_FIELD.items():
        for one in configuration.get(kind) or []:
            rules = {
                str(rule["Name"]).lower(): rule["Value"]
                for rule in one.get("Filter", {}).get("Key", {}).get("FilterRules", [])
            }
            events = tuple(sorted(one.get("Events", [])))
            prefix, suffix = rules.get("prefix", ""), rules.get("suffix", "")
            found.append(Binding(str(one[arn_field]), events, prefix, suffix, kind, dict(one)))
    return sorted(found)


def document(bindings: Iterable[Binding]) -> dict[str, Any]:
    """The notification configuration for boto3 that holds these bindings."""
    lists: dict[str, list[dict[str, Any]]] = {}
    for one in sorted(bindings):
        lists.setdefault(one.kind, []).append(one.raw or _rule(one))
    return lists


def _rule(one: Binding) -> dict[str, Any]:
    rules = [{"Name": name, "Value": value} for name, value in (("prefix", one.prefix), ("suffix", one.suffix))]
    made: dict[str, Any] = {_ARN_FIELD[one.kind]: one.arn, "Events": list(one.events)}
    if used := [rule for rule in rules if rule["Value"]]:
        made["Filter"] = {"Key": {"FilterRules": used}}
    return made


def check_storable(bucket: str, kept: Iterable[Binding], partition: str) -> None:
    """Refuse to write back a rule that the server would refuse: RustFS stores all of it first and answers 400 then.

    Args:
        bucket: For the message.
        kept: The rules of others, which would be written again with ours.
        partition: Of the server's ARNs, ``rustfs`` or ``minio``.

    Raises:
        RefusedError: There is such a rule.
    """
    right = re.compile(rf"^arn:{partition}:sqs:[^:]*:[^:]+:[^:]+$")
    if wrong := sorted({one.arn for one in kept if not right.match(one.arn)}):
        raise errors.RefusedError(
            f"bucket {bucket} has a rule to {', '.join(wrong)}, which this server does not take again; nothing changed",
            "take that rule away by the client that made it, or by mode: exact",
        )


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
