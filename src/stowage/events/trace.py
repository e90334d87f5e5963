"""The events bucket, read from outside: what is new in it, and how old its newest object is.

Objects are named by the time of their first event, ``2026/11/22/14-58-39-<random>.json`` in UTC (roles/fluent_bit), so
a listing may begin at a time and needs to see nothing before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from stowage import errors
from stowage.events.normal import Batch, read_batch
from stowage.s3.connection import engine_errors

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

KEY_FORMAT = "%Y/%m/%d/%H-%M-%S"
_DAY = re.compile(r"^\d{4}/\d{2}/\d{2}/")


@dataclass(frozen=True)
class Stored:
    """An object of the events bucket: its key and when the store wrote it."""

    key: str
    written: datetime


@dataclass(frozen=True)
class TraceAge:
    """How fresh the trace is, by the store's own clock.

    Attributes:
        newest: Key of the newest object; empty when there is none.
        seconds: Its age; ``None`` when there is none.
        limit: Seconds that the newest object may be old while all is well.
    """

    newest: str
    seconds: float | None
    limit: float

    @property
    def stuck(self) -> bool:
        """True when nothing was uploaded for longer than the heartbeat allows."""
        return self.seconds is None or self.seconds > self.limit

    def result(self) -> dict[str, Any]:
        """Plain data for a module."""
        return {**asdict(self), "stuck": self.stuck, "said": str(self)}

    def __str__(self) -> str:
        if self.seconds is None:
            return "no event was ever written to the events bucket"
        state = "uploads are stuck" if self.stuck else "well"
        return f"newest event object is {self.seconds:.0f} s old, at most {self.limit:.0f} s are right: {state}"


def age_limit(heartbeat: float, upload_timeout: float) -> float:
    """Seconds that the newest object may be old.

    A heartbeat is taken, waits for its batch to be ``upload_timeout`` old and for the timer, which runs each sixth of
    that, 6 s at the least and 60 s at the most (facts/fluent-bit.md 2). One more timer run is for the upload itself.

    Args:
        heartbeat: Seconds between two heartbeats of the sink.
        upload_timeout: Seconds after which the sink uploads a batch.
    """
    return heartbeat + upload_timeout + 2 * min(max(upload_timeout / 6, 6), 60)


def seconds_of(text: str) -> float:
    """A duration as Fluent Bit takes it: ``90``, ``90s``, ``1m``, ``2h``, ``1d``.

    Raises:
        BadInputError: None of these.
    """
    found = re.fullmatch(r"(\d+)([smhd]?)", str(text).strip().lower())
    if not found:
        raise errors.BadInputError(f"{text!r} is no duration", "right: 60s, 1m, 2h")
    return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def store_time(client: S3Client, endpoint: str, bucket: str) -> datetime:
    """The store's clock, from an answer's Date header: ages are told by it alone, so no clock need be right.

    Raises:
        NotFoundError: No such bucket.
    """
    with engine_errors(f"look at events bucket {bucket}", endpoint):
        answer = client.list_objects_v2(Bucket=bucket, MaxKeys=1)
    said = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        return datetime.strptime(said, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return datetime.now(UTC)


def list_since(client: S3Client, endpoint: str, bucket: str, since: datetime | None = None) -> Iterator[Stored]:
    """Objects whose first event is of that time or later, in the order of their keys; without a time, all.

    What does not lie in the folder of a day is no part of the trace.
    """
    start = since.strftime(KEY_FORMAT) if since else ""
    more: dict[str, str] = {"StartAfter": start} if start else {}
    while True:
        with engine_errors(f"list events bucket {bucket}", endpoint):
            page = client.list_objects_v2(Bucket=bucket, **more)  # type: ignore[arg-type]
        for one in page.get("Contents", []):
            if _DAY.match(one["Key"]):
                yield Stored(one["Key"], one["LastModified"])
        token = page.get("NextContinuationToken")
        if not (page.get("IsTruncated") and token):
            return
        more = {"ContinuationToken": token}


def read_object(client: S3Client, endpoint: str, bucket: str, key: str) -> Batch:
    """The events in one object.

    Raises:
        BadInputError: Damaged; the message names the object.
    """
    with engine_errors(f"read event object {bucket}/{key}", endpoint):
        data = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    try:
        return read_batch(data)
    except errors.BadInputError as error:
        raise errors.BadInputError(f"event object {bucket}/{key}: {error.message}") from None


def trace_age(client: S3Client, endpoint: str, bucket: str, limit: float) -> TraceAge:
    """How old the newest object is.

    Looks at the last hours first, and only when nothing is there goes down the folders of year, month and day.

    Args:
        client: Of a key that may list the bucket.
        endpoint: For messages.
        bucket: The events bucket.
        limit: See :func:`age_limit`.

    Raises:
        NotFoundError: No such bucket.
    """
    now = store_time(client, endpoint, bucket)
    found = list(list_since(client, endpoint, bucket, now - timedelta(seconds=max(2 * limit, 3600))))
    if not found:
        found = _newest_day(client, endpoint, bucket)
    if not found:
        return TraceAge("", None, limit)
    newest = max(found, key=lambda one: (one.written, one.key))
    return TraceAge(newest.key, max(0.0, (now - newest.written).total_seconds()), limit)


def _newest_day(client: S3Client, endpoint: str, bucket: str) -> list[Stored]:
    prefix = ""
    for _ in ("year", "month", "day"):
        with engine_errors(f"list events bucket {bucket}", endpoint):
            page = client.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/")
        folders = sorted(one["Prefix"] for one in page.get("CommonPrefixes", []) if one["Prefix"][:1].isdigit())
        if not folders:
            return []
        prefix = folders[-1]
    if not _DAY.match(prefix):
        return []
    day = datetime.strptime(prefix, "%Y/%m/%d/").replace(tzinfo=UTC)
    return list(list_since(client, endpoint, bucket, day))
