"""What a key can really do: each verb tried on the live server, in a way that does no harm.

A policy document says what was meant; only a call says what the server makes of it. Every attempt is built so that it
changes nothing that matters even when the server allows it:

- objects are scratch objects under a random name, put there and removed by the administrator;
- ``DeleteBucket`` is tried on the real bucket only after the administrator saw this very server refuse to delete
  a twin of it: another bucket with the same versioning that holds the same two guard objects. Two, because SeaweedFS
  4.48 deletes a versioned bucket unless it holds a folder object, and RustFS 1.0.0-beta.5 deletes one that holds only
  a folder object (docs/quirks.md);
- ``PutBucketVersioning`` sends ``Enabled`` and only to a bucket where that is already so;
- ``PutBucketPolicy`` sends something that is no policy, and the policy is compared before and after;
- ``CreateBucket`` makes an empty bucket with a random name, which is removed at once;
- ``CreateAccessKey`` makes a further key of the probed key's own user, which is removed at once and looked for again.

A verb that can not be tried safely is ``untested``, which is never as expected.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stowage import errors
from stowage.s3.connection import S3Settings, engine_errors, s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    from stowage.access.model import AccessDriver

_TO_BE_MADE = ""
ALLOWED, REFUSED, UNTESTED = "allowed", "refused", "untested"


@dataclass(frozen=True)
class Finding:
    """One row of the table. ``found`` is ``allowed``, ``refused`` or ``untested``; ``evidence`` the answer."""

    verb: str
    expected: str
    found: str
    evidence: str

    @property
    def as_expected(self) -> bool:
        """True when the server did what the table says."""
        return self.found == self.expected

    def __str__(self) -> str:
        return f"{self.verb} must be {self.expected}, is {self.found} ({self.evidence})"


@dataclass
class Scratch:
    """What the administrator laid out for the attempts."""

    bucket: str
    prefix: str
    guard_key: str
    read_key: str
    read_version: str | None
    delete_key: str
    delete_version: str | None
    versioning: str
    others: list[str] = field(default_factory=list)
    made_buckets: list[str] = field(default_factory=list)


class Untestable(Exception):  # noqa: N818
    """The verb can not be tried without risk here; the text says why."""


@dataclass(frozen=True)
class Prober:
    """The clients of one probe: the administrator's, the key's, and nobody's."""

    admin: S3Client
    probed: S3Client
    anonymous: S3Client
    endpoint: str
    scratch: Scratch
    drivers: tuple[AccessDriver, AccessDriver] | None = None


def probe_key(
    admin: S3Settings,
    key: S3Settings,
    bucket: str,
    expected: Mapping[str, str],
    *,
    prefix: str = "stowage-probe/",
    other_buckets: Sequence[str] = (),
    drivers: tuple[AccessDriver, AccessDriver] | None = None,
    settle: float = 5.0,
) -> list[Finding]:
    """Try each verb with a key and tell what happened.

    Args:
        admin: The administrator, who lays out scratch objects and removes them.
        key: The key under test, on the same endpoint.
        bucket: Where its rights are looked at.
        expected: Verb to ``allowed`` or ``refused``; see :data:`VERBS`.
        prefix: Where scratch objects go.
        other_buckets: Buckets the key has no business in, for the ``OtherBucket...`` verbs; when none is given, one is
            made for the time of the probe.
        drivers: The store as the administrator and as the key speak to it, for ``CreateAccessKey``.
        settle: Seconds in which rights given a moment ago may still become true: what differs is tried again so long.

    Returns:
        One finding for each verb, in the order given.

    Raises:
        BadInputError: An unknown verb or expectation.
        AuthError: The key is not known to the server at all, or its secret is wrong.
    """
    _check_table(expected)
    if not other_buckets and any(verb.startswith("OtherBucket") for verb in expected):
        other_buckets = (_TO_BE_MADE,)
    clients = [s3_client(one) for one in (admin, key, key.with_key(None, None))]
    _check_key_is_known(clients[1], key)
    with (
        engine_errors(f"probe key {key.access_key} on bucket {bucket}", admin.endpoint),
        _laid_out(clients[0], admin.endpoint, bucket, prefix, other_buckets) as scratch,
    ):
        prober = Prober(clients[0], clients[1], clients[2], admin.endpoint, scratch, drivers)
        table = [_tried(prober, verb, wanted) for verb, wanted in expected.items()]
        deadline = time.monotonic() + settle
        while any(_may_settle(one) for one in table) and time.monotonic() < deadline:
            time.sleep(0.25)
            table = [_tried(prober, one.verb, one.expected) if _may_settle(one) else one for one in table]
        return table


def _may_settle(finding: Finding) -> bool:
    # A right to make keys hangs on no policy that has still to settle, and each attempt makes one.
    return not finding.as_expected and finding.found != UNTESTED and finding.verb != "CreateAccessKey"


def _check_table(expected: Mapping[str, str]) -> None:
    if unknown := sorted(set(expected) - set(VERBS)):
        raise errors.BadInputError(f"unknown verb {', '.join(unknown)}", f"known: {', '.join(VERBS)}")
    if wrong := sorted(verb for verb, value in expected.items() if value not in (ALLOWED, REFUSED)):
        raise errors.BadInputError(f"expected value of {', '.join(wrong)} must be {ALLOWED} or {REFUSED}")


def _check_key_is_known(client: S3Client, key: S3Settings) -> None:
    """Without this, a mistyped secret would make every refusal in the table look right."""
    try:
        with engine_errors(f"sign with key {key.access_key}", key.endpoint):
            client.list_buckets()
    except errors.AuthError as error:
        if "AccessDenied" not in error.message:
            raise


@contextlib.contextmanager
def _laid_out(
    admin: S3Client, endpoint: str, bucket: str, prefix: str, other_buckets: Sequence[str]
) -> Iterator[Scratch]:
    """Scratch objects while the block runs; every version under the random names is removed after it."""
    base = f"{prefix}{secrets.token_hex(8)}"
    with engine_errors(f"lay out scratch objects in bucket {bucket}", endpoint):
        try:
            status: str = admin.get_bucket_versioning(Bucket=bucket).get("Status") or "never"
        except admin.exceptions.ClientError:
            status = "never"  # a store without versioning
        scratch = Scratch(bucket, base, f"{base}-guard/", f"{base}-read", None, f"{base}-delete", None, status.lower())
    try:
        with engine_errors(f"lay out scratch objects in bucket {bucket}", endpoint):
            _put_guards(admin, bucket, scratch)
            scratch.read_version = _put(admin, bucket, scratch.read_key)
            scratch.delete_version = _put(admin, bucket, scratch.delete_key)
        for other in other_buckets:
            name = other or f"stowage-probe-{secrets.token_hex(8)}"
            scratch.others.append(name)
            with engine_errors(f"lay out a scratch object in bucket {name}", endpoint):
                if other == _TO_BE_MADE:
                    scratch.made_buckets.append(name)
                    admin.create_bucket(Bucket=name)
                _put(admin, name, f"{base}-other")
        yield scratch
    finally:
        with engine_errors("remove the scratch objects", endpoint):
            for one in (bucket, *scratch.others):
                _remove_all(admin, one, base)
            for made in scratch.made_buckets:
                _remove_all(admin, made, "")
                with contextlib.suppress(admin.exceptions.ClientError):
                    admin.delete_bucket(Bucket=made)


def _guards(scratch: Scratch) -> tuple[str, str]:
    return scratch.guard_key, f"{scratch.prefix}-guard-object"


def _put_guards(admin: S3Client, bucket: str, scratch: Scratch) -> None:
    folder, plain = _guards(scratch)
    admin.put_object(Bucket=bucket, Key=folder, Body=b"")
    admin.put_object(Bucket=bucket, Key=plain, Body=b"guard")


def _put(admin: S3Client, bucket: str, key: str) -> str | None:
    version = admin.put_object(Bucket=bucket, Key=key, Body=b"stowage permission probe\n").get("VersionId")
    return version if version and version != "null" else None


def _remove_all(admin: S3Client, bucket: str, base: str) -> None:
    try:
        page = admin.list_object_versions(Bucket=bucket, Prefix=base)
        found = [(one["Key"], one["VersionId"]) for one in page.get("Versions", [])]
        found += [(one["Key"], one["VersionId"]) for one in page.get("DeleteMarkers", [])]
        for key, version in found:
            admin.delete_object(Bucket=bucket, Key=key, VersionId=version)
    except admin.exceptions.ClientError:
        # A store without versions: the plain listing is complete.
        with contextlib.suppress(admin.exceptions.ClientError):
            for left in admin.list_objects_v2(Bucket=bucket, Prefix=base).get("Contents", []):
                admin.delete_object(Bucket=bucket, Key=left["Key"])


def _tried(prober: Prober, verb: str, wanted: str) -> Finding:
    try:
        evidence = VERBS[verb](prober)
    except Untestable as reason:
        return Finding(verb, wanted, UNTESTED, str(reason))
    except prober.admin.exceptions.ClientError as error:
        return Finding(verb, wanted, *_judged(verb, error))
    except errors.AuthError as error:
        return Finding(verb, wanted, REFUSED, error.message)
    except errors.StowageError as error:
        return Finding(verb, wanted, UNTESTED, f"{error.message}: neither done nor refused")
    return Finding(verb, wanted, ALLOWED, evidence)


# Answers that a server gives only to a caller it would have let through.
_AFTER_AUTHORISATION = {
    "DeleteBucket": ("BucketNotEmpty",),
    "PutBucketPolicy": ("MalformedPolicy", "InvalidPolicyDocument", "InvalidArgument", "InvalidRequest"),
    "CreateBucket": ("BucketAlreadyExists", "BucketAlreadyOwnedByYou"),
}


def _judged(verb: str, error: Any) -> tuple[str, str]:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(error.response.get("Error", {}).get("Code", ""))
    evidence = f"{status} {code}".strip()
    if status in (401, 403):
        return REFUSED, evidence
    if code in _AFTER_AUTHORISATION.get(verb, ()):
        return ALLOWED, f"{evidence}, which only a permitted caller is told"
    return UNTESTED, f"{evidence}: neither done nor refused"


# The attempts. Each returns its evidence, raises botocore's ClientError, or Untestable.


def _list_buckets(p: Prober) -> str:
    count = len(p.probed.list_buckets().get("Buckets", []))
    if count == 0:
        # RustFS and SeaweedFS answer 200 with what the key may see; nothing at all is what a refusal looks like there.
        raise _refusal("200 with no bucket in it")
    return f"200, {count} buckets shown"


def _refusal(text: str) -> Exception:
    from botocore.exceptions import ClientError  # noqa: PLC0415

    answer: Any = {"Error": {"Code": text}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    return ClientError(answer, "probe")


def _create_bucket(p: Prober) -> str:
    name = f"stowage-probe-{secrets.token_hex(8)}"
    p.scratch.made_buckets.append(name)
    p.probed.create_bucket(Bucket=name)
    return "200, an empty bucket was made and removed again"


def _delete_bucket(p: Prober) -> str:
    with _as_admin(p):
        guarded = _guards_full_buckets(p)
    if not guarded:
        raise Untestable("this server deletes such a bucket although it is not empty, so it is not tried on a real one")
    with _as_admin(p):
        for key in _guards(p.scratch):
            p.admin.head_object(Bucket=p.scratch.bucket, Key=key)
    p.probed.delete_bucket(Bucket=p.scratch.bucket)
    return "204, the bucket was deleted"


@contextlib.contextmanager
def _as_admin(p: Prober) -> Iterator[None]:
    """A refusal of the administrator must not count as one of the key under test."""
    try:
        yield
    except p.admin.exceptions.ClientError as error:
        raise Untestable(f"the administrator could not prepare it: {error}") from None


def _guards_full_buckets(p: Prober) -> bool:
    name = f"stowage-probe-{secrets.token_hex(8)}"
    p.scratch.made_buckets.append(name)
    p.admin.create_bucket(Bucket=name)
    if p.scratch.versioning != "never":
        p.admin.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    _put_guards(p.admin, name, p.scratch)
    try:
        p.admin.delete_bucket(Bucket=name)
    except p.admin.exceptions.ClientError as error:
        return str(error.response.get("Error", {}).get("Code")) == "BucketNotEmpty"
    return False


def _head_bucket(p: Prober) -> str:
    p.probed.head_bucket(Bucket=p.scratch.bucket)
    return "200"


def _list_objects(p: Prober) -> str:
    p.probed.list_objects_v2(Bucket=p.scratch.bucket, Prefix=p.scratch.prefix)
    return "200"


def _list_versions(p: Prober) -> str:
    p.probed.list_object_versions(Bucket=p.scratch.bucket, Prefix=p.scratch.prefix)
    return "200"


def _bucket_location(p: Prober) -> str:
    p.probed.get_bucket_location(Bucket=p.scratch.bucket)
    return "200"


def _get_versioning(p: Prober) -> str:
    return f"200, {p.probed.get_bucket_versioning(Bucket=p.scratch.bucket).get('Status') or 'never set'}"


def _put_versioning(p: Prober) -> str:
    if p.scratch.versioning != "enabled":
        raise Untestable(f"versioning of the bucket is {p.scratch.versioning}: trying would switch it on")
    p.probed.put_bucket_versioning(Bucket=p.scratch.bucket, VersioningConfiguration={"Status": "Enabled"})
    return "200, Enabled as before"


def _put_policy(p: Prober) -> str:
    before = _bucket_policy(p)
    try:
        p.probed.put_bucket_policy(Bucket=p.scratch.bucket, Policy="this is no policy")
    finally:
        if _bucket_policy(p) != before:
            if before is None:
                p.admin.delete_bucket_policy(Bucket=p.scratch.bucket)
            else:
                p.admin.put_bucket_policy(Bucket=p.scratch.bucket, Policy=before)
    return "200, even for something that is no policy; the policy before it was put back"


def _bucket_policy(p: Prober) -> str | None:
    try:
        return p.admin.get_bucket_policy(Bucket=p.scratch.bucket)["Policy"]
    except p.admin.exceptions.ClientError:
        return None


def _get_object(p: Prober) -> str:
    p.probed.get_object(Bucket=p.scratch.bucket, Key=p.scratch.read_key)["Body"].read()
    return "200"


def _version(version: str | None) -> str:
    if version is None:
        raise Untestable("the bucket has no versioning, so there is no version to try it on")
    return version


def _get_version(p: Prober) -> str:
    version = _version(p.scratch.read_version)
    p.probed.get_object(Bucket=p.scratch.bucket, Key=p.scratch.read_key, VersionId=version)["Body"].read()
    return "200"


def _put_object(p: Prober) -> str:
    p.probed.put_object(Bucket=p.scratch.bucket, Key=f"{p.scratch.prefix}-put", Body=b"stowage permission probe\n")
    return "200"


def _delete_object(p: Prober) -> str:
    p.probed.delete_object(Bucket=p.scratch.bucket, Key=p.scratch.delete_key)
    return "204"


def _delete_version(p: Prober) -> str:
    version = _version(p.scratch.delete_version)
    p.probed.delete_object(Bucket=p.scratch.bucket, Key=p.scratch.delete_key, VersionId=version)
    return "204"


def _anonymous_get(p: Prober) -> str:
    p.anonymous.get_object(Bucket=p.scratch.bucket, Key=p.scratch.read_key)["Body"].read()
    return "200 without a signature"


def _anonymous_list(p: Prober) -> str:
    p.anonymous.list_objects_v2(Bucket=p.scratch.bucket, Prefix=p.scratch.prefix)
    return "200 without a signature"


def _in_each_other(p: Prober, attempt: Callable[[str], object]) -> str:
    """One bucket that lets the key in is enough; where all refuse, so does the verb."""
    refused: Exception | None = None
    for bucket in p.scratch.others:
        try:
            attempt(bucket)
        except p.admin.exceptions.ClientError as error:
            refused = error if refused is None or _judged("", error)[0] != REFUSED else refused
        else:
            return f"200 in bucket {bucket}"
    raise refused or Untestable("there is no other bucket")


def _other_get(p: Prober) -> str:
    key = f"{p.scratch.prefix}-other"
    return _in_each_other(p, lambda bucket: p.probed.get_object(Bucket=bucket, Key=key)["Body"].read())


def _other_list(p: Prober) -> str:
    return _in_each_other(p, lambda bucket: p.probed.list_objects_v2(Bucket=bucket, Prefix=p.scratch.prefix))


def _other_put(p: Prober) -> str:
    key = f"{p.scratch.prefix}-other-put"
    return _in_each_other(p, lambda bucket: p.probed.put_object(Bucket=bucket, Key=key, Body=b"x"))


def _create_access_key(p: Prober) -> str:
    if p.drivers is None:
        raise Untestable("no access driver is named, which says how this store makes keys")
    root, own = p.drivers
    made = own.make_own_key().access_key_id
    try:
        if key := root.key(made, made):
            root.remove_key(key)
        left = root.key(made, key.parent if key else made)
    except errors.StowageError as error:
        # Never a refusal of the key under test, whatever the administrator was told.
        raise errors.ServerFaultError(f"{error.message}; remove the key {made} by hand") from None
    if left:
        raise errors.ServerFaultError(f"the key {made}, made by the probe, was removed and is still there")
    return "a further key of its own user was made, and removed again"


VERBS: dict[str, Callable[[Prober], str]] = {
    "ListBuckets": _list_buckets,
    "CreateBucket": _create_bucket,
    "DeleteBucket": _delete_bucket,
    "HeadBucket": _head_bucket,
    "ListObjectsV2": _list_objects,
    "ListObjectVersions": _list_versions,
    "GetBucketLocation": _bucket_location,
    "GetBucketVersioning": _get_versioning,
    "PutBucketVersioning": _put_versioning,
    "PutBucketPolicy": _put_policy,
    "GetObject": _get_object,
    "GetObjectVersion": _get_version,
    "PutObject": _put_object,
    "DeleteObject": _delete_object,
    "DeleteObjectVersion": _delete_version,
    "AnonymousGetObject": _anonymous_get,
    "AnonymousListObjectsV2": _anonymous_list,
    "CreateAccessKey": _create_access_key,
    "OtherBucketGetObject": _other_get,
    "OtherBucketListObjectsV2": _other_list,
    "OtherBucketPutObject": _other_put,
}
