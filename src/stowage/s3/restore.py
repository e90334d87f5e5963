"""Making an old version current again: read it, write it on top, read it back. Nothing is lost by it.

The bytes go through this machine by default. A server-side copy onto itself is refused by RustFS before
1.0.0-beta.9, or edits the version in place (facts/rustfs.md 3.6), and SeaweedFS does not say which version it copied.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from stowage import errors
from stowage.s3.bucket_rules import read_bucket_rules, refuse_restore_behind_manager
from stowage.s3.connection import engine_errors
from stowage.s3.description import Description, described_as, read_description
from stowage.s3.prune import versioning_status
from stowage.s3.restore_plan import Action, Step, step_to_moment, step_to_version
from stowage.s3.versions import Listing, list_key

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

Method = Literal["stream", "copy"]

PART = 16 * 1024 * 1024
_MOST_PARTS = 10_000
_COPY_LIMIT = 5 * 1024**3
_READ = 1024 * 1024
_GARBLED = "\ufffd"


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What a restore did to one key.

    Args:
        key: Object name.
        changed: False when the key already was as asked.
        action: ``restore``, ``remove``, ``nothing`` or ``leave``.
        reason: For a person.
        source_version_id: The version that was brought back.
        version_id: The new current version; empty where the server does not tell it.
        previous_version_id: What was current before; it stays recoverable.
        size: Bytes.
        sha256: Of the bytes written, checked by reading them back.
        error: Why it failed; empty on success.
    """

    key: str
    changed: bool
    action: str
    reason: str
    source_version_id: str = ""
    version_id: str = ""
    previous_version_id: str = ""
    size: int = 0
    sha256: str = ""
    error: str = ""


def plan_key_restore(
    client: S3Client,
    bucket: str,
    key: str,
    *,
    version_id: str | None = None,
    moment: datetime | None = None,
    with_tags: bool = True,
) -> Step:
    """What restoring one key would do; changes nothing.

    Args:
        client: boto3 S3 client; its key needs s3:ListBucketVersions and s3:GetObjectVersion.
        bucket: Bucket name.
        key: Object name.
        version_id: The version to bring back, or
        moment: the time whose version to bring back; exactly one of the two.
        with_tags: Compare tags, too.

    Raises:
        BadInputError: None or both are given, or the version is a delete marker.
        NotFoundError: The key never existed, or has no such version.
    """
    if (version_id is None) == (moment is None):
        raise errors.BadInputError("give exactly one of version_id and as_of")
    history = list_key(client, bucket, key)
    if not history:
        folded = re.sub("/+", "/", key).lstrip("/")
        if folded not in ("", key) and list_key(client, bucket, folded):
            raise errors.NotFoundError(f"key {key!r} has no versions: this server stores it as {folded!r}")
        raise errors.NotFoundError(f"key {key!r} has no versions in bucket {bucket}")
    step = step_to_version(history, version_id) if version_id else step_to_moment(history, _given(moment))
    return _unless_alike(client, bucket, step, with_tags=with_tags)


def _given(moment: datetime | None) -> datetime:
    if moment is None:
        raise errors.BadInputError("give exactly one of version_id and as_of")
    return moment


def plan_prefix_restore(
    client: S3Client,
    bucket: str,
    prefix: str,
    moment: datetime,
    *,
    remove_newer: bool = False,
    with_tags: bool = True,
) -> Iterator[Step]:
    """What restoring every key of a prefix to a moment would do; changes nothing.

    Args:
        client: boto3 S3 client.
        bucket: Bucket name.
        prefix: Only keys that start so.
        moment: With time zone.
        remove_newer: Put delete markers on keys that did not exist then.
        with_tags: Compare tags, too.

    Raises:
        RefusedError: The server's version listing loses keys, so that "all of them" can not be promised.
    """
    listing = Listing(client, bucket, prefix)
    by_folder = False
    if listing_loses_keys(listing, by_folder=False):
        by_folder = True
        missing = listing_loses_keys(listing, by_folder=True)
        if missing:
            raise errors.RefusedError(
                f"the server's version listing of {prefix!r} in bucket {bucket} loses {missing} live keys",
                "restore narrower prefixes, or key by key",
            )
    for history in listing.histories(by_folder=by_folder):
        step = step_to_moment(history, moment, remove_newer=remove_newer)
        if _GARBLED in step.key and step.action in (Action.RESTORE, Action.REMOVE):
            # What the listing shows in place of a character that XML can not carry: the name of another key.
            yield step._replace(action=Action.REFUSE, reason="the listing garbled the name of this key")
            continue
        yield _unless_alike(client, bucket, step, with_tags=with_tags)


def listing_loses_keys(listing: Listing, *, by_folder: bool) -> int:
    """Read a listing through and say how many live keys it did not show; 0 at once on servers not known to do so."""
    for _ in listing.histories(by_folder=by_folder):
        if not listing.doubtful:
            return 0
    return listing.missing_live_keys()


def check_may_restore(client: S3Client, bucket: str, steps: Iterable[Step]) -> None:
    """Refuse steps in a bucket whose versions are named by the rows of the file service.

    Args:
        client: boto3 S3 client; with s3:GetBucketTagging it sees the bucket's tag, else only the shape of keys.
        bucket: Bucket name.
        steps: What would be done.

    Raises:
        RefusedError: The service would go on serving the old bytes and remove the copy.
    """
    keys = (step.key for step in steps if step.action in (Action.RESTORE, Action.REMOVE))
    refuse_restore_behind_manager(read_bucket_rules(client, bucket), keys)


def restore(
    client: S3Client,
    bucket: str,
    steps: Iterable[Step],
    *,
    method: Method = "stream",
    workers: int = 4,
    ignore_bucket_rules: bool = False,
    with_tags: bool = True,
) -> Iterator[Restored]:
    """Carry steps out, several keys at a time.

    Args:
        client: boto3 S3 client; its key needs s3:GetObjectVersion, s3:PutObject, s3:GetBucketVersioning, and
            s3:DeleteObject where steps remove.
        bucket: Bucket name.
        steps: From the planning functions.
        method: ``stream`` reads and writes through this machine, ``copy`` asks the server to copy.
        workers: Keys at the same time.
        ignore_bucket_rules: Write behind the back of the program that manages the bucket.
        with_tags: Restore tags; without the right to read them each key fails.

    Yields:
        One result per step, in order; a failed key does not stop the others.

    Raises:
        RefusedError: Versioning is not enabled, so that writing on top would destroy what is current; or the bucket
            belongs to the file service.
    """
    steps = list(steps)
    if not ignore_bucket_rules:
        check_may_restore(client, bucket, steps)
    status = versioning_status(client, bucket)
    if status != "Enabled":
        raise errors.RefusedError(
            f"versioning of bucket {bucket} is {status}, so a restore could destroy the current object for good",
            f"aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled",
        )

    def one(step: Step) -> Restored:
        try:
            return _carry_out(client, bucket, step, method, with_tags=with_tags)
        except errors.StowageError as error:
            return Restored(key=step.key, changed=False, action=step.action, reason=step.reason, error=str(error))

    with ThreadPoolExecutor(workers, thread_name_prefix="restore") as pool:
        yield from pool.map(one, steps)


def _carry_out(client: S3Client, bucket: str, step: Step, method: Method, *, with_tags: bool) -> Restored:
    before = step.current.version_id
    told: dict[str, Any] = {
        "key": step.key,
        "action": step.action.value,
        "reason": step.reason,
        "previous_version_id": before,
    }
    if step.action is Action.REFUSE:
        raise errors.RefusedError(step.reason)
    if step.action is Action.REMOVE:
        with engine_errors(f"delete {step.key!r}", client.meta.endpoint_url):
            marker = client.delete_object(Bucket=bucket, Key=step.key).get("VersionId", "")
        if any(row.is_latest and not row.is_marker for row in list_key(client, bucket, step.key)):
            raise errors.ServerFaultError(f"the server said that {step.key!r} is deleted, and it is still there")
        return Restored(changed=True, version_id=marker, **told)
    if step.action is not Action.RESTORE or step.source is None:
        return Restored(changed=False, version_id=before, **told)
    source = step.source
    carried = read_description(client, bucket, step.key, source.version_id, with_tags=with_tags)
    with engine_errors(f"restore {step.key!r} from version {source.version_id}", client.meta.endpoint_url):
        if method == "copy" and source.size <= _COPY_LIMIT:
            version_id, digest = _copied(client, bucket, step.key, source.version_id)
        else:
            version_id, digest = _streamed(client, bucket, step.key, source.version_id, carried)
        read_back = _digest_of(client, bucket, step.key, version_id)
    if read_back != digest:
        raise errors.ServerFaultError(
            f"{step.key!r} reads back with other bytes than version {source.version_id} holds",
            "the versions are all still there; try again, with --method stream",
        )
    lost = carried.differences(read_description(client, bucket, step.key, version_id, with_tags=with_tags))
    if lost:
        raise errors.ServerFaultError(
            f"{step.key!r} reads back with the bytes of version {source.version_id} and with other {', '.join(lost)}"
        )
    return Restored(
        changed=True,
        source_version_id=source.version_id,
        version_id=version_id,
        size=source.size,
        sha256=digest,
        **told,
    )


def _streamed(client: S3Client, bucket: str, key: str, version_id: str, carried: Description) -> tuple[str, str]:
    """Write a version on top of its key in constant memory: the new version's id, and the SHA-256 of its bytes.

    Content-MD5 goes with everything: a bucket with object lock refuses a PUT without a checksum.
    """
    answer = client.get_object(Bucket=bucket, Key=key, VersionId=version_id)
    body, size = answer["Body"], answer["ContentLength"]
    digest = hashlib.sha256()
    target: dict[str, Any] = {"Bucket": bucket, "Key": key}
    if size <= PART:
        content = body.read()
        digest.update(content)
        with described_as(client, carried):
            written = client.put_object(**target, Body=content, ContentMD5=_md5(content), **carried.tagging())
        return written.get("VersionId", ""), digest.hexdigest()
    part_size = max(PART, -(-size // _MOST_PARTS))
    with described_as(client, carried):
        begun = client.create_multipart_upload(**target, **carried.tagging())
    upload: dict[str, Any] = {**target, "UploadId": begun["UploadId"]}
    try:
        parts: list[Any] = []
        while content := body.read(part_size):
            digest.update(content)
            number = len(parts) + 1
            sent = client.upload_part(**upload, PartNumber=number, Body=content, ContentMD5=_md5(content))
            parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        done = client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    except BaseException:
        client.abort_multipart_upload(**upload)
        raise
    return done.get("VersionId", ""), digest.hexdigest()


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _copied(client: S3Client, bucket: str, key: str, version_id: str) -> tuple[str, str]:
    digest = _digest_of(client, bucket, key, version_id)
    answer = client.copy_object(
        Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": key, "VersionId": version_id}
    )
    return answer.get("VersionId", ""), digest


def _digest_of(client: S3Client, bucket: str, key: str, version_id: str) -> str:
    which: dict[str, Any] = {"VersionId": version_id} if version_id else {}
    body = client.get_object(Bucket=bucket, Key=key, **which)["Body"]
    digest = hashlib.sha256()
    while chunk := body.read(_READ):
        digest.update(chunk)
    return digest.hexdigest()


def _unless_alike(client: S3Client, bucket: str, step: Step, *, with_tags: bool) -> Step:
    """Turn a restore into nothing where the current version already has the same bytes, description and tags."""
    source, current = step.source, step.current
    if step.action is not Action.RESTORE or source is None or current.is_marker or source.size != current.size:
        return step
    plain_tags = "-" not in source.etag and "-" not in current.etag
    if plain_tags and source.etag != current.etag:
        return step
    old, new = (
        read_description(client, bucket, step.key, version.version_id, with_tags=with_tags)
        for version in (source, current)
    )
    if differences := old.differences(new):
        return step._replace(reason=f"{step.reason}; other {', '.join(differences)}")
    if not plain_tags:
        # The ETag of a multipart upload depends on its parts, so those are compared by their bytes.
        with engine_errors(f"compare versions of {step.key!r}", client.meta.endpoint_url):
            digests = {_digest_of(client, bucket, step.key, version.version_id) for version in (source, current)}
        if len(digests) > 1:
            return step
    return step._replace(action=Action.NOTHING, reason="the current version is the same, byte for byte")
