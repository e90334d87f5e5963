"""Driver for RustFS: plain JSON on ``/rustfs/admin/v3`` (facts/rustfs.md 1).

Existence is decided from lists, never from an error code: RustFS 1.0.0-beta.5 answers 500 to questions about things
that are not there. What depends on the version stands in :mod:`stowage.access.capability`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from stowage import errors
from stowage.access.actions import RUSTFS
from stowage.access.capability import parsed_version, rustfs_capabilities
from stowage.access.model import (
    CHOSEN_KEYS,
    DURABILITY,
    KEY_LABELS,
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
from stowage.access.signed_http import SignedHttp
from stowage.s3.connection import S3Settings

_PREFIX = "/rustfs/admin/v3/"
_SHORTEST_NAME = 3


class RustfsDriver:
    """Users, service accounts and policies through RustFS's admin API."""

    name = "rustfs"
    features = frozenset({CHOSEN_KEYS, USER_STATUS, QUOTA, DURABILITY, NOTIFICATIONS, KEY_LABELS})
    actions = RUSTFS

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._http = SignedHttp(settings, _PREFIX)
        self._policies: dict[str, Document] | None = None
        self._users: dict[str, User] | None = None
        self._version: str | None = None

    # policies

    def policies(self) -> dict[str, Document]:
        """See :class:`stowage.access.model.AccessDriver`."""
        if self._policies is None:
            self._policies = self._http.call("GET", "list-canned-policies", "list policies") or {}
        return self._policies

    def policy(self, name: str) -> Document | None:
        """See :class:`stowage.access.model.AccessDriver`."""
        return self.policies().get(name)

    def put_policy(self, name: str, document: Document) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        doing = f"store policy {name}"
        self._http.call("PUT", "add-canned-policy", doing, query={"name": name}, body=document)
        self._policies = None

    def remove_policy(self, name: str) -> None:
        """See :class:`stowage.access.model.AccessDriver`.

        Raises:
            ConflictError: Still attached. Asked beforehand, because the server's own answer is a bare 500.
        """
        holders = self._holders(name)
        if holders:
            raise errors.ConflictError(
                f"policy {name} is attached to {', '.join(holders)}", "detach it first: s3_user with other policies"
            )
        self._http.call("DELETE", "remove-canned-policy", f"remove policy {name}", query={"name": name})
        self._policies = None

    def _holders(self, policy: str) -> list[str]:
        found = self._http.call(
            "GET", "idp/builtin/policy-entities", f"ask who has policy {policy}", query={"policy": policy}
        )
        return [
            f"{kind} {one}"
            for mapping in (found or {}).get("policyMappings") or []
            for kind, names in (("user", mapping.get("users")), ("group", mapping.get("groups")))
            for one in names or []
        ]

    # users

    def users(self) -> dict[str, User]:
        """See :class:`stowage.access.model.AccessDriver`."""
        if self._users is None:
            found = self._http.call("GET", "list-users", "list users") or {}
            self._users = {name: _user(name, one) for name, one in found.items()}
        return self._users

    def user(self, name: str) -> User | None:
        """See :class:`stowage.access.model.AccessDriver`."""
        return self.users().get(name)

    def create_user(self, name: str) -> None:
        """See :class:`stowage.access.model.AccessDriver`.

        Raises:
            BadInputError: The name is too short, to which the server's answer is a bare 500.
            ConflictError: A service account has that name, which this version would overwrite (facts/rustfs.md 1.5).
        """
        if len(name.encode()) < _SHORTEST_NAME:
            raise errors.BadInputError(f"user name {name!r} is too short for RustFS", "use at least 3 characters")
        if not self._can("separate_key_namespaces") and (key := self._service_account(name)):
            raise errors.ConflictError(
                f"user {name}: a key of user {key.parent} has this id, and this RustFS would overwrite it",
                "choose another name",
            )
        # Nobody signs as the user itself: its secret is thrown away.
        body = {"secretKey": new_credentials().secret_access_key, "status": "enabled"}
        self._http.call("PUT", "add-user", f"create user {name}", query={"accessKey": name}, body=body)
        self._users = None

    def set_user_enabled(self, name: str, enabled: bool) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        query = {"accessKey": name, "status": "enabled" if enabled else "disabled"}
        self._http.call("PUT", "set-user-status", f"set status of user {name}", query=query)
        self._users = None

    def remove_user(self, name: str) -> None:
        """See :class:`stowage.access.model.AccessDriver`; its service accounts go with it."""
        self._http.call("DELETE", "remove-user", f"remove user {name}", query={"accessKey": name})
        self._users = None

    def attach(self, user: str, policies: frozenset[str]) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        self._attachment("attach", user, policies)

    def detach(self, user: str, policies: frozenset[str]) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        self._attachment("detach", user, policies)

    def _attachment(self, verb: str, user: str, policies: frozenset[str]) -> None:
        doing = f"{verb} {', '.join(sorted(policies))} {'to' if verb == 'attach' else 'from'} user {user}"
        body = {"policies": sorted(policies), "user": user}
        self._http.call("POST", f"idp/builtin/policy/{verb}", doing, body=body)
        self._users = None

    # keys: service accounts

    def keys_of(self, user: str) -> list[AccessKey]:
        """See :class:`stowage.access.model.AccessDriver`."""
        found = self._http.call("GET", "list-service-accounts", f"list keys of user {user}", query={"user": user})
        accounts = (found or {}).get("accounts") or []
        # Filtered here as well: a server that ignored the parameter would show the caller's own keys.
        return [_key(one["accessKey"], one) for one in accounts if one.get("parentUser") == user]

    def key(self, access_key_id: str, likely_parent: str) -> AccessKey | None:
        """See :class:`stowage.access.model.AccessDriver`."""
        found = [one for one in self.keys_of(likely_parent) if one.access_key_id == access_key_id]
        return found[0] if found else self._service_account(access_key_id)

    def _service_account(self, access_key_id: str) -> AccessKey | None:
        """The one question whose "not there" is a clear 404 (facts/rustfs.md 1.8), but a user's name is a 500."""
        if access_key_id in self.users():
            return None
        try:
            found = self._http.call(
                "GET", "info-service-account", f"read key {access_key_id}", query={"accessKey": access_key_id}
            )
        except errors.NotFoundError:
            return None
        return _key(access_key_id, found)

    def create_key(self, user: str, wanted: Credentials | None, description: str) -> Credentials:
        """See :class:`stowage.access.model.AccessDriver`.

        Raises:
            ConflictError: A user has that name, which this version would overwrite.
        """
        pair = wanted or new_credentials()
        if not self._can("separate_key_namespaces") and self.user(pair.access_key_id):
            raise errors.ConflictError(
                f"key {pair.access_key_id}: a user has this name, and this RustFS would overwrite it",
                "choose another access_key_id",
            )
        body = {"targetUser": user, "accessKey": pair.access_key_id, "secretKey": pair.secret_access_key}
        if description:
            body["description"] = description
        doing = f"create key {pair.access_key_id} of user {user}"
        made = self._http.call("PUT", "add-service-account", doing, body=body)
        if (made or {}).get("credentials", {}).get("accessKey") != pair.access_key_id:
            raise errors.ServerFaultError(f"failed to {doing}: the server made another key than it was given")
        return pair

    def make_own_key(self) -> Credentials:
        """See :class:`stowage.access.model.AccessDriver`."""
        pair = new_credentials()
        body = {"accessKey": pair.access_key_id, "secretKey": pair.secret_access_key}
        self._http.call("PUT", "add-service-account", "create a key of its own", body=body)
        return pair

    def set_key_enabled(self, key: AccessKey, enabled: bool, secret: str | None) -> None:
        """See :class:`stowage.access.model.AccessDriver`.

        Before rc.2 the root key may not change a service account; only one of the same parent may that also has
        ``admin:UpdateServiceAccount`` (service_account.rs, seen live on beta.5). So a helper key of that parent makes
        this one call, with that right attached to the parent for just so long.
        """
        if self._can("update_service_account"):
            self._update_key(self._http, key, enabled)
            return
        parent = self.user(key.parent)
        if parent is None or not parent.enabled:
            raise errors.RefusedError(
                f"key {key.access_key_id}: this RustFS lets only keys of its user {key.parent} change it, "
                f"and that user is {'disabled' if parent else 'lost'}"
            )
        with self._helper_of(key.parent) as http:
            self._update_key(http, key, enabled)

    def _update_key(self, http: SignedHttp, key: AccessKey, enabled: bool) -> None:
        http.call(
            "POST",
            "update-service-account",
            f"set status of key {key.access_key_id}",
            query={"accessKey": key.access_key_id},
            body={"newStatus": "on" if enabled else "off"},
        )

    @contextlib.contextmanager
    def _helper_of(self, user: str) -> Iterator[SignedHttp]:
        right = f"stowage-update-key-{new_credentials().access_key_id.lower()}"
        statement = {"Effect": "Allow", "Action": ["admin:UpdateServiceAccount"]}
        with contextlib.ExitStack() as undo:
            self.put_policy(right, {"Version": "2012-10-17", "Statement": [statement]})
            undo.callback(self.remove_policy, right)
            self.attach(user, frozenset({right}))
            undo.callback(self.detach, user, frozenset({right}))
            pair = self.create_key(user, None, "helper of stowage, to be removed at once")
            undo.callback(self.remove_key, AccessKey(pair.access_key_id, user))
            yield SignedHttp(self._settings.with_key(pair.access_key_id, pair.secret_access_key), _PREFIX)

    def remove_key(self, key: AccessKey) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        query = {"accessKey": key.access_key_id}
        self._http.call("DELETE", "delete-service-account", f"remove key {key.access_key_id}", query=query)

    # the server

    def quota(self, bucket: str) -> int | None:
        """See :class:`stowage.access.model.AccessDriver`."""
        found = self._http.call("GET", "get-bucket-quota", f"read quota of bucket {bucket}", query={"bucket": bucket})
        return int((found or {}).get("quota") or (found or {}).get("size") or 0) or None

    def set_quota(self, bucket: str, size: int | None) -> None:
        """See :class:`stowage.access.model.AccessDriver`."""
        doing = f"set quota of bucket {bucket}"
        body = {"quota": size or 0, "quotatype": "hard"}
        self._http.call("PUT", "set-bucket-quota", doing, query={"bucket": bucket}, body=body)

    def durability(self, bucket: str) -> str | None:
        """``strict``, ``relaxed``, ``none``, or ``inherited`` where the bucket leaves it to the server's own setting.

        Releases that have no such setting either sync everything or, up to beta.8, nothing (docs/quirks.md).
        """
        if not self._can("bucket_durability"):
            return None
        found = self._http.call("GET", f"bucket-durability/{bucket}", f"read durability of bucket {bucket}") or {}
        return str(found.get("mode") or "inherited")

    def set_durability(self, bucket: str, mode: str) -> None:
        """Set it, and look again.

        Raises:
            ServerFaultError: The server accepted the mode and shows another one.
        """
        doing = f"set durability of bucket {bucket}"
        self._http.call("PUT", f"bucket-durability/{bucket}", doing, body={"mode": mode})
        shown = self.durability(bucket)
        if shown != mode:
            raise errors.ServerFaultError(f"failed to {doing}: the server accepted {mode} but shows {shown}")

    def _can(self, capability: str) -> bool:
        if self._version is None:
            self._version = _version(self._admin_info())
        return rustfs_capabilities(self._version)[capability]

    def _admin_info(self) -> dict[str, Any]:
        return unwrapped_info(self._http.call("GET", "info", "ask the server about itself") or {})

    def targets(self) -> list[Target]:
        """The event targets with their state; empty when notifications are switched off."""
        try:
            found = self._http.call("GET", "target/list", "list event targets") or {}
        except errors.RefusedError:
            return []
        return [
            Target(f"arn:rustfs:sqs::{one['account_id']}:{one['service']}", one.get("status", "unknown"))
            for one in found.get("notification_endpoints") or []
        ]

    def info(self) -> ServerInfo:
        """See :class:`stowage.access.model.AccessDriver`."""
        ready = self._http.plain_status("/health/ready") == 200
        told = self._admin_info()
        version = _version(told)
        details: dict[str, Any] = {
            key: told.get(key) for key in ("mode", "region", "deploymentID", "backend") if key in told
        }
        details["drives"] = [
            drive.get("drive_path") or drive.get("endpoint")
            for server in told.get("servers") or []
            for drive in server.get("drives") or []
        ]
        return ServerInfo("rustfs", version, ready, rustfs_capabilities(version), tuple(self.targets()), details)


def unwrapped_info(answer: dict[str, Any]) -> dict[str, Any]:
    """What a server tells of itself: 1.0.0-rc.3 puts it below ``info``, beta.5 at the top."""
    inner = answer.get("info")
    return inner if isinstance(inner, dict) else answer


def _version(told: dict[str, Any]) -> str:
    """``<commit date>@<git tag or short commit>`` of the first server; /health can be wrong (facts/rustfs.md 5.2).

    A build from a checkout in which several tags name the commit carries all of them, one a line: the oldest is taken,
    so that nothing is relied on that may be missing.
    """
    servers = told.get("servers") or [{}]
    names = str(servers[0].get("version") or "unknown").rpartition("@")[2].split()
    return min(names, key=lambda name: parsed_version(name) or (99,))


def _user(name: str, told: dict[str, Any]) -> User:
    policies = frozenset(one for one in (told.get("policyName") or "").split(",") if one)
    return User(name, told.get("status") == "enabled", policies, tuple(told.get("memberOf") or ()))


def _key(access_key_id: str, told: dict[str, Any]) -> AccessKey:
    return AccessKey(
        access_key_id, told["parentUser"], told.get("accountStatus") == "on", told.get("description") or ""
    )
