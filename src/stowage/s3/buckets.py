"""Buckets as code: present with versioning, lock and quota; absent only when that destroys nothing unasked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from stowage import errors
from stowage.access.model import DURABILITY, QUOTA
from stowage.outcome import Difference, Outcome
from stowage.s3.connection import S3Settings, engine_errors, s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_NAME = re.compile(r"^[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]$")
_IPV4 = re.compile(r"^\d+\.\d+\.\d+\.\d+$")
# Names a server keeps for itself: RustFS and MinIO their own, Linux stores the trash of a volume, AWS its prefixes.
_RESERVED = frozenset({"rustfs", "minio", "lost-found"})
_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


class BucketSettings(Protocol):
    """The part of an access driver that knows what S3 itself does not: quota and durability of a bucket."""

    features: frozenset[str]

    def quota(self, bucket: str) -> int | None:
        """The size limit in bytes."""

    def set_quota(self, bucket: str, size: int | None) -> None:
        """Set or lift the limit."""

    def durability(self, bucket: str) -> str | None:
        """What is synced before a write is acknowledged; ``None`` when the server has no such setting."""

    def set_durability(self, bucket: str, mode: str) -> None:
        """Set it."""


@dataclass(frozen=True)
class WantedBucket:
    """A bucket as declared.

    Args:
        name: Of the bucket.
        present: ``False`` removes it.
        versioned: ``True`` ensures versioning; it is never suspended.
        versioning_required: ``False`` turns a store without versioning into a warning.
        object_lock: ``True`` makes the bucket with object lock; that can only be done at its creation.
        quota: Size limit in bytes, 0 for none, ``None`` leaves it alone.
        durability: ``strict``, ``relaxed`` or ``none``; ``None`` leaves it alone.
        tags: Tags that the bucket must have, with an empty value those it must not have; others are left alone.
        empty_first: With ``present=False``: delete all objects and versions first.
    """

    name: str
    present: bool = True
    versioned: bool = False
    versioning_required: bool = True
    object_lock: bool | None = None
    quota: int | None = None
    durability: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    empty_first: bool = False


@dataclass(frozen=True)
class Bucket:
    """A bucket as found. ``versioning`` is ``enabled``, ``suspended``, ``never`` or ``unsupported``.

    ``tags`` is ``None`` where the store has none or they were not read.
    """

    name: str
    versioning: str = "never"
    object_lock: bool = False
    quota: int | None = None
    durability: str | None = None
    tags: Mapping[str, str] | None = None


def checked_name(name: str) -> str:
    """A name every S3 server takes.

    The rules are AWS's, which RustFS enforces too (facts/rustfs.md 3.1), plus names that servers keep for themselves.

    Raises:
        BadInputError: With what is wrong.
    """
    wrong = None
    if not _NAME.match(name):
        wrong = "must have 3 to 63 characters of a-z 0-9 . - and begin and end with a letter or digit"
    elif ".." in name or ".-" in name or "-." in name:
        wrong = "must not hold '..', '.-' or '-.'"
    elif _IPV4.match(name):
        wrong = "must not look like an IPv4 address"
    elif name in _RESERVED or name.startswith(_RESERVED_PREFIXES) or name.endswith(_RESERVED_SUFFIXES):
        wrong = "is reserved by S3 servers for themselves"
    if wrong:
        raise errors.BadInputError(f"bucket name {name!r} {wrong}")
    return name


def read_bucket(client: S3Client, endpoint: str, name: str, *, lock: bool = True) -> Bucket | None:
    """A bucket as it is, ``None`` when there is none.

    Args:
        client: Of a key that may read the bucket's configuration.
        endpoint: For messages.
        name: Of the bucket.
        lock: Also ask for object lock (one more call).
    """
    try:
        with engine_errors(f"read bucket {name}", endpoint):
            client.head_bucket(Bucket=name)
    except errors.NotFoundError:
        return None
    try:
        with engine_errors(f"read versioning of bucket {name}", endpoint):
            status: str | None = client.get_bucket_versioning(Bucket=name).get("Status")
    except errors.RefusedError:
        status = "unsupported"  # the JuiceFS gateway answers 501
    return Bucket(name, (status or "never").lower(), lock and _has_lock(client, endpoint, name))


def _has_lock(client: S3Client, endpoint: str, name: str) -> bool:
    try:
        with engine_errors(f"read object lock of bucket {name}", endpoint):
            answer = client.get_object_lock_configuration(Bucket=name)
    except (errors.NotFoundError, errors.RefusedError):
        return False
    return answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"


def read_tags(client: S3Client, endpoint: str, name: str) -> dict[str, str] | None:
    """The tags of a bucket, ``None`` where the store has no tags for buckets."""
    try:
        with engine_errors(f"read tags of bucket {name}", endpoint):
            return {tag["Key"]: tag["Value"] for tag in client.get_bucket_tagging(Bucket=name)["TagSet"]}
    except errors.NotFoundError:
        return {}
    except errors.RefusedError:
        return None  # the JuiceFS gateway answers 501


def plan_bucket(current: Bucket | None, wanted: WantedBucket) -> list[Difference]:
    """What must change so that a bucket is as declared. Pure.

    Raises:
        RefusedError: Object lock is wanted on a bucket that was made without it, or versioning of a store without it.
    """
    if not wanted.present:
        return [Difference("bucket", "present", None)] if current else []
    found = []
    if current is None:
        found.append(Difference("bucket", None, "present"))
        if wanted.object_lock:
            found.append(Difference("object_lock", False, True))
        # A server enables versioning of itself when it makes a bucket with object lock.
        current = Bucket(wanted.name, "never", bool(wanted.object_lock), tags={})
    elif wanted.object_lock and not current.object_lock:
        raise errors.RefusedError(
            f"bucket {wanted.name} exists without object lock, which only a new bucket can be given",
            "make a new bucket with object_lock: true and copy the objects",
        )
    if wanted.versioned and current.versioning == "unsupported":
        if wanted.versioning_required:
            raise errors.RefusedError(
                f"bucket {wanted.name}: this store has no versioning, so an overwritten object can not come back",
                "use another store, or versioning_required: false to live with it",
            )
    elif wanted.versioned and current.versioning != "enabled":
        found.append(Difference("versioning", current.versioning, "enabled"))
    if wanted.quota is not None and (wanted.quota or None) != current.quota:
        found.append(Difference("quota", current.quota, wanted.quota or None))
    if wanted.durability is not None and current.durability not in (None, wanted.durability):
        found.append(Difference("durability", current.durability, wanted.durability))
    if current.tags is not None:
        before = {name: current.tags.get(name, "") for name in wanted.tags}
        if before != dict(wanted.tags):
            found.append(Difference("tags", before, dict(wanted.tags)))
    return found


def reconcile_bucket(
    settings: S3Settings,
    wanted: WantedBucket,
    *,
    beyond_s3: BucketSettings | None = None,
    check: bool = False,
    assume_absent: bool = False,
    client: S3Client | None = None,
) -> Outcome:
    """Make a bucket what was declared.

    Args:
        settings: Where, and the administrator's key.
        wanted: The declaration.
        beyond_s3: Needed when a quota or durability is declared.
        check: Only report.
        assume_absent: Do not ask the server: nothing is there yet (check mode before the server exists).
        client: To share connections between buckets.

    Returns:
        The outcome; ``state`` has ``versioning``, ``versioning_before``, ``object_lock``, ``quota`` and
        ``durability``.

    Raises:
        BadInputError: The name is malformed or reserved.
        ConflictError: To be removed and not empty, or the name belongs to another owner.
        RefusedError: The store has no versioning, or the bucket can not be given what was asked for.
    """
    checked_name(wanted.name)
    features = beyond_s3.features if beyond_s3 else frozenset()
    if wanted.quota is not None and QUOTA not in features:
        raise errors.RefusedError(f"bucket {wanted.name}: this store has no quotas", "leave quota out")
    if wanted.durability is not None and DURABILITY not in features:
        what = f"bucket {wanted.name}: this store has no setting for durability"
        raise errors.RefusedError(what, "leave durability out")
    client = client or s3_client(settings)
    current = None
    if not assume_absent:
        current = read_bucket(client, settings.endpoint, wanted.name, lock=bool(wanted.object_lock))
    if current and beyond_s3:
        current = _with_settings_beyond_s3(current, wanted, beyond_s3)
    if current and wanted.tags:
        current = replace(current, tags=read_tags(client, settings.endpoint, wanted.name))
    differences = plan_bucket(current, wanted)
    outcome = Outcome(wanted.name, differences, _state(current, wanted))
    if wanted.versioned and current and current.versioning == "unsupported":
        outcome.warnings.append(f"bucket {wanted.name}: this store has no versioning, and it is not required")
    if wanted.present:
        if not check:
            _apply_present(client, settings, wanted, beyond_s3, outcome)
    elif differences:
        _apply_absent(client, settings.endpoint, wanted, outcome, check)
    return outcome


def _with_settings_beyond_s3(current: Bucket, wanted: WantedBucket, beyond_s3: BucketSettings) -> Bucket:
    return replace(
        current,
        quota=beyond_s3.quota(wanted.name) if wanted.quota is not None else None,
        durability=beyond_s3.durability(wanted.name) if wanted.durability is not None else None,
    )


def _state(current: Bucket | None, wanted: WantedBucket) -> dict[str, Any]:
    if not wanted.present:
        return {"state": "absent"}
    before = current.versioning if current else None
    ensured = (wanted.versioned or wanted.object_lock) and before != "unsupported"
    return {
        "state": "present",
        "versioning": "enabled" if ensured else (before or "never"),
        "versioning_before": before,
        "object_lock": bool(wanted.object_lock or (current and current.object_lock)),
        "quota": (wanted.quota or None) if wanted.quota is not None else (current.quota if current else None),
        "durability": wanted.durability if current is None or current.durability else None,
    }


def _apply_present(
    client: S3Client, settings: S3Settings, wanted: WantedBucket, beyond_s3: BucketSettings | None, outcome: Outcome
) -> None:
    fields = {one.field for one in outcome.differences}
    endpoint = settings.endpoint
    if "bucket" in fields:
        _create(client, settings, wanted)
    if "versioning" in fields:
        _enable_versioning(client, endpoint, wanted, outcome)
    if "quota" in fields:
        assert beyond_s3 is not None  # looked at before anything was sent
        beyond_s3.set_quota(wanted.name, wanted.quota or None)
    if "tags" in fields:
        _set_tags(client, endpoint, wanted, outcome)
    if wanted.durability is not None and beyond_s3 is not None and fields & {"bucket", "durability"}:
        _set_durability(beyond_s3, wanted, outcome)
    if wanted.durability is not None and outcome.state["durability"] is None:
        outcome.warnings.append(
            f"bucket {wanted.name}: this server cannot be told how durable a bucket is; RustFS up to beta.8 syncs "
            "nothing, and a power loss may take acknowledged writes"
        )


def _set_durability(beyond_s3: BucketSettings, wanted: WantedBucket, outcome: Outcome) -> None:
    assert wanted.durability is not None
    # A new bucket may have come with what is wanted, or the server may have no such setting: only asking tells.
    shown = beyond_s3.durability(wanted.name)
    outcome.state["durability"] = wanted.durability if shown else None
    if shown and shown != wanted.durability:
        beyond_s3.set_durability(wanted.name, wanted.durability)


def _set_tags(client: S3Client, endpoint: str, wanted: WantedBucket, outcome: Outcome) -> None:
    there = read_tags(client, endpoint, wanted.name)
    together = {name: value for name, value in {**(there or {}), **wanted.tags}.items() if value}
    try:
        with engine_errors(f"set tags of bucket {wanted.name}", endpoint):
            if together:
                tags: list[Any] = [{"Key": name, "Value": value} for name, value in together.items()]
                client.put_bucket_tagging(Bucket=wanted.name, Tagging={"TagSet": tags})
            else:
                client.delete_bucket_tagging(Bucket=wanted.name)
    except errors.RefusedError as error:
        # Who prunes or restores then goes by the shape of keys.
        outcome.differences[:] = [one for one in outcome.differences if one.field != "tags"]
        outcome.warnings.append(f"bucket {wanted.name} stays without tags: {error.message}")
        return
    if read_tags(client, endpoint, wanted.name) != together:
        raise errors.ServerFaultError(f"bucket {wanted.name}: the server accepted tags and shows others")


def _create(client: S3Client, settings: S3Settings, wanted: WantedBucket) -> None:
    arguments: dict[str, Any] = {"ObjectLockEnabledForBucket": True} if wanted.object_lock else {}
    if "amazonaws.com" in settings.endpoint and settings.region != "us-east-1":
        # Only AWS asks for it, and refuses the same for us-east-1.
        arguments["CreateBucketConfiguration"] = {"LocationConstraint": settings.region}
    with engine_errors(f"create bucket {wanted.name}", settings.endpoint):
        client.create_bucket(Bucket=wanted.name, **arguments)


def _enable_versioning(client: S3Client, endpoint: str, wanted: WantedBucket, outcome: Outcome) -> None:
    try:
        with engine_errors(f"enable versioning of bucket {wanted.name}", endpoint):
            client.put_bucket_versioning(Bucket=wanted.name, VersioningConfiguration={"Status": "Enabled"})
            status = client.get_bucket_versioning(Bucket=wanted.name).get("Status")
        if status != "Enabled":
            raise errors.ServerFaultError(
                f"bucket {wanted.name}: the server accepted versioning Enabled but shows {status or 'nothing'}"
            )
    except errors.StowageError as error:
        if wanted.versioning_required or isinstance(error, errors.NetworkError):
            raise
        outcome.differences[:] = [one for one in outcome.differences if one.field != "versioning"]
        outcome.state["versioning"] = outcome.state["versioning_before"] or "never"
        outcome.warnings.append(f"bucket {wanted.name} stays without versioning: {error.message}")


def _apply_absent(client: S3Client, endpoint: str, wanted: WantedBucket, outcome: Outcome, check: bool) -> None:
    # Counted here, not left to the server: SeaweedFS deletes a full bucket by default (facts/s3-servers.md 1).
    held = 1 if _holds_anything(client, endpoint, wanted.name) else 0
    if held and not wanted.empty_first:
        raise errors.ConflictError(
            f"bucket {wanted.name} is not empty (objects, versions or delete markers), so it is not removed",
            "prune it first, or give force: true to delete everything in it",
        )
    if check:
        return
    if held:
        deleted = _delete_everything(client, endpoint, wanted.name)
        outcome.state["deleted_versions"] = deleted
        outcome.warnings.append(f"bucket {wanted.name}: {deleted} object versions deleted, as force: true asked for")
    with engine_errors(f"remove bucket {wanted.name}", endpoint):
        client.delete_bucket(Bucket=wanted.name)


def _holds_anything(client: S3Client, endpoint: str, name: str) -> bool:
    """Both listings are asked: each has a server on which it loses entries (facts/rustfs.md 3.4 and 3.5)."""
    try:
        with engine_errors(f"list versions in bucket {name}", endpoint):
            versions = client.list_object_versions(Bucket=name, MaxKeys=1)
        if versions.get("Versions") or versions.get("DeleteMarkers"):
            return True
    except errors.RefusedError:
        pass  # no versioning here: the plain listing tells everything
    with engine_errors(f"list bucket {name}", endpoint):
        return bool(client.list_objects_v2(Bucket=name, MaxKeys=1).get("Contents"))


def _delete_everything(client: S3Client, endpoint: str, name: str) -> int:
    deleted = 0
    while True:
        try:
            with engine_errors(f"list versions in bucket {name}", endpoint):
                page = client.list_object_versions(Bucket=name)
            found = [(one["Key"], one.get("VersionId")) for one in page.get("Versions", [])]
            found += [(one["Key"], one.get("VersionId")) for one in page.get("DeleteMarkers", [])]
        except errors.RefusedError:
            with engine_errors(f"list bucket {name}", endpoint):
                found = [(one["Key"], None) for one in client.list_objects_v2(Bucket=name).get("Contents", [])]
        if not found:
            return deleted
        for key, version in found:
            with engine_errors(f"delete {key} in bucket {name}", endpoint):
                if version:
                    client.delete_object(Bucket=name, Key=key, VersionId=version)
                else:
                    client.delete_object(Bucket=name, Key=key)
            deleted += 1


def bucket_names(client: S3Client, endpoint: str) -> list[str]:
    """The names of all buckets the key may see."""
    with engine_errors("list buckets", endpoint):
        return [one["Name"] for one in client.list_buckets().get("Buckets", [])]
