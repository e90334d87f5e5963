"""What every store calls by another name: users, keys, policies. And the interface its driver fills."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from typing import Any, Protocol

from stowage.access.actions import ActionRules

Document = dict[str, Any]

# What a driver may be able to do; tested with ``"x" in driver.features``.
CHOSEN_KEYS = "chosen_keys"  # the caller chooses both halves of a key pair
USER_STATUS = "user_status"  # a user can be disabled
QUOTA = "quota"  # a bucket can be given a size limit
DURABILITY = "durability"  # a bucket says what is synced to disk before a write is acknowledged
NOTIFICATIONS = "notifications"  # buckets can be bound to event targets
KEY_LABELS = "key_labels"  # a key has a name and a description


@dataclass(frozen=True)
class User:
    """A user as the store shows it. ``policies`` are names; an inline policy of IAM appears as ``inline:NAME``."""

    name: str
    enabled: bool = True
    policies: frozenset[str] = frozenset()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class AccessKey:
    """An access key as the store shows it: never its secret."""

    access_key_id: str
    parent: str
    enabled: bool = True
    description: str = ""


@dataclass(frozen=True)
class Credentials:
    """A key pair; the secret is never shown by ``repr``."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True)
class Target:
    """A place events are sent to: ``arn`` binds it, ``status`` is ``online``, ``offline`` or ``unknown``."""

    arn: str
    status: str


@dataclass(frozen=True)
class ServerInfo:
    """What a server tells of itself; ``ready`` is ``None`` when it has no way to say."""

    product: str
    version: str | None
    ready: bool | None
    capabilities: dict[str, bool] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


class AccessDriver(Protocol):
    """One store's way to keep users, keys and policies.

    Every method raises :class:`stowage.errors.StowageError` and answers "is it there" with ``None`` or an empty
    result, never with an exception.
    """

    name: str
    features: frozenset[str]

    @property
    def actions(self) -> ActionRules:
        """What the server accepts in a policy, as far as it is known by now."""

    def policies(self) -> dict[str, Document]:
        """All policies that people made or may change, by name."""

    def policy(self, name: str) -> Document | None:
        """One policy's document."""

    def put_policy(self, name: str, document: Document) -> None:
        """Store a document under a name, over whatever is there."""

    def remove_policy(self, name: str) -> None:
        """Remove a policy; a policy still attached is a ``ConflictError``."""

    def users(self) -> dict[str, User]:
        """All users by name, without the root key."""

    def user(self, name: str) -> User | None:
        """One user."""

    def create_user(self, name: str) -> None:
        """Make an enabled user without rights and without a known secret."""

    def set_user_enabled(self, name: str, enabled: bool) -> None:
        """Let a user and its keys in, or not."""

    def remove_user(self, name: str) -> None:
        """Remove a user with its keys and attachments."""

    def attach(self, user: str, policies: frozenset[str]) -> None:
        """Give a user more policies."""

    def detach(self, user: str, policies: frozenset[str]) -> None:
        """Take policies from a user."""

    def keys_of(self, user: str) -> list[AccessKey]:
        """The keys of one user, also when the user's own record is lost."""

    def key(self, access_key_id: str, likely_parent: str) -> AccessKey | None:
        """One key, whoever owns it; ``likely_parent`` is asked first."""

    def create_key(self, user: str, wanted: Credentials | None, description: str) -> Credentials:
        """Make a key for a user: the wanted pair, or a new one."""

    def make_own_key(self) -> Credentials:
        """Make a further key of whoever signs: what a thief would try. Nothing else calls this."""

    def set_key_enabled(self, key: AccessKey, enabled: bool, secret: str | None) -> None:
        """Switch a key on or off; some servers can only make it again, which takes its secret."""

    def remove_key(self, key: AccessKey) -> None:
        """Remove a key."""

    def quota(self, bucket: str) -> int | None:
        """The size limit of a bucket in bytes; ``None`` when there is none."""

    def set_quota(self, bucket: str, size: int | None) -> None:
        """Limit a bucket to ``size`` bytes, or lift the limit."""

    def durability(self, bucket: str) -> str | None:
        """What is synced before a write of a bucket is acknowledged; ``None`` when the server has no such setting."""

    def set_durability(self, bucket: str, mode: str) -> None:
        """Set it; only where :meth:`durability` answered something."""

    def targets(self) -> list[Target]:
        """The places events can be sent to, as far as the server tells."""

    def info(self) -> ServerInfo:
        """What the server tells of itself."""


class EmptyDriver:
    """A store in which nothing exists yet: what check mode predicts from when a fresh site has no server.

    Reading finds nothing; writing never happens, since it serves check mode only.
    """

    name = "empty"

    def __init__(self, actions: ActionRules, features: frozenset[str]) -> None:
        self.actions = actions
        self.features = features

    def __getattr__(self, method: str) -> Any:
        empty: dict[str, Any] = {
            "policies": {},
            "users": {},
            "keys_of": [],
            "policy": None,
            "user": None,
            "key": None,
            "quota": None,
            "durability": None,
        }
        if method in empty:
            return lambda *_args, **_named: empty[method]
        raise AttributeError(f"{method} on a store that is only assumed")


def new_credentials() -> Credentials:
    """A fresh pair within the limits of every store: 20 characters for the id, 40 for the secret."""
    letters = string.ascii_uppercase + string.digits
    access_key_id = "SK" + "".join(secrets.choice(letters) for _ in range(18))
    # Letters and digits only: a secret with / + @ breaks tools that build URLs from it (facts/qatlasd.md 4.1).
    mixed = string.ascii_letters + string.digits
    return Credentials(access_key_id, "".join(secrets.choice(mixed) for _ in range(40)))
