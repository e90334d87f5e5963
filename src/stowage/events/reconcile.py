"""Make a bucket's notification bindings what was declared, and look whether the server kept them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowage import errors
from stowage.access.model import NOTIFICATIONS, AccessDriver
from stowage.events.bindings import (
    Binding,
    Mode,
    check_no_loop,
    check_storable,
    check_targets,
    document,
    parsed,
)
from stowage.events.merge import covered, plan_bindings, same
from stowage.outcome import Outcome
from stowage.s3.connection import engine_errors

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def reconcile_bindings(
    client: S3Client,
    driver: AccessDriver,
    endpoint: str,
    bucket: str,
    wanted: list[Binding],
    *,
    mode: Mode = "exact",
    sink_buckets: list[str] | None = None,
    allow_offline: bool = False,
    check: bool = False,
    assume_absent: bool = False,
) -> Outcome:
    """Make a bucket's bindings what was declared.

    Args:
        client: Of the administrator.
        driver: Of the store, which knows its targets.
        endpoint: For messages.
        bucket: To bind.
        wanted: The bindings; an empty list with ``exact`` removes all.
        mode: ``exact`` or ``at_least``.
        sink_buckets: Buckets that are written to because of events; never bound.
        allow_offline: Bind to targets that are offline.
        check: Only report.
        assume_absent: Do not ask the server: nothing is there yet.

    Returns:
        The outcome; ``state["bindings"]`` is what is bound, ``state["lost"]`` what was (or would be) taken away.

    Raises:
        NotFoundError: No such bucket or target.
        RefusedError: The store has no bindings, the target is offline, a loop would be made, or a rule that is there
            can not be written back.
        ServerFaultError: The server kept something else than it was given.
    """
    check_no_loop(bucket, wanted, sink_buckets or [])
    if NOTIFICATIONS not in driver.features:
        # SeaweedFS takes PUT ?notification for CreateBucket and answers 409 (facts/s3-servers.md 1).
        raise errors.RefusedError(f"bucket {bucket}: this store has no bucket notifications", "use RustFS or MinIO")
    current: list[Binding] = []
    warnings: list[str] = []
    if not assume_absent:
        targets = driver.targets() if wanted else []
        # The JuiceFS gateway has MinIO's bindings but no list of targets; its answer to the put decides then.
        known = driver.name != "minio" or bool(targets)
        warnings = check_targets(wanted, targets, allow_offline=allow_offline, known=known)
        try:
            current = _read(client, endpoint, bucket)
        except errors.NotFoundError:
            if not check:
                raise
            warnings.append(f"bucket {bucket} does not exist (yet)")
    after, differences = plan_bindings(current, wanted, mode)
    lost = [one.shown() for one in current if not covered(one, after)]
    if differences:
        check_storable(bucket, (one for one in after if one.raw), driver.name)
    if differences and not check:
        with engine_errors(f"bind bucket {bucket}", endpoint):
            client.put_bucket_notification_configuration(
                Bucket=bucket, NotificationConfiguration=_as_boto3(document(after))
            )
        _read_back(client, endpoint, bucket, after)
    if lost and differences:
        arns = ", ".join(sorted({str(one["arn"]) for one in lost}))
        warnings.append(f"bucket {bucket}: bindings to {arns} {'would be' if check else 'were'} taken away or changed")
    return Outcome(bucket, differences, {"bindings": [one.shown() for one in after], "lost": lost}, warnings)


def _as_boto3(made: dict[str, Any]) -> Any:
    return made


def _read(client: S3Client, endpoint: str, bucket: str) -> list[Binding]:
    with engine_errors(f"read bindings of bucket {bucket}", endpoint):
        return parsed(dict(client.get_bucket_notification_configuration(Bucket=bucket)))


def _read_back(client: S3Client, endpoint: str, bucket: str, after: list[Binding]) -> None:
    stored = _read(client, endpoint, bucket)
    if not same(stored, after):
        held, given = ([one.shown() for one in some] for some in (stored, after))
        raise errors.ServerFaultError(
            f"bucket {bucket}: the server accepted the bindings but holds {held}, not {given}"
        )
