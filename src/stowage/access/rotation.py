"""Rotation of an access key in four steps that can each be run again: created, verified, switched, retired.

Between the steps lies work that is not done here: after *created* the new pair goes into the vault, after *verified*
the programs get it. *switched* then turns the old key off, which is easily undone, and only *retired* removes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from stowage import errors
from stowage.access.keys import IfLost, KeyOutcome, WantedKey, make_key, reconcile_key
from stowage.access.model import AccessDriver, AccessKey, Credentials
from stowage.outcome import Difference

Step = Literal["created", "verified", "switched", "retired"]
STEPS = ("created", "verified", "switched", "retired")


@dataclass(frozen=True)
class Rotation:
    """One step of a rotation.

    Args:
        user: That owns both keys.
        old_id: Of the key that goes.
        pair: The new pair, when the caller has it; needed for every step but the first.
        description: Of the new key.
        if_lost: As for :class:`stowage.access.keys.WantedKey`, for the new key.
    """

    user: str
    old_id: str
    pair: Credentials | None
    description: str = ""
    if_lost: IfLost = "fail"


def rotate(
    driver: AccessDriver,
    rotation: Rotation,
    step: Step,
    verify: Callable[[Credentials], bool],
    *,
    check: bool = False,
) -> KeyOutcome:
    """Do one step, or find that it is done.

    Args:
        driver: The store.
        rotation: Which keys.
        step: What to reach.
        verify: Tells whether a pair signs.
        check: Only report.

    Returns:
        The outcome; ``credentials`` holds a pair that was made in this run.

    Raises:
        BadInputError: The new pair is missing, or is the old key.
        ConflictError: The new key does not sign, the old one is not off yet, or the user has
            further keys after it was removed.
    """
    if rotation.pair and rotation.pair.access_key_id == rotation.old_id:
        raise errors.BadInputError(f"rotation of key {rotation.old_id}: the new key has the same id")
    if step == "created":
        return _created(driver, rotation, verify, check)
    if rotation.pair is None:
        raise errors.BadInputError(
            f"rotation of key {rotation.old_id}: state {step} needs the new access_key_id and secret_access_key"
        )
    _must_sign(driver, rotation, rotation.pair, verify)
    if step == "verified":
        return KeyOutcome(rotation.pair.access_key_id, [], _state(rotation, step))
    old = driver.key(rotation.old_id, rotation.user)
    if old is not None and old.parent != rotation.user:
        raise errors.ConflictError(f"key {old.access_key_id} belongs to user {old.parent}, not to {rotation.user}")
    return _switched(driver, rotation, old, check) if step == "switched" else _retired(driver, rotation, old, check)


def _created(
    driver: AccessDriver, rotation: Rotation, verify: Callable[[Credentials], bool], check: bool
) -> KeyOutcome:
    wanted = WantedKey(rotation.user, pair=rotation.pair, description=rotation.description, if_lost=rotation.if_lost)
    if rotation.pair:
        return reconcile_key(driver, wanted, verify, check=check)
    others = [one for one in driver.keys_of(rotation.user) if one.access_key_id != rotation.old_id]
    return make_key(driver, wanted, others, check)


def _must_sign(
    driver: AccessDriver, rotation: Rotation, pair: Credentials, verify: Callable[[Credentials], bool]
) -> None:
    new = driver.key(pair.access_key_id, rotation.user)
    if new is None or new.parent != rotation.user or not new.enabled or not verify(pair):
        raise errors.ConflictError(
            f"rotation of key {rotation.old_id}: the new key {pair.access_key_id} of {rotation.user} does not work",
            "state: created makes it",
        )


def _switched(driver: AccessDriver, rotation: Rotation, old: AccessKey | None, check: bool) -> KeyOutcome:
    found = [Difference("status", "active", "inactive")] if old and old.enabled else []
    if old and found and not check:
        driver.set_key_enabled(old, False, None)
    return KeyOutcome(rotation.old_id, found, _state(rotation, "switched"))


def _retired(driver: AccessDriver, rotation: Rotation, old: AccessKey | None, check: bool) -> KeyOutcome:
    found = []
    if old is not None:
        found = _old_removed(driver, old, check)
    left = {one.access_key_id for one in driver.keys_of(rotation.user)} - ({rotation.old_id} if check else set())
    if further := sorted(left - {rotation.pair.access_key_id if rotation.pair else ""}):
        raise errors.ConflictError(
            f"rotation: user {rotation.user} still has the key {', '.join(further)} beside the new one",
            "s3_key_rotation with phase: retired removes every key of a user but the declared one",
        )
    return KeyOutcome(rotation.old_id, found, _state(rotation, "retired"))


def _old_removed(driver: AccessDriver, old: AccessKey, check: bool) -> list[Difference]:
    if old.enabled:
        raise errors.ConflictError(
            f"rotation: the old key {old.access_key_id} is still active, so something may use it",
            "state: switched turns it off first; watch that nothing breaks, then retire it",
        )
    if not check:
        driver.remove_key(old)
    return [Difference("key", "inactive", None)]


def _state(rotation: Rotation, step: Step) -> dict[str, object]:
    new = rotation.pair.access_key_id if rotation.pair else None
    return {"state": step, "user": rotation.user, "access_key_id": new, "old_access_key_id": rotation.old_id}
