"""What a bucket says about itself: which program manages it, and the least that pruning must keep there.

It stands in tags of the bucket, so that it holds for whoever prunes or restores, from wherever. A store without tags,
or a bucket from before there were any, is known by its keys: those of the file service have a shape of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from stowage import errors
from stowage.s3.connection import engine_errors
from stowage.s3.prune_plan import PruneRules, human_age, parse_age

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

MANAGED_BY = "stowage:managed-by"
OLDER_THAN = "stowage:prune-older-than"
KEEP_LAST = "stowage:prune-keep-last"
FILATOR = "filator"

# As the file service names its objects: PREFIX-YYYY-MM-DD/hh-mm/UUID, in a bucket for each day hh-mm/UUID.
_FILE = r"\d{2}-\d{2}/[0-9a-f]{64}(?:\.[0-9a-f]{8})?"
_FILATOR_KEY = re.compile(rf"(?:.*-)?\d{{4}}-\d{{2}}-\d{{2}}/{_FILE}", re.DOTALL)
_FILATOR_KEY_OF_A_DAY = re.compile(_FILE)
_BUCKET_OF_A_DAY = re.compile(r".*-\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, kw_only=True)
class BucketRules:
    """What a bucket's tags say.

    Args:
        bucket: Bucket name.
        manager: The program whose database names the versions of this bucket; empty: none.
        older_than: Least age that pruning must ask for.
        keep_last: Least number of old versions of each key that pruning must keep.
        unreadable: True when the key may not read the tags, so that nothing is known.
    """

    bucket: str
    manager: str = ""
    older_than: timedelta | None = None
    keep_last: int = 0
    unreadable: bool = False

    def manager_of(self, keys: Iterable[str]) -> str:
        """The program that manages the bucket, by its tag or by the shape of these keys; empty: none."""
        if self.manager:
            return self.manager
        return FILATOR if any(is_filator_key(self.bucket, key) for key in keys) else ""

    def at_least(self, rules: PruneRules) -> PruneRules:
        """Rules that keep what both the caller and the bucket want kept.

        A bucket's least age counts from the replacement; by the age of its bytes an old file would go a minute after
        somebody replaced it. Counted so, no version is older than by its own date, so the caller's wish holds as well.
        """
        asked, own = rules.older_than, self.older_than
        older_than = max(asked, own) if asked is not None and own is not None else asked or own
        return replace(
            rules,
            older_than=older_than,
            keep_last=max(rules.keep_last, self.keep_last),
            age_basis=rules.age_basis if own is None else "noncurrent",
        )

    def missing_in(self, rules: PruneRules) -> list[str]:
        """What the bucket wants and these rules, of a stored plan for instance, do not keep; as words for people."""
        wanted = []
        if self.older_than is not None and (rules.older_than is None or rules.older_than < self.older_than):
            wanted.append(f"{OLDER_THAN} {human_age(self.older_than.total_seconds())}")
        elif self.older_than is not None and rules.age_basis == "own":
            wanted.append(f"{OLDER_THAN} {human_age(self.older_than.total_seconds())}, counted from the replacement")
        if rules.keep_last < self.keep_last:
            wanted.append(f"{KEEP_LAST} {self.keep_last}")
        return wanted


def is_filator_key(bucket: str, key: str) -> bool:
    """True for a key as the file service writes it.

    >>> is_filator_key("any", "files-2026-11-22/10-30/" + "0" * 64)
    True
    >>> is_filator_key("files-2026-11-22", "10-30/" + "0" * 64)
    True
    >>> is_filator_key("any", "2511/report.pdf")
    False
    """
    if _FILATOR_KEY.fullmatch(key):
        return True
    return bool(_BUCKET_OF_A_DAY.fullmatch(bucket) and _FILATOR_KEY_OF_A_DAY.fullmatch(key))


def read_bucket_rules(client: S3Client, bucket: str) -> BucketRules:
    """Read what a bucket's tags say; a store without tags says nothing.

    Args:
        client: boto3 S3 client; its key needs s3:GetBucketTagging.
        bucket: Bucket name.

    Raises:
        BadInputError: A tag of ours holds no such value.
        NetworkError: The server was not reached.
        ServerFaultError: It failed.
    """
    try:
        with engine_errors(f"read tags of bucket {bucket}", client.meta.endpoint_url):
            answer = client.get_bucket_tagging(Bucket=bucket)
    except errors.AuthError:
        return BucketRules(bucket=bucket, unreadable=True)
    except (errors.NotFoundError, errors.RefusedError, errors.ConflictError):
        return BucketRules(bucket=bucket)
    return rules_of_tags(bucket, {tag["Key"]: tag["Value"] for tag in answer.get("TagSet", [])})


def rules_of_tags(bucket: str, tags: Mapping[str, str]) -> BucketRules:
    """Turn a bucket's tags into rules.

    Raises:
        BadInputError: A tag of ours holds no such value.
    """
    keep_last = tags.get(KEEP_LAST, "0")
    if not keep_last.isascii() or not keep_last.isdigit():
        raise errors.BadInputError(f"tag {KEEP_LAST} of bucket {bucket} is {keep_last!r}", "right: a number such as 5")
    try:
        older_than = parse_age(tags[OLDER_THAN]) if OLDER_THAN in tags else None
    except errors.BadInputError as error:
        raise errors.BadInputError(f"tag {OLDER_THAN} of bucket {bucket}: {error}") from None
    return BucketRules(bucket=bucket, manager=tags.get(MANAGED_BY, ""), older_than=older_than, keep_last=int(keep_last))


def refuse_restore_behind_manager(rules: BucketRules, keys: Iterable[str]) -> None:
    """Refuse to write versions that no row of the managing program would name.

    Raises:
        RefusedError: The bucket, by its tag or the shape of these keys, belongs to a program with rows of its own.
    """
    manager = rules.manager_of(keys)
    if manager:
        raise errors.RefusedError(
            f"bucket {rules.bucket} belongs to {manager}, whose rows name the versions that it serves: it would go on"
            " serving the old bytes and remove the restored copy",
            f"use on its host: {manager} restore UUID (docs/restore.md)",
        )
