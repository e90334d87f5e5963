"""What a key must be allowed and refused on a bucket, worked out from the policies of its user.

Pure functions. What a policy grants under a condition cannot be foretold without the request, so such a verb is left
out rather than guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stowage.access.policies import Document, as_list

ALLOWED, REFUSED = "allowed", "refused"
_OBJECT, _BUCKET, _ANY = "object", "bucket", "any"
_ARN = "arn:aws:s3:::"

# Verb of the probe: every action that it takes, and what it is asked for.
_NEEDS: dict[str, tuple[tuple[str, ...], str]] = {
    "HeadBucket": (("s3:ListBucket",), _BUCKET),
    "ListObjectsV2": (("s3:ListBucket",), _BUCKET),
    "ListObjectVersions": (("s3:ListBucketVersions",), _BUCKET),
    "GetBucketLocation": (("s3:GetBucketLocation",), _BUCKET),
    "GetBucketVersioning": (("s3:GetBucketVersioning",), _BUCKET),
    "PutBucketVersioning": (("s3:PutBucketVersioning",), _BUCKET),
    "CreateBucket": (("s3:CreateBucket",), _ANY),
    "DeleteBucket": (("s3:DeleteBucket",), _BUCKET),
    "PutBucketPolicy": (("s3:PutBucketPolicy",), _BUCKET),
    "GetObject": (("s3:GetObject",), _OBJECT),
    "GetObjectVersion": (("s3:GetObjectVersion",), _OBJECT),
    "PutObject": (("s3:PutObject",), _OBJECT),
    "DeleteObject": (("s3:DeleteObject",), _OBJECT),
    "DeleteObjectVersion": (("s3:DeleteObjectVersion",), _OBJECT),
}
_FOREIGN = {
    "OtherBucketGetObject": (("s3:GetObject",), _OBJECT),
    "OtherBucketListObjectsV2": (("s3:ListBucket",), _BUCKET),
    "OtherBucketPutObject": (("s3:PutObject",), _OBJECT),
}
_MAKE_KEYS = ("iam:CreateAccessKey", "admin:CreateServiceAccount")
_NEED_VERSIONS = ("GetObjectVersion", "DeleteObjectVersion", "PutBucketVersioning")


@dataclass(frozen=True)
class Ways:
    """How a server reads policies.

    Args:
        list_gives_versions: ``ListBucket`` suffices to list versions.
        get_gives_versions: ``GetObject`` suffices to read a version.
    """

    list_gives_versions: bool = False
    get_gives_versions: bool = False


def expected_rights(
    policies: Sequence[Document],
    bucket: str,
    other_buckets: Sequence[str],
    *,
    versioned: bool,
    prefix: str = "stowage-probe/",
    ways: Ways | None = None,
) -> dict[str, str]:
    """Return what the probe must find.

    Args:
        policies: All policy documents of the key's user.
        bucket: Where its rights are looked at.
        other_buckets: Buckets that none of its policies is for.
        versioned: Whether the bucket keeps versions; verbs on versions are left out where it does not.
        prefix: Of the scratch objects.
        ways: How the server reads policies.

    Returns:
        Verb to ``allowed`` or ``refused``.
    """
    ways = ways or Ways()
    table: dict[str, str] = {}
    for verb, (actions, kind) in _NEEDS.items():
        if verb in _NEED_VERSIONS and not versioned:
            continue
        found = [_judged(policies, action, _resource(kind, bucket, prefix)) for action in actions]
        table |= _row(verb, None if None in found else all(found))
    if ways.list_gives_versions and table.get("ListObjectsV2") == ALLOWED:
        table["ListObjectVersions"] = ALLOWED
    if ways.get_gives_versions and "GetObjectVersion" in table and table.get("GetObject") == ALLOWED:
        table["GetObjectVersion"] = ALLOWED
    if table.get("DeleteObjectVersion") == ALLOWED and table.get("DeleteObject") != ALLOWED:
        # Some servers ask for both rights.
        del table["DeleteObjectVersion"]
    table |= dict.fromkeys(("AnonymousGetObject", "AnonymousListObjectsV2"), REFUSED)
    for verb, (actions, kind) in _FOREIGN.items():
        found = [_judged(policies, actions[0], _resource(kind, one, prefix)) for one in other_buckets]
        table |= _row(verb, True if True in found else None if None in found else False)
    return table | _row("CreateAccessKey", any(_judged(policies, one, "*") is not False for one in _MAKE_KEYS))


def _row(verb: str, granted: bool | None) -> dict[str, str]:
    return {} if granted is None else {verb: ALLOWED if granted else REFUSED}


def _resource(kind: str, bucket: str, prefix: str) -> str:
    return {_OBJECT: f"{_ARN}{bucket}/{prefix}x", _BUCKET: f"{_ARN}{bucket}", _ANY: f"{_ARN}stowage-probe-x"}[kind]


def _judged(policies: Sequence[Document], action: str, resource: str) -> bool | None:
    """``True`` granted, ``False`` not granted or denied, ``None`` when it depends on a condition."""
    hits = [
        (one.get("Effect"), bool(one.get("Condition")))
        for document in policies
        for one in as_list(document.get("Statement"))
        if _applies(one, action, resource)
    ]
    if ("Deny", False) in hits:
        return False
    if ("Deny", True) in hits or (("Allow", True) in hits and ("Allow", False) not in hits):
        return None
    return ("Allow", False) in hits


def _applies(statement: Document, action: str, resource: str) -> bool:
    return _in(statement, "Action", _action_fits, action) and _in(statement, "Resource", _fits, resource)


def _in(statement: Document, field: str, fits: Callable[[str, str], bool], value: str) -> bool:
    named, excluded = as_list(statement.get(field)), as_list(statement.get(f"Not{field}"))
    if excluded:
        return not any(fits(str(one), value) for one in excluded)
    # Actions on the server itself are often written without a resource.
    return any(fits(str(one), value) for one in named) or (field == "Resource" and not named)


def _action_fits(pattern: str, action: str) -> bool:
    return _fits(pattern.lower(), action.lower())


def _fits(pattern: str, value: str) -> bool:
    if value == "*":
        return True
    return bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), value, re.DOTALL))
