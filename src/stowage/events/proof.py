"""What a canary has proven is remembered beside the trace, so that a run that changes nothing need not wait again.

A canary takes as long as the sink's upload, a minute as a rule. Its proof holds while the bucket's bindings are the
same, the trace is fresh and the proof is young enough; a failure is never remembered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stowage import errors
from stowage.events.bindings import Binding
from stowage.s3.connection import engine_errors

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

KEY = "stowage-proof.json"
"""In the events bucket, outside the folders of the trace."""


@dataclass(frozen=True)
class Proof:
    """That an event of a bucket arrived.

    Attributes:
        time: When, by the store's clock (UTC).
        seconds: How long it took.
        bindings: The bucket's bindings then.
    """

    time: datetime
    seconds: float
    bindings: tuple[Binding, ...]

    def holds(self, bindings: Iterable[Binding], now: datetime, remember: float) -> bool:
        """Whether it still says something: same bindings, and not older than ``remember`` seconds."""
        return self.bindings == tuple(bindings) and 0 <= (now - self.time).total_seconds() <= remember


def parse_proofs(data: bytes) -> dict[str, Proof]:
    """Proofs by bucket; empty for what is none, since a proof that can not be read proves nothing."""
    try:
        return {
            str(bucket): Proof(
                datetime.fromisoformat(one["time"]).astimezone(UTC),
                float(one["seconds"]),
                tuple(Binding(b["arn"], tuple(b["events"]), b["prefix"], b["suffix"]) for b in one["bindings"]),
            )
            for bucket, one in json.loads(data).items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def print_proofs(proofs: Mapping[str, Proof]) -> bytes:
    """The proofs as they are stored."""
    plain: dict[str, Any] = {
        bucket: {
            "time": one.time.isoformat(),
            "seconds": one.seconds,
            "bindings": [
                {"arn": b.arn, "events": list(b.events), "prefix": b.prefix, "suffix": b.suffix} for b in one.bindings
            ],
        }
        for bucket, one in sorted(proofs.items())
    }
    return json.dumps(plain, indent=1).encode() + b"\n"


def load_proofs(client: S3Client, endpoint: str, bucket: str) -> dict[str, Proof]:
    """The proofs beside the trace; empty when there are none."""
    try:
        with engine_errors(f"read {bucket}/{KEY}", endpoint):
            return parse_proofs(client.get_object(Bucket=bucket, Key=KEY)["Body"].read())
    except errors.NotFoundError:
        return {}


def store_proofs(client: S3Client, endpoint: str, bucket: str, proofs: Mapping[str, Proof]) -> None:
    """Put them beside the trace."""
    with engine_errors(f"write {bucket}/{KEY}", endpoint):
        client.put_object(Bucket=bucket, Key=KEY, Body=print_proofs(proofs), ContentType="application/json")
