"""Access keys as code: a declared pair is verified or made, an undeclared one is made once and returned once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from stowage import errors
from stowage.access.model import CHOSEN_KEYS, AccessDriver, AccessKey, Credentials
from stowage.access.reconcile import checked_name
from stowage.outcome import Difference, Outcome
from stowage.s3.connection import S3Settings, engine_errors, s3_client

IfLost = Literal["fail", "replace"]

# Limits of RustFS and MinIO service accounts (facts/rustfs.md 1.8); AWS generates within them.
_ID_LENGTH = (3, 128)
_SECRET_LENGTH = (8, 40)


@dataclass(frozen=True)
class WantedKey:
    """A key as declared.

    Args:
        user: Its parent.
        pair: Both halves, when the caller holds them.
        access_key_id: The id alone, enough to remove a key or set its status.
        present: ``False`` removes it.
        enabled: Whether it lets anybody in; ``None`` leaves that alone.
        description: Kept where the store can.
        if_lost: What to do when the secret is lost: the user has keys but the caller holds none, or holds a wrong one,
            or the declared key is gone from a store that takes no chosen pair.
    """

    user: str
    pair: Credentials | None = None
    access_key_id: str | None = None
    present: bool = True
    enabled: bool | None = None
    description: str = ""
    if_lost: IfLost = "fail"

    @property
    def key_id(self) -> str | None:
        """The declared id, from the pair or alone."""
        return self.pair.access_key_id if self.pair else self.access_key_id


@dataclass
class KeyOutcome(Outcome):
    """An outcome that may carry a pair that was just made."""

    credentials: Credentials | None = field(default=None, repr=False)


def signs(settings: S3Settings, pair: Credentials) -> bool:
    """Whether the server takes this pair's signature, whatever the key may then do.

    Raises:
        StowageError: The server was not reached, or failed.
    """
    client = s3_client(settings.with_key(pair.access_key_id, pair.secret_access_key))
    try:
        with engine_errors("sign with the key", settings.endpoint):
            client.list_buckets()
    except errors.AuthError as error:
        # AccessDenied comes after the signature was found right; the other refusals come before.
        return "AccessDenied" in error.message
    return True


def reconcile_key(
    driver: AccessDriver, wanted: WantedKey, verify: Callable[[Credentials], bool], *, check: bool = False
) -> KeyOutcome:
    """Make a user's key what was declared.

    Args:
        driver: The store.
        wanted: The declaration.
        verify: Tells whether a pair signs; :func:`signs` with the store's settings.
        check: Only report.

    Returns:
        The outcome; ``credentials`` is set only when a pair was made here that the caller does not hold.

    Raises:
        NotFoundError: No such user to make a key for.
        ConflictError: The key belongs to another user, or its secret is not the declared one, or the user has keys of
            which the caller holds none.
        RefusedError: The store takes no chosen pairs.
    """
    checked_name(wanted.user, "user")
    _check_pair(wanted)
    if not wanted.present:
        return _removed(driver, wanted, check)
    key = driver.key(wanted.key_id, wanted.user) if wanted.key_id else None
    if key is None:
        return _made(driver, wanted, check)
    if key.parent != wanted.user:
        raise errors.ConflictError(
            f"key {key.access_key_id} belongs to user {key.parent}, declared for {wanted.user}",
            "declare it for its owner, or choose another access_key_id",
        )
    return _kept(driver, wanted, key, verify, check)


def _check_pair(wanted: WantedKey) -> None:
    if wanted.pair is None:
        return
    for what, text, (least, most) in (
        ("access_key_id", wanted.pair.access_key_id, _ID_LENGTH),
        ("secret_access_key", wanted.pair.secret_access_key, _SECRET_LENGTH),
    ):
        if not least <= len(text.encode()) <= most:
            raise errors.BadInputError(
                f"{what} of user {wanted.user} has {len(text.encode())} bytes, must have {least} to {most}"
            )


def _removed(driver: AccessDriver, wanted: WantedKey, check: bool) -> KeyOutcome:
    if wanted.key_id is None:
        raise errors.BadInputError(f"state absent of a key of user {wanted.user} needs its access_key_id")
    key = driver.key(wanted.key_id, wanted.user)
    state = {"state": "absent", "user": wanted.user, "access_key_id": wanted.key_id}
    if key is None:
        return KeyOutcome(wanted.key_id, [], state)
    if key.parent != wanted.user:
        raise errors.ConflictError(f"key {wanted.key_id} belongs to user {key.parent}, not to {wanted.user}")
    if not check:
        driver.remove_key(key)
    return KeyOutcome(wanted.key_id, [Difference("key", _shown(key.enabled, key.parent), None)], state)


def _made(driver: AccessDriver, wanted: WantedKey, check: bool) -> KeyOutcome:
    """The declared key is not there, or none was declared."""
    if wanted.pair is None and wanted.access_key_id:
        raise errors.NotFoundError(
            f"user {wanted.user} has no key {wanted.access_key_id}",
            "give secret_access_key too to have it made, or leave both out to have a new pair returned",
        )
    return make_key(driver, wanted, [] if wanted.pair else driver.keys_of(wanted.user), check)


def make_key(driver: AccessDriver, wanted: WantedKey, in_the_way: list[AccessKey], check: bool) -> KeyOutcome:
    """Make a key: the declared pair where the store takes it, else a new one.

    Args:
        driver: The store.
        wanted: The declaration.
        in_the_way: Keys of the user that an undeclared one would stand beside though the caller holds none of them.
        check: Only report.

    Raises:
        ConflictError: Such keys exist, and replacing them was not asked for.
        NotFoundError: No such user.
        RefusedError: The store takes no chosen pair, and replacing it was not asked for.
    """
    warnings: list[str] = []
    if wanted.pair and CHOSEN_KEYS not in driver.features:
        if wanted.if_lost == "fail":
            raise errors.RefusedError(
                f"key {wanted.key_id} of user {wanted.user} is not there, and this store never takes a chosen pair",
                "leave access_key_id and secret_access_key out to have a pair made and returned once, "
                "or on_lost_secret: replace",
            )
        warnings.append(f"key {wanted.key_id} of user {wanted.user} is gone; another pair takes its place: store it")
        wanted = dataclasses.replace(wanted, pair=None)
    elif in_the_way and wanted.if_lost == "fail":
        names = ", ".join(sorted(one.access_key_id for one in in_the_way))
        raise errors.ConflictError(
            f"user {wanted.user} already has the key {names}, and no access_key_id was given for it",
            "give access_key_id and secret_access_key from where the first run stored them, or "
            "on_lost_secret: replace to make a new pair and remove the old",
        )
    if driver.user(wanted.user) is None and not check:
        raise errors.NotFoundError(f"no user {wanted.user} to make a key for", "create it first with s3_user")
    enabled = wanted.enabled is not False
    before = [_shown(one.enabled, one.parent, one.access_key_id) for one in in_the_way] or None
    name = wanted.key_id or "(to be made)"
    made: Credentials | None = None
    if not check:
        made = driver.create_key(wanted.user, wanted.pair, wanted.description)
        name = made.access_key_id
        if not enabled:
            driver.set_key_enabled(AccessKey(name, wanted.user), False, made.secret_access_key)
        for old in in_the_way:
            driver.remove_key(old)
    state = _state(wanted.user, made.access_key_id if made else wanted.key_id, enabled)
    return KeyOutcome(
        name,
        [Difference("key", before, _shown(enabled, wanted.user, name))],
        state,
        warnings,
        credentials=made if wanted.pair is None else None,
    )


def _kept(
    driver: AccessDriver, wanted: WantedKey, key: AccessKey, verify: Callable[[Credentials], bool], check: bool
) -> KeyOutcome:
    """The key is there: its secret and its status are looked at."""
    found: list[Difference] = []
    warnings: list[str] = []
    enabled = key.enabled if wanted.enabled is None else wanted.enabled
    secret = wanted.pair.secret_access_key if wanted.pair else None
    # A key that is switched off can not show whether its secret is right.
    if wanted.pair and key.enabled and not verify(wanted.pair):
        owner = driver.user(wanted.user)
        if owner is not None and not owner.enabled:
            warnings.append(f"key {key.access_key_id}: not verified, its user {wanted.user} is disabled")
        elif wanted.if_lost == "replace" and CHOSEN_KEYS in driver.features:
            found.append(Difference("secret_access_key", "another one", "the declared one"))
        else:
            raise errors.ConflictError(
                f"key {key.access_key_id} of user {wanted.user} has another secret than the declared secret_access_key",
                "correct the secret, or on_lost_secret: replace to make the key again with the declared one",
            )
    if enabled != key.enabled:
        found.append(Difference("status", _status(key.enabled), _status(enabled)))
    fields = {one.field for one in found}
    if not check:
        if "secret_access_key" in fields:
            driver.remove_key(key)
            driver.create_key(wanted.user, wanted.pair, wanted.description)
        if "status" in fields:
            driver.set_key_enabled(key, enabled, secret)
        if "status" in fields and enabled and wanted.pair and not verify(wanted.pair):
            raise errors.ConflictError(
                f"key {key.access_key_id} was switched on, but the declared secret does not sign"
            )
    return KeyOutcome(key.access_key_id, found, _state(key.parent, key.access_key_id, enabled), warnings)


def _state(user: str, key_id: str | None, enabled: bool) -> dict[str, object]:
    return {"state": "present", "user": user, "access_key_id": key_id, "status": _status(enabled)}


def _shown(enabled: bool, user: str, key_id: str | None = None) -> dict[str, str]:
    shown = {"user": user, "status": _status(enabled)}
    return {**shown, "access_key_id": key_id} if key_id else shown


def _status(enabled: bool) -> str:
    return "active" if enabled else "inactive"
