"""The names of S3 actions that each kind of server accepts in a policy.

A wrong name is refused by RustFS with a bare 400, by others it is stored and silently grants nothing, so the names are
checked before the put.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

# Exact, case-sensitive enumeration of RustFS 1.0.0-beta.5 to rc.3
# (crates/policy/src/policy/action.rs; facts/rustfs.md 2.1).
_RUSTFS_S3 = """
    AbortMultipartUpload BypassGovernanceRetention CreateBucket DeleteBucket DeleteBucketCors DeleteBucketPolicy
    DeleteBucketPublicAccessBlock DeleteObject DeleteObjectTagging DeleteObjectVersion DeleteObjectVersionTagging
    ForceDeleteBucket GetBucketAcl GetBucketCors GetBucketEncryption GetBucketLifecycle GetBucketLocation
    GetBucketLogging GetBucketNotification GetBucketObjectLockConfiguration GetBucketPolicy GetBucketPolicyStatus
    GetBucketPublicAccessBlock GetBucketQuota GetBucketTagging GetBucketVersioning GetObject GetObjectAcl
    GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging GetObjectVersion
    GetObjectVersionAttributes GetObjectVersionForReplication GetObjectVersionTagging GetReplicationConfiguration
    HeadBucket ListAllMyBuckets ListBucket ListBucketMultipartUploads ListBucketVersions ListMultipartUploadParts
    ListenBucketNotification ListenNotification PutBucketAcl PutBucketCors PutBucketEncryption PutBucketLifecycle
    PutBucketLogging PutBucketNotification PutBucketObjectLockConfiguration PutBucketPolicy
    PutBucketPublicAccessBlock PutBucketTagging PutBucketVersioning PutObject PutObjectAcl PutObjectFanOut
    PutObjectLegalHold PutObjectRetention PutObjectTagging PutObjectVersionTagging PutReplicationConfiguration
    ReplicateDelete ReplicateObject ReplicateTags ResetBucketReplicationState RestoreObject
"""
RUSTFS_S3 = frozenset(f"s3:{name}" for name in _RUSTFS_S3.split())

# Object and bucket actions of AWS S3 (Service Authorization Reference, "Actions defined by Amazon S3"), without the
# account-level families (access points, Storage Lens, batch jobs) that no self-hosted store has.
_AWS_S3 = """
    AbortMultipartUpload BypassGovernanceRetention CreateBucket DeleteBucket DeleteBucketPolicy DeleteBucketWebsite
    DeleteObject DeleteObjectTagging DeleteObjectVersion DeleteObjectVersionTagging GetAccelerateConfiguration
    GetAnalyticsConfiguration GetBucketAcl GetBucketCORS GetBucketLocation GetBucketLogging GetBucketNotification
    GetBucketObjectLockConfiguration GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus
    GetBucketPublicAccessBlock GetBucketRequestPayment GetBucketTagging GetBucketVersioning GetBucketWebsite
    GetEncryptionConfiguration GetInventoryConfiguration GetLifecycleConfiguration GetMetricsConfiguration GetObject
    GetObjectAcl GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging GetObjectTorrent
    GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes GetObjectVersionForReplication
    GetObjectVersionTagging GetObjectVersionTorrent GetReplicationConfiguration ListAllMyBuckets ListBucket
    ListBucketMultipartUploads ListBucketVersions ListMultipartUploadParts ObjectOwnerOverrideToBucketOwner
    PutAccelerateConfiguration PutAnalyticsConfiguration PutBucketAcl PutBucketCORS PutBucketLogging
    PutBucketNotification PutBucketObjectLockConfiguration PutBucketOwnershipControls PutBucketPolicy
    PutBucketPublicAccessBlock PutBucketRequestPayment PutBucketTagging PutBucketVersioning PutBucketWebsite
    PutEncryptionConfiguration PutInventoryConfiguration PutLifecycleConfiguration PutMetricsConfiguration PutObject
    PutObjectAcl PutObjectLegalHold PutObjectRetention PutObjectTagging PutObjectVersionAcl PutObjectVersionTagging
    PutReplicationConfiguration ReplicateDelete ReplicateObject ReplicateTags RestoreObject
"""
AWS_S3 = frozenset(f"s3:{name}" for name in _AWS_S3.split())

# MinIO (pkg/policy action.go): AWS's names for lifecycle and encryption as MinIO spells them, plus its own.
MINIO_S3 = (RUSTFS_S3 - {"s3:GetBucketLifecycle", "s3:PutBucketLifecycle"}) | {
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
}

# What people write, taken from API operation names or from another server, and what is meant. The first name that the
# server at hand knows is offered.
_MEANT: Mapping[str, tuple[str, ...]] = {
    "s3:getlifecycleconfiguration": ("s3:GetBucketLifecycle",),
    "s3:putlifecycleconfiguration": ("s3:PutBucketLifecycle",),
    "s3:getbucketlifecycle": ("s3:GetLifecycleConfiguration",),
    "s3:putbucketlifecycle": ("s3:PutLifecycleConfiguration",),
    "s3:getbucketlifecycleconfiguration": ("s3:GetLifecycleConfiguration", "s3:GetBucketLifecycle"),
    "s3:putbucketlifecycleconfiguration": ("s3:PutLifecycleConfiguration", "s3:PutBucketLifecycle"),
    "s3:getencryptionconfiguration": ("s3:GetBucketEncryption",),
    "s3:putencryptionconfiguration": ("s3:PutBucketEncryption",),
    "s3:getbucketencryption": ("s3:GetEncryptionConfiguration",),
    "s3:putbucketencryption": ("s3:PutEncryptionConfiguration",),
    "s3:listobjects": ("s3:ListBucket",),
    "s3:listobjectsv2": ("s3:ListBucket",),
    "s3:listobjectversions": ("s3:ListBucketVersions",),
    "s3:listbuckets": ("s3:ListAllMyBuckets",),
    "s3:headobject": ("s3:GetObject",),
    "s3:headbucket": ("s3:ListBucket",),
    "s3:copyobject": ("s3:PutObject",),
    "s3:deleteobjects": ("s3:DeleteObject",),
    "s3:createmultipartupload": ("s3:PutObject",),
    "s3:uploadpart": ("s3:PutObject",),
}


@dataclass(frozen=True)
class ActionRules:
    """What one kind of server accepts under ``Action``.

    Args:
        server: Its name, for messages.
        s3: Accepted ``s3:`` names.
        partial_wildcards: Whether ``s3:Get*`` is understood.
        case_sensitive: Whether ``s3:getobject`` is another name than ``s3:GetObject``.
        star_is_s3: Whether ``*`` is stored as ``s3:*``.
        single_family: Whether the actions of one statement must share their prefix.
        bare_star_resource: Whether ``*`` alone is a resource; RustFS and MinIO want ``arn:aws:s3:::*`` (seen live).
        ignored_fields: Fields of a statement that the server takes with a 200 and then drops, or does not look at.
    """

    server: str
    s3: frozenset[str]
    partial_wildcards: bool = True
    case_sensitive: bool = False
    star_is_s3: bool = False
    single_family: bool = False
    bare_star_resource: bool = True
    ignored_fields: frozenset[str] = frozenset()

    def known_spelling(self, action: str) -> str:
        """The server's own spelling of an action that differs at most in case; else the action unchanged."""
        return self._by_lower_case().get(action.lower(), action)

    def _by_lower_case(self) -> dict[str, str]:
        return {name.lower(): name for name in self.s3}


RUSTFS = ActionRules(
    "RustFS",
    RUSTFS_S3,
    partial_wildcards=False,
    case_sensitive=True,
    star_is_s3=True,
    single_family=True,
    bare_star_resource=False,
)
MINIO = ActionRules("MinIO", MINIO_S3, case_sensitive=True, bare_star_resource=False)
AWS = ActionRules("IAM", AWS_S3)
# SeaweedFS 4.48 stores NotAction as an empty Action and keeps NotResource without looking at it (docs/quirks.md).
SEAWEEDFS = ActionRules("SeaweedFS", AWS_S3, ignored_fields=frozenset({"NotAction", "NotResource", "NotPrincipal"}))


def complaint(action: str, rules: ActionRules) -> str | None:  # noqa: PLR0911
    """What is wrong with an action name, with the nearest right one; ``None`` when the server accepts it.

    Args:
        action: As written in the document.
        rules: Of the server that shall store it.
    """
    if action == "*":
        return None
    family, colon, verb = action.partition(":")
    if not colon or not verb:
        return f"{action!r} has no service prefix; right: {nearest('s3:' + action, rules)}"
    if verb == "*":
        return None
    if "*" in verb or "?" in verb:
        return _wildcard_complaint(action, rules)
    if family.lower() != "s3":
        return None
    if action in rules.s3 or (not rules.case_sensitive and rules.known_spelling(action) in rules.s3):
        return None
    return f"{rules.server} does not know {action!r}; right: {nearest(action, rules)}"


def _wildcard_complaint(action: str, rules: ActionRules) -> str | None:
    if rules.partial_wildcards:
        return None
    prefix = action.partition("*")[0].lower()
    matching = sorted(name for name in rules.s3 if name.lower().startswith(prefix))
    shown = ", ".join(matching[:4]) + (f" and {len(matching) - 4} more" if len(matching) > 4 else "")
    return f"{rules.server} refuses the partial wildcard {action!r}; name each action: {shown or 's3:*'}"


def nearest(action: str, rules: ActionRules) -> str:
    """The accepted name that is most likely meant."""
    spelled = rules.known_spelling(action)
    if spelled in rules.s3:
        return spelled
    for meant in _MEANT.get(action.lower(), ()):
        if meant in rules.s3:
            return meant
    close = difflib.get_close_matches(action.lower(), rules._by_lower_case(), n=1, cutoff=0.5)
    return rules.known_spelling(close[0]) if close else "one of " + ", ".join(sorted(rules.s3)[:3]) + ", ..."
