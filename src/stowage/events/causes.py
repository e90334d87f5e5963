"""Why an event may not have arrived: from what the bucket is bound to and what the server tells. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stowage.access.model import Target
from stowage.events.bindings import Binding, normal_arn, same_target
from stowage.events.trace import TraceAge

BIND = "mend: ansible-playbook -i INVENTORY playbooks/notify.yml"
_PUT = ("s3:ObjectCreated:*", "s3:ObjectCreated:Put")


@dataclass(frozen=True)
class Cause:
    """One likely cause.

    Attributes:
        what: In words, with what mends it.
        certain: Nothing can arrive while it is so; waiting is of no use.
    """

    what: str
    certain: bool = False


def bucket_causes(bucket: str, key: str, bindings: Sequence[Binding], targets: Sequence[Target] | None) -> list[Cause]:
    """What in a bucket's bindings swallows the event of a put of ``key``.

    Args:
        bucket: The bucket.
        key: The object put.
        bindings: What the bucket is bound to.
        targets: The server's list; ``None`` when it was not asked or has none.

    Returns:
        The causes, empty when some binding looks right.
    """
    if not bindings:
        return [Cause(f"bucket {bucket} is bound to no target; {BIND}", certain=True)]
    found: list[Cause] = []
    for one in bindings:
        causes = _binding_causes(bucket, key, one, targets)
        if not any(cause.certain for cause in causes):
            return causes  # one good way is enough
        found += causes
    return found


def _binding_causes(bucket: str, key: str, one: Binding, targets: Sequence[Target] | None) -> list[Cause]:
    if not any(event in _PUT for event in one.events):
        return [Cause(f"bucket {bucket} is bound without put: {', '.join(one.events)}; {BIND}", certain=True)]
    if not (key.startswith(one.prefix) and key.endswith(one.suffix)):
        rule = f"prefix {one.prefix!r} and suffix {one.suffix!r}"
        return [Cause(f"bucket {bucket} is bound with {rule}, which the canary {key} does not have", certain=True)]
    return [] if targets is None else _target_causes(bucket, one, targets)


def _target_causes(bucket: str, one: Binding, targets: Sequence[Target]) -> list[Cause]:
    target = next((target for target in targets if same_target(target.arn, one.arn)), None)
    if target is None:
        lower = normal_arn(one.arn)
        if any(same_target(target.arn, lower) for target in targets):
            what = f"bucket {bucket} is bound to {one.arn}, but the target's name is in lower case: {lower}"
            return [Cause(f"{what}; the server takes the wrong case and sends nothing; {BIND}", certain=True)]
        there = ", ".join(sorted(target.arn for target in targets)) or "none; are notifications switched on?"
        return [Cause(f"bucket {bucket} is bound to {one.arn}, which the server does not have (it has: {there})", True)]
    if target.status == "offline":
        what = f"target {one.arn} is offline: the store does not reach the sink, or can not write its queue folder"
        return [Cause(f"{what}; events wait in the queue, or are lost without one")]
    return []


def sink_causes(bucket: str, sink: TraceAge, *, others_arrived: bool) -> list[Cause]:
    """What behind the bindings may hold events back.

    Args:
        bucket: The events bucket.
        sink: Its age when the wait was over.
        others_arrived: Whether the canary of any other bucket arrived, which clears the sink.
    """
    if others_arrived:
        return [Cause("other buckets' events arrive, so the sink is well: the fault is in this binding")]
    if sink.seconds is None:
        return [Cause(f"nothing was ever written to bucket {bucket}: does the sink write there, and may its key?")]
    if sink.stuck:
        return [Cause(f"{sink}: look at the sink's log for PutObject (docs/trace.md)")]
    return [Cause(f"the sink uploaded {sink.seconds:.0f} s ago, but no event of the store: does it post elsewhere?")]
