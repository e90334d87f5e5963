"""Object lock and legal hold: versions that a server would refuse to delete are named in the plan, with the date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from stowage import errors
from stowage.s3.connection import engine_errors
from stowage.s3.prune_plan import Decision, Why

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_CHUNK = 256
_NO = (errors.AuthError, errors.ConflictError, errors.NotFoundError, errors.RefusedError)


def bucket_has_lock(client: S3Client, bucket: str) -> bool:
    """Whether versions of this bucket can be locked at all.

    A server that does not know the question, or a key that may not ask it, counts as no: the server itself still
    refuses to delete a locked version, and that refusal is reported.

    Raises:
        NetworkError: The server was not reached.
        ServerFaultError: It failed.
    """
    try:
        with engine_errors(f"read object lock of bucket {bucket}", client.meta.endpoint_url):
            answer = client.get_object_lock_configuration(Bucket=bucket)
    except _NO:
        return False
    return answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"


def lock_reason(client: S3Client, bucket: str, key: str, version_id: str, now: datetime) -> str | None:
    """Why a version can not be deleted now, or ``None``.

    Args:
        client: boto3 S3 client; its key needs s3:GetObjectRetention and s3:GetObjectLegalHold.
        bucket: Bucket name.
        key: Object name.
        version_id: The version.
        now: The clock, with time zone.

    Returns:
        ``locked until 2027-01-01T00:00:00+00:00 (COMPLIANCE)`` or ``locked: legal hold``.

    Raises:
        NetworkError: The server was not reached.
        ServerFaultError: It failed.
    """
    which: dict[str, Any] = {"Bucket": bucket, "Key": key, "VersionId": version_id}
    doing = f"read the lock of {key!r}"
    # "No" also means that none was ever set, or that the key may not see it: the server's own refusal remains.
    with suppress(*_NO), engine_errors(doing, client.meta.endpoint_url):
        if client.get_object_legal_hold(**which).get("LegalHold", {}).get("Status") == "ON":
            return "locked: legal hold"
    try:
        with engine_errors(doing, client.meta.endpoint_url):
            retention = client.get_object_retention(**which).get("Retention", {})
    except _NO:
        return None
    until = retention.get("RetainUntilDate")
    if until and until > now:
        return f"locked until {until.isoformat()} ({retention.get('Mode', 'mode unknown')})"
    return None


def keep_locked(
    client: S3Client, bucket: str, decisions: Iterable[Decision], now: datetime, *, workers: int = 8
) -> Iterator[Decision]:
    """Pass decisions on, with locked versions turned from "goes" to "kept: locked …". Costs two requests a version.

    Args:
        client: boto3 S3 client.
        bucket: A bucket with object lock.
        decisions: In any order; the order is kept.
        now: The clock, with time zone.
        workers: Requests at the same time.
    """

    def look(decision: Decision) -> Decision:
        # A delete marker can not be locked.
        if not decision.delete or decision.version.is_marker:
            return decision
        version = decision.version
        reason = lock_reason(client, bucket, version.key, version.version_id, now)
        return decision._replace(why=Why.LOCKED, reason=f"kept: {reason}") if reason else decision

    stream = iter(decisions)
    with ThreadPoolExecutor(workers, thread_name_prefix="locks") as pool:
        while chunk := list(islice(stream, _CHUNK)):
            yield from pool.map(look, chunk)
