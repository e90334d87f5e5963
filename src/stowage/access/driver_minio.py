"""Driver for MinIO and its descendants, over the PyPI package ``minio``.

Attachments are set as a whole with ``policy_set``, which old servers know too; ``attach_policy`` is refused with 426 by
the server code in the JuiceFS gateway (facts/s3-servers.md 3), on which this driver is exercised.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stowage import errors
from stowage.access.actions import MINIO
from stowage.access.model import (
    CHOSEN_KEYS,
    NOTIFICATIONS,
    QUOTA,
    USER_STATUS,
    AccessKey,
    Credentials,
    Document,
    ServerInfo,
    Target,
    User,
    new_credentials,
)
from stowage.s3.connection import S3Settings, engine_errors, from_status, s3_client
from stowage.s3.transport import broken, pool

if TYPE_CHECKING:
    from minio import MinioAdmin

_SHORTEST_NAME = 3


class MinioDriver:
    """Users, service accounts and policies through MinIO's admin API."""

    name = "minio"
    features = frozenset({CHOSEN_KEYS, USER_STATUS, QUOTA, NOTIFICATIONS})
    actions = MINIO

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._root = self._admin(settings)
        self._users: dict[str, User] | None = None

    @staticmethod
    def _admin(settings: S3Settings) -> MinioAdmin:
        try:
            import urllib3  # noqa: PLC0415
            from minio import MinioAdmin  # noqa: PLC0415
            from minio.credentials.providers import StaticProvider  # noqa: PLC0415
        except ImportError:
            raise errors.BadInputError(
                "driver minio needs the Python package minio", "pip install 'stowage[minio]'"
            ) from None
        parts = urlsplit(settings.endpoint)
        # The library's own pool repeats 500s five times; only a line that never stood is worth it.
        retries = urllib3.Retry(total=None, connect=settings.max_attempts - 1, read=0, status=0, other=0)
        return MinioAdmin(
            endpoint=parts.netloc,
            credentials=StaticProvider(settings.access_key or "", settings.secret_key or ""),
            region=settings.region,
            secure=parts.scheme == "https",
            http_client=pool(settings, retries),
        )

    def _call(self, doing: str, method: Callable[..., str], *arguments: Any, **named: Any) -> Any:
        """One call of the library; its answer as data, its exceptions as ours."""
        with self._doing(doing):
            answer = method(*arguments, **named)
        return json.loads(answer) if answer and answer.strip() else None

    @contextlib.contextmanager
    def _doing(self, doing: str) -> Iterator[None]:
        import urllib3  # noqa: PLC0415
        from minio.error import MinioAdminException  # noqa: PLC0415

        try:
            yield
        except MinioAdminException as error:
            raise _translated(str(error), doing) from None
        except urllib3.exceptions.HTTPError as error:
            raise broken(error, doing, self._settings.endpoint) from None

    # policies

    def policies(self) -> dict[str, Document]:
        """See :class:`stowage.access.model.AccessDriver`."""
        return self._call("list policies", self._root.policy_list) or {}

    def policy(self, name: str) -> Document | None:
        """See :class:`stowage.access.model.AccessDriver`."""
        return self.policies().get(name)

    def put_policy(self, name: str, document: Document) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        self._call(f"store policy {name}", self._root.policy_add, name, policy=document)

    def remove_policy(self, name: str) -> None:
        """See :class:`stowage.access.model.AccessDriver`.

        Raises:
            ConflictError: Still attached. Asked here, because the gateway's code removes it and detaches it silently.
        """
        holders = sorted(user.name for user in self.users().values() if name in user.policies)
        if holders:
            raise errors.ConflictError(
                f"policy {name} is attached to user {', '.join(holders)}",
                "detach it first: s3_user with other policies",
            )
        self._call(f"remove policy {name}", self._root.policy_remove, name)

    # users

    def users(self) -> dict[str, User]:
        """See :class:`stowage.access.model.AccessDriver`."""
        if self._users is None:
            found = self._call("list users", self._root.user_list) or {}
            self._users = {name: _user(name, one) for name, one in found.items()}
        return self._users

    def user(self, name: str) -> User | None:
        """See :class:`stowage.access.model.AccessDriver`."""
        return self.users().get(name)

    def create_user(self, name: str) -> None:
        """See :class:`stowage.access.model.AccessDriver`.

        Raises:
            BadInputError: The name is too short: MinIO makes such a user and leaves it disabled for ever.
        """
        if len(name.encode()) < _SHORTEST_NAME:
            raise errors.BadInputError(f"user name {name!r} is too short for MinIO", "use at least 3 characters")
        self._give_secret(name)

    def _give_secret(self, name: str) -> Credentials:
        """Make the user, or give it a new secret, which nobody keeps: people and programs use service accounts."""
        pair = Credentials(name, new_credentials().secret_access_key)
        self._call(f"create user {name}", self._root.user_add, name, pair.secret_access_key)
        self._users = None
        return pair

    def set_user_enabled(self, name: str, enabled: bool) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        method = self._root.user_enable if enabled else self._root.user_disable
        self._call(f"set status of user {name}", method, name)
        self._users = None

    def remove_user(self, name: str) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        for key in self.keys_of(name):
            self.remove_key(key)
        self._call(f"remove user {name}", self._root.user_remove, name)
        self._users = None

    def attach(self, user: str, policies: frozenset[str]) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        self._set_policies(user, self._policies_of(user) | policies)

    def detach(self, user: str, policies: frozenset[str]) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        self._set_policies(user, self._policies_of(user) - policies)

    def _policies_of(self, user: str) -> frozenset[str]:
        self._users = None
        found = self.user(user)
        return found.policies if found else frozenset()

    def _set_policies(self, user: str, policies: frozenset[str]) -> None:
        doing = f"set policies of user {user}"
        self._call(doing, self._root.policy_set, ",".join(sorted(policies)), user=user)
        self._users = None

    # keys: service accounts

    def keys_of(self, user: str) -> list[AccessKey]:
        """See :class:`stowage.access.model.AccessDriver`."""
        try:
            found = self._call(f"list keys of user {user}", self._root.list_service_account, user) or {}
        except errors.NotFoundError:
            return []
        # Old servers list ids, newer ones objects.
        ids = [one if isinstance(one, str) else one["accessKey"] for one in found.get("accounts") or []]
        keys = [self._service_account(one) for one in ids]
        return [key for key in keys if key and key.parent == user]

    def key(self, access_key_id: str, likely_parent: str) -> AccessKey | None:
        """See :class:`stowage.access.model.AccessDriver`."""
        return self._service_account(access_key_id)

    def _service_account(self, access_key_id: str) -> AccessKey | None:
        try:
            found = self._call(f"read key {access_key_id}", self._root.get_service_account, access_key_id)
        except errors.NotFoundError:
            return None
        return AccessKey(access_key_id, found["parentUser"], found.get("accountStatus") == "on")

    def create_key(self, user: str, wanted: Credentials | None, description: str) -> Credentials:
        """See :class:`stowage.access.model.AccessDriver`.

        The library makes service accounts only for whoever signs, so the user gets a new secret and signs this call.
        """
        owner = self.user(user)
        as_user = self._admin(self._settings.with_key(*_both(self._give_secret(user))))
        if owner and not owner.enabled:
            # Giving a secret switches the user on.
            self.set_user_enabled(user, False)
            raise errors.RefusedError(f"user {user} is disabled: no key can be made for it", "enable it first")
        pair = wanted or new_credentials()
        self._call(
            f"create key {pair.access_key_id} of user {user}",
            as_user.add_service_account,
            access_key=pair.access_key_id,
            secret_key=pair.secret_access_key,
            description=description or None,
        )
        return pair

    def make_own_key(self) -> Credentials:
        """See :class:`stowage.access.model.AccessDriver`."""
        pair = new_credentials()
        self._call(
            "create a key of its own",
            self._root.add_service_account,
            access_key=pair.access_key_id,
            secret_key=pair.secret_access_key,
        )
        return pair

    def set_key_enabled(self, key: AccessKey, enabled: bool, secret: str | None) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        self._call(
            f"set status of key {key.access_key_id}",
            self._root.update_service_account,
            access_key=key.access_key_id,
            status="on" if enabled else "off",
        )

    def remove_key(self, key: AccessKey) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        self._call(f"remove key {key.access_key_id}", self._root.delete_service_account, key.access_key_id)

    # the server

    def durability(self, bucket: str) -> str | None:
        """MinIO has no such setting: always ``None``."""

    def set_durability(self, bucket: str, mode: str) -> None:
        """MinIO has no such setting.

        Raises:
            RefusedError: Always.
        """
        raise errors.RefusedError(f"bucket {bucket}: this store has no setting for durability", "leave durability out")

    def quota(self, bucket: str) -> int | None:
        """See :class:`stowage.access.model.AccessDriver`."""
        found = self._call(f"read quota of bucket {bucket}", self._root.bucket_quota_get, bucket) or {}
        return int(found.get("quota") or 0) or None

    def set_quota(self, bucket: str, size: int | None) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        self._call(f"set quota of bucket {bucket}", self._root.bucket_quota_set, bucket, size or 0)

    def targets(self) -> list[Target]:
        """The event targets that the server tells of; empty where it does not, as the JuiceFS gateway."""
        arns = (self._told() or {}).get("sqsARN") or []
        return [Target(str(one), "unknown") for one in arns]

    def _told(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._call("ask the server about itself", self._root.info) or {}
        except errors.RefusedError:
            return None
        return found

    def info(self) -> ServerInfo:
        """See :class:`stowage.access.model.AccessDriver`; the gateway tells no version."""
        with engine_errors("list buckets", self._settings.endpoint):
            s3_client(self._settings).list_buckets()
        told = self._told() or {}
        servers = told.get("servers") or [{}]
        return ServerInfo("minio", servers[0].get("version"), ready=True, targets=tuple(self.targets()))


def _both(pair: Credentials) -> tuple[str, str]:
    return pair.access_key_id, pair.secret_access_key


def _user(name: str, told: dict[str, Any]) -> User:
    policies = frozenset(one for one in (told.get("policyName") or "").split(",") if one)
    return User(name, told.get("status") == "enabled", policies, tuple(told.get("memberOf") or ()))


def _translated(text: str, doing: str) -> errors.StowageError:
    """The library hides status and code in its message: ``admin request failed; Status: 404, Body: {"Code":...}``."""
    found = re.search(r"Status: (\d+), Body: (.*)", text, re.DOTALL)
    status, body = (int(found.group(1)), found.group(2)) if found else (0, text)
    try:
        said = json.loads(body)
    except ValueError:
        said = {"Code": str(status), "Message": body[:200]}
    # 426: this server's admin API does not have the call.
    return from_status(501 if status == 426 else status, said.get("Code", ""), said.get("Message", ""), doing)
