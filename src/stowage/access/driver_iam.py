"""Driver for stores that speak AWS IAM on their own endpoint: SeaweedFS, Ceph, AWS.

Rights are managed policies: SeaweedFS 4.48 refuses ``Deny`` in an inline user policy and takes it in a managed one
(facts/s3-servers.md 1, IAM). Inline policies that somebody else put on a user are shown as ``inline:NAME``, so that
"exactly these policies" means what it says.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from stowage import errors
from stowage.access.actions import AWS, SEAWEEDFS, ActionRules
from stowage.access.model import AccessKey, Credentials, Document, ServerInfo, Target, User
from stowage.s3.connection import S3Settings, engine_errors, iam_client, s3_client

if TYPE_CHECKING:
    from mypy_boto3_iam.client import IAMClient

INLINE = "inline:"
# AWS keeps five versions of a managed policy and then refuses a sixth.
_MOST_VERSIONS = 5


class IamDriver:
    """Users, keys and policies through the IAM API."""

    name = "iam"
    features: frozenset[str] = frozenset()

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._client: IAMClient | None = None
        self._arns: dict[str, str] | None = None
        self._server = ""

    @property
    def actions(self) -> ActionRules:
        """AWS's own rules, or SeaweedFS's once an answer said that it comes from there."""
        return SEAWEEDFS if self._server.lower().startswith("seaweedfs") else AWS

    @property
    def _iam(self) -> IAMClient:
        if self._client is None:
            self._client = iam_client(self._settings)
            self._client.meta.events.register("after-call.iam", self._heard)
        return self._client

    def _heard(self, http_response: Any, **_named: Any) -> None:
        self._server = http_response.headers.get("Server") or self._server

    @contextlib.contextmanager
    def _doing(self, doing: str) -> Iterator[None]:
        with engine_errors(doing, self._settings.endpoint):
            yield

    def _pages(self, operation: str, field: str, **arguments: Any) -> list[Any]:
        """All items of a listing; a missing owner counts as an empty list, as SeaweedFS answers and AWS does not."""
        paginator = self._iam.get_paginator(operation)  # type: ignore[call-overload]
        try:
            with self._doing(operation.replace("_", " ")):
                return [item for page in paginator.paginate(**arguments) for item in page.get(field, [])]
        except errors.NotFoundError:
            return []

    # policies

    def _policy_arns(self) -> dict[str, str]:
        if self._arns is None:
            found = self._pages("list_policies", "Policies", Scope="Local")
            self._arns = {one["PolicyName"]: one["Arn"] for one in found}
        return self._arns

    def policies(self) -> dict[str, Document]:
        """See :class:`stowage.access.model.AccessDriver`."""
        return {name: self._document(name, arn) for name, arn in self._policy_arns().items()}

    def policy_names(self) -> frozenset[str]:
        """The names alone: one call instead of two more for each."""
        return frozenset(self._policy_arns())

    def policy(self, name: str) -> Document | None:
        """See :class:`stowage.access.model.AccessDriver`."""
        arn = self._policy_arns().get(name)
        return self._document(name, arn) if arn else None

    def _document(self, name: str, arn: str) -> Document:
        with self._doing(f"read policy {name}"):
            version = self._iam.get_policy(PolicyArn=arn)["Policy"].get("DefaultVersionId", "v1")
            text: Any = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        return decoded_document(text)

    def put_policy(self, name: str, document: Document) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        arn = self._policy_arns().get(name)
        text = json.dumps(document)
        with self._doing(f"store policy {name}"):
            if arn is None:
                self._iam.create_policy(PolicyName=name, PolicyDocument=text)
            else:
                self._make_room(arn)
                self._iam.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)
        self._arns = None

    def _make_room(self, arn: str) -> None:
        versions = self._iam.list_policy_versions(PolicyArn=arn)["Versions"]
        if len(versions) >= _MOST_VERSIONS:
            oldest = next(one for one in reversed(versions) if not one["IsDefaultVersion"])
            self._iam.delete_policy_version(PolicyArn=arn, VersionId=oldest["VersionId"])

    def remove_policy(self, name: str) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        arn = self._policy_arns()[name]
        with self._doing(f"remove policy {name}"):
            for version in self._iam.list_policy_versions(PolicyArn=arn)["Versions"]:
                if not version["IsDefaultVersion"]:
                    self._iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
            self._iam.delete_policy(PolicyArn=arn)
        self._arns = None

    # users

    def users(self) -> dict[str, User]:
        """See :class:`stowage.access.model.AccessDriver`."""
        names = [one["UserName"] for one in self._pages("list_users", "Users")]
        return {name: self._with_policies(name) for name in names}

    def user(self, name: str) -> User | None:
        """See :class:`stowage.access.model.AccessDriver`."""
        try:
            with self._doing(f"read user {name}"):
                self._iam.get_user(UserName=name)
        except errors.NotFoundError:
            return None
        return self._with_policies(name)

    def _with_policies(self, name: str) -> User:
        attached = self._pages("list_attached_user_policies", "AttachedPolicies", UserName=name)
        inline = self._pages("list_user_policies", "PolicyNames", UserName=name)
        names = {one["PolicyName"] for one in attached} | {f"{INLINE}{one}" for one in inline}
        return User(name, policies=frozenset(names))

    def create_user(self, name: str) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        with self._doing(f"create user {name}"):
            self._iam.create_user(UserName=name)

    def set_user_enabled(self, name: str, enabled: bool) -> None:
        """IAM knows no disabled user.

        Raises:
            RefusedError: Always.
        """
        raise errors.RefusedError(f"user {name}: IAM has no user status to set to {enabled}")

    def remove_user(self, name: str) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        user = self._with_policies(name)
        self.detach(name, user.policies)
        for key in self.keys_of(name):
            self.remove_key(key)
        with self._doing(f"remove user {name}"):
            self._iam.delete_user(UserName=name)

    def attach(self, user: str, policies: frozenset[str]) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        for policy in sorted(policies):
            with self._doing(f"attach policy {policy} to user {user}"):
                self._iam.attach_user_policy(UserName=user, PolicyArn=self._policy_arns()[policy])

    def detach(self, user: str, policies: frozenset[str]) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        for policy in sorted(policies):
            with self._doing(f"detach policy {policy} from user {user}"):
                if policy.startswith(INLINE):
                    self._iam.delete_user_policy(UserName=user, PolicyName=policy.removeprefix(INLINE))
                else:
                    arn = self._policy_arns().get(policy) or self._attached_arn(user, policy)
                    self._iam.detach_user_policy(UserName=user, PolicyArn=arn)

    def _attached_arn(self, user: str, policy: str) -> str:
        """The ARN of a policy that is not ours, such as AWS's own ``AdministratorAccess``."""
        attached = self._pages("list_attached_user_policies", "AttachedPolicies", UserName=user)
        return next(str(one["PolicyArn"]) for one in attached if one["PolicyName"] == policy)

    # keys

    def keys_of(self, user: str) -> list[AccessKey]:
        """See :class:`stowage.access.model.AccessDriver`."""
        found = self._pages("list_access_keys", "AccessKeyMetadata", UserName=user)
        return [AccessKey(one["AccessKeyId"], user, one.get("Status", "Active") == "Active") for one in found]

    def key(self, access_key_id: str, likely_parent: str) -> AccessKey | None:
        """See :class:`stowage.access.model.AccessDriver`."""
        # GetAccessKeyLastUsed would name the owner in one call; SeaweedFS 4.48 answers 501 to it.
        names = [one["UserName"] for one in self._pages("list_users", "Users") if one["UserName"] != likely_parent]
        for user in (likely_parent, *names):
            for key in self.keys_of(user):
                if key.access_key_id == access_key_id:
                    return key
        return None

    def create_key(self, user: str, wanted: Credentials | None, description: str) -> Credentials:
        """See :class:`stowage.access.model.AccessDriver`.

        Raises:
            RefusedError: A chosen pair was asked for: IAM always generates.
        """
        if wanted is not None:
            raise errors.RefusedError(f"key {wanted.access_key_id} of user {user}: IAM never takes a chosen pair")
        with self._doing(f"create a key for user {user}"):
            made = self._iam.create_access_key(UserName=user)["AccessKey"]
        return Credentials(made["AccessKeyId"], made["SecretAccessKey"])

    def make_own_key(self) -> Credentials:
        """See :class:`stowage.access.model.AccessDriver`."""
        with self._doing("create a key of its own"):
            made = self._iam.create_access_key()["AccessKey"]
        return Credentials(made["AccessKeyId"], made["SecretAccessKey"])

    def set_key_enabled(self, key: AccessKey, enabled: bool, secret: str | None) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        with self._doing(f"set status of key {key.access_key_id}"):
            self._iam.update_access_key(
                UserName=key.parent, AccessKeyId=key.access_key_id, Status="Active" if enabled else "Inactive"
            )

    def remove_key(self, key: AccessKey) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        with self._doing(f"remove key {key.access_key_id}"):
            self._iam.delete_access_key(UserName=key.parent, AccessKeyId=key.access_key_id)

    # the server

    def durability(self, bucket: str) -> str | None:
        """IAM has no such setting: always ``None``."""

    def set_durability(self, bucket: str, mode: str) -> None:
        """IAM has no such setting.

        Raises:
            RefusedError: Always.
        """
        raise errors.RefusedError(f"bucket {bucket}: this store has no setting for durability", "leave durability out")

    def quota(self, bucket: str) -> int | None:
        """IAM has no quotas: always ``None``."""
        return None

    def set_quota(self, bucket: str, size: int | None) -> None:
        """IAM has no quotas.

        Raises:
            RefusedError: Always.
        """
        raise errors.RefusedError(f"bucket {bucket}: this store has no quotas", "leave quota out")

    def targets(self) -> list[Target]:
        """Always empty: the stores of this driver have no event targets of their own."""
        return []

    def info(self) -> ServerInfo:
        """The version as far as the ``Server`` header tells: SeaweedFS does, AWS does not."""
        with self._doing("list buckets"):
            answer = s3_client(self._settings).list_buckets()
        server = answer["ResponseMetadata"]["HTTPHeaders"].get("server", "")
        product, _, rest = server.partition(" ")
        version = rest.split()[-1] if rest else product.partition("/")[2] or None
        return ServerInfo(product.partition("/")[0].lower() or "unknown", version, ready=True)


def decoded_document(text: str) -> Document:
    """A policy document as an IAM answer holds it: percent-encoded by AWS, plain by SeaweedFS.

    JSON begins with a brace and its percent-encoding never does, so a ``%2F`` that belongs to a resource is told apart
    from one of the transport.
    """
    plain = text if text.lstrip().startswith("{") else unquote(text)
    made: Document = json.loads(plain)
    return made
