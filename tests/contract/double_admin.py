"""The access half of the RustFS double: users, keys and policies, with the answers that RustFS 1.0.0-beta.5 gives.

A double, not a server: it shows what contract tests also showed on the real one (docs/quirks.md), and nothing more.
"""

from __future__ import annotations

import fnmatch
import json
import random
from dataclasses import dataclass, field
from typing import Any

from stowage.access.actions import RUSTFS_S3


class RefusedError(Exception):
    """An error answer: status, code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Account:
    """A user, or with a parent a service account."""

    secret: str
    enabled: bool = True
    policies: list[str] = field(default_factory=list)
    parent: str | None = None
    description: str | None = None


def _normalised(document: dict[str, Any]) -> dict[str, Any]:
    """As the server gives a document back: arrays in random order, empty fields injected."""

    def shuffled(value: Any) -> list[Any]:
        items = list(dict.fromkeys(value if isinstance(value, list) else [value]))
        random.shuffle(items)
        return items

    statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    made = []
    for one in statements:
        statement = {
            "Sid": one.get("Sid", ""),
            "Effect": one["Effect"],
            "Action": ["s3:*" if name == "*" else name for name in shuffled(one["Action"])],
        }
        if "Resource" in one:
            statement["Resource"] = shuffled(one["Resource"])
        made.append({**statement, "Condition": one.get("Condition", {})})
    return {"ID": document.get("ID", ""), "Version": document["Version"], "Statement": made}


class Access:
    """Accounts and policies, and who may do what."""

    def __init__(self, root: str, secret: str) -> None:
        self.root = root
        self.accounts = {root: Account(secret)}
        self.policies: dict[str, dict[str, Any]] = {}
        self.quotas: dict[str, int] = {}

    # who may what

    def allowed(self, access_key: str, action: str, resource: str) -> bool:
        """Deny beats allow; a service account has the rights its parent has at this moment."""
        if access_key == self.root:
            return True
        account = self.accounts[access_key]
        owner = self.accounts.get(account.parent) if account.parent else account
        if owner is None or not owner.enabled:
            return False
        effects = set()
        for name in owner.policies:
            for one in self.policies.get(name, {}).get("Statement", []):
                actions = one["Action"] if isinstance(one["Action"], list) else [one["Action"]]
                found = one.get("Resource", [])
                resources = found if isinstance(found, list) else [found]
                fits = any(fnmatch.fnmatchcase(action, pattern) for pattern in actions)
                if fits and (not resources or any(fnmatch.fnmatchcase(resource, pattern) for pattern in resources)):
                    effects.add(one["Effect"])
        return effects == {"Allow"}

    # the admin API

    def call(self, caller: str, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """One admin call; the path is below ``/rustfs/admin/v3/``."""
        name = f"_{method}_{path.replace('/', '_').replace('-', '_')}".lower()
        handler = getattr(self, name, None)
        if handler is None:
            raise RefusedError(501, "NotImplemented", f"no {method} {path}")
        if caller != self.root and path != "update-service-account":
            raise RefusedError(403, "AccessDenied", "access denied")
        return handler(caller, query, body or {})

    def _get_list_canned_policies(self, _caller: str, _query: dict[str, str], _body: Any) -> Any:
        return {name: _normalised(one) for name, one in self.policies.items()}

    def _put_add_canned_policy(self, _caller: str, query: dict[str, str], body: Any) -> None:
        if not body.get("Version"):
            raise RefusedError(400, "InvalidRequest", "policy version is empty")
        for one in body["Statement"] if isinstance(body["Statement"], list) else [body["Statement"]]:
            for action in one["Action"] if isinstance(one["Action"], list) else [one["Action"]]:
                if action not in RUSTFS_S3 and action not in ("*", "s3:*") and not action.startswith("admin:"):
                    raise RefusedError(400, "InvalidRequest", f"io error: invalid action: invalid action: '{action}'")
            resources = one.get("Resource", [])
            for resource in resources if isinstance(resources, list) else [resources]:
                if not resource.startswith("arn:aws:s3:::"):
                    raise RefusedError(400, "InvalidRequest", f"io error: invalid resource, pattern: '{resource}'")
        self.policies[query["name"]] = json.loads(json.dumps(body))

    def _delete_remove_canned_policy(self, _caller: str, query: dict[str, str], _body: Any) -> None:
        name = query["name"]
        if name not in self.policies or any(name in one.policies for one in self.accounts.values()):
            raise RefusedError(500, "InternalError", "delete policy err")
        del self.policies[name]

    def _get_idp_builtin_policy_policy_entities(self, _caller: str, query: dict[str, str], _body: Any) -> Any:
        holders = [name for name, one in self.accounts.items() if query["policy"] in one.policies]
        return {"policyMappings": [{"policy": query["policy"], "users": holders}]} if holders else {}

    _get_idp_builtin_policy_entities = _get_idp_builtin_policy_policy_entities

    def _get_list_users(self, _caller: str, _query: dict[str, str], _body: Any) -> Any:
        return {
            name: {
                "status": "enabled" if one.enabled else "disabled",
                **({"policyName": ",".join(one.policies)} if one.policies else {}),
            }
            for name, one in self.accounts.items()
            if name != self.root and one.parent is None
        }

    def _user(self, name: str, status: int = 500, text: str = "user does not exist") -> Account:
        found = self.accounts.get(name)
        if found is None or found.parent is not None or name == self.root:
            raise RefusedError(status, "InternalError" if status == 500 else "InvalidArgument", text)
        return found

    def _put_add_user(self, _caller: str, query: dict[str, str], body: Any) -> None:
        name = query["accessKey"]
        if len(name) < 3:
            raise RefusedError(500, "InternalError", "create_user err invalid access key length")
        kept = self.accounts.get(name, Account("")).policies
        self.accounts[name] = Account(body["secretKey"], body["status"] == "enabled", kept)

    def _put_set_user_status(self, _caller: str, query: dict[str, str], _body: Any) -> None:
        self._user(query["accessKey"]).enabled = query["status"] == "enabled"

    def _delete_remove_user(self, _caller: str, query: dict[str, str], _body: Any) -> None:
        self._user(query["accessKey"])
        gone = query["accessKey"]
        self.accounts = {name: one for name, one in self.accounts.items() if name != gone and one.parent != gone}

    def _post_idp_builtin_policy_attach(self, _caller: str, _query: dict[str, str], body: Any) -> Any:
        user = self._user(body["user"], 400, "user not exist")
        if missing := [one for one in body["policies"] if one not in self.policies]:
            raise RefusedError(500, "InternalError", f"policy does not exist: {missing}")
        user.policies += [one for one in body["policies"] if one not in user.policies]
        return {"policiesAttached": body["policies"]}

    def _post_idp_builtin_policy_detach(self, _caller: str, _query: dict[str, str], body: Any) -> Any:
        user = self._user(body["user"], 400, "user not exist")
        user.policies = [one for one in user.policies if one not in body["policies"]]
        return {"policiesDetached": body["policies"]}

    def _key(self, name: str, status: int = 404, code: str = "NoSuchResource") -> Account:
        found = self.accounts.get(name)
        if found is None or found.parent is None:
            raise RefusedError(status, code, f"service account '{name}' does not exist")
        return found

    @staticmethod
    def _told(one: Account) -> dict[str, Any]:
        return {
            "parentUser": one.parent,
            "accountStatus": "on" if one.enabled else "off",
            "impliedPolicy": True,
            **({"description": one.description} if one.description else {}),
        }

    def _get_list_service_accounts(self, _caller: str, query: dict[str, str], _body: Any) -> Any:
        owner = query.get("user")
        found = {name: one for name, one in self.accounts.items() if one.parent and one.parent == owner}
        return {"accounts": [{**self._told(one), "accessKey": name, "expiration": None} for name, one in found.items()]}

    def _get_info_service_account(self, _caller: str, query: dict[str, str], _body: Any) -> Any:
        found = self.accounts.get(query["accessKey"])
        if found is not None and found.parent is None:
            raise RefusedError(500, "InternalError", "get service account failed")
        return self._told(self._key(query["accessKey"]))

    def _put_add_service_account(self, _caller: str, _query: dict[str, str], body: Any) -> Any:
        owner = self.accounts.get(body["targetUser"])
        if owner is None or owner.parent is not None:
            raise RefusedError(400, "InvalidRequest", "target user not exist")
        name, secret = body["accessKey"], body["secretKey"]
        if name in self.accounts and self.accounts[name].parent is not None:
            raise RefusedError(500, "InternalError", "create service account failed, e: IAMActionNotAllowed")
        self.accounts[name] = Account(secret, parent=body["targetUser"], description=body.get("description"))
        return {"credentials": {"accessKey": name, "secretKey": secret}}

    def _post_update_service_account(self, caller: str, query: dict[str, str], body: Any) -> None:
        """Beta.5: not even root, only a sibling that has the right."""
        target = self.accounts.get(query["accessKey"])
        me = self.accounts[caller]
        may = self.allowed(caller, "admin:UpdateServiceAccount", "")
        if not may or target is None or (me.parent or caller) != target.parent:
            raise RefusedError(403, "AccessDenied", "access denied")
        if "newStatus" in body:
            target.enabled = body["newStatus"] == "on"

    def _delete_delete_service_account(self, _caller: str, query: dict[str, str], _body: Any) -> None:
        self._key(query["accessKey"], 400, "InvalidRequest")
        del self.accounts[query["accessKey"]]

    def _get_get_bucket_quota(self, _caller: str, query: dict[str, str], _body: Any) -> Any:
        return {"quota": self.quotas.get(query["bucket"], 0), "quotatype": "hard"}

    def _put_set_bucket_quota(self, _caller: str, query: dict[str, str], body: Any) -> None:
        self.quotas[query["bucket"]] = body["quota"]

    def _get_info(self, _caller: str, _query: dict[str, str], _body: Any) -> Any:
        return {"mode": "online", "servers": [{"state": "online", "version": "2026-05-26T18:49:42Z@1.0.0-beta.5"}]}
