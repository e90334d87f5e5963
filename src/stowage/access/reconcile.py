"""Make a store's policies and users what was declared: read, compare, and (outside check mode) change.

The comparison is done once, by a pure function; its list of differences is both what is reported and what is applied.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stowage import errors
from stowage.access import policies as rules_of_policies
from stowage.access.driver_iam import INLINE
from stowage.access.model import USER_STATUS, AccessDriver, AccessKey, Document, User
from stowage.outcome import Difference, Outcome


def reconcile_policy(
    driver: AccessDriver,
    name: str,
    document: Document | str | None,
    *,
    check: bool = False,
    spelling: bool = True,
) -> Outcome:
    """Make a policy mean what its document says, or make it be gone.

    Args:
        driver: The store.
        name: Of the policy.
        document: As written by a person; ``None`` removes the policy.
        check: Only report.
        spelling: Refuse action names the server does not know; switch off for a server newer than our list.

    Returns:
        The outcome; ``state["document"]`` is the document in canonical form, ``None`` when absent.

    Raises:
        BadInputError: The document would be refused, or grant something else than it seems to.
        ConflictError: To be removed and still attached.
        ServerFaultError: The server stored something else than it was given.
    """
    checked_name(name, "policy")
    wanted = None if document is None else rules_of_policies.parsed(document, name)
    # Asked first: by its answer an IAM server may be known, and with it the rules.
    current = driver.policy(name)
    if wanted is not None:
        rules_of_policies.check(wanted, name, driver.actions, spelling=spelling)
    differences = rules_of_policies.plan_policy(current, wanted, driver.actions)
    if differences and not check:
        if wanted is None:
            driver.remove_policy(name)
        else:
            driver.put_policy(name, rules_of_policies.sendable(wanted, driver.actions))
        _read_back(driver, name, wanted)
    state = None if wanted is None else rules_of_policies.canonical(wanted, driver.actions)
    return Outcome(name, differences, {"state": "absent" if wanted is None else "present", "document": state})


def _read_back(driver: AccessDriver, name: str, wanted: Document | None) -> None:
    """A server may answer 200 and keep something else, or nothing (facts/qatlasd.md 4.2)."""
    stored = driver.policy(name)
    left = rules_of_policies.plan_policy(stored, wanted, driver.actions)
    if left:
        what = "nothing" if stored is None else str(left[0].before)
        raise errors.ServerFaultError(f"policy {name}: the server accepted the document but stored {what}")


@dataclass(frozen=True)
class WantedUser:
    """A user as declared; ``None`` leaves that side alone.

    Args:
        name: Of the user.
        present: ``False`` removes the user with its keys.
        enabled: Whether it may come in.
        policies: Names of policies.
        exact: Whether other policies are taken away (``exact``) or left (``at_least``).
    """

    name: str
    present: bool = True
    enabled: bool | None = None
    policies: frozenset[str] | None = None
    exact: bool = True


def plan_user(current: User | None, wanted: WantedUser, orphaned: Iterable[AccessKey] = ()) -> list[Difference]:
    """What must change so that a user is as declared. Pure.

    Args:
        current: As the store shows it, ``None`` when it has no such user.
        wanted: As declared.
        orphaned: Keys that name this user as their parent though the user's record is lost.
    """
    left = sorted(one.access_key_id for one in orphaned)
    lost = f"record lost, keys left: {', '.join(left)}" if left else None
    if not wanted.present:
        there = "present" if current else lost
        return [Difference("user", there, None)] if there else []
    found = []
    if current is None:
        found.append(Difference("user", lost, "present"))
        current = User(wanted.name)
    if wanted.enabled is not None and wanted.enabled != current.enabled:
        found.append(Difference("status", _status(current.enabled), _status(wanted.enabled)))
    if wanted.policies is not None:
        after = wanted.policies if wanted.exact else wanted.policies | current.policies
        if after != current.policies:
            found.append(Difference("policies", sorted(current.policies), sorted(after)))
    return found


def reconcile_user(driver: AccessDriver, wanted: WantedUser, *, check: bool = False) -> Outcome:
    """Make a user what was declared.

    Returns:
        The outcome; ``state`` has ``status``, ``policies`` and ``groups``.

    Raises:
        NotFoundError: A policy to attach does not exist.
        RefusedError: The store can not disable users.
    """
    checked_name(wanted.name, "user")
    current = driver.user(wanted.name)
    orphaned = driver.keys_of(wanted.name) if current is None else []
    differences = plan_user(current, wanted, orphaned)
    fields = {one.field: one for one in differences}
    if "status" in fields and USER_STATUS not in driver.features:
        raise errors.RefusedError(
            f"user {wanted.name}: IAM can not disable or enable a user", "give its keys status: inactive instead"
        )
    warnings = _policies_that_are_missing(driver, wanted, fields, check)
    if not check:
        _apply_user(driver, wanted, current, fields)
        for key in [] if wanted.present else orphaned:
            driver.remove_key(key)
        if differences:
            _read_user_back(driver, wanted)
    if not wanted.present:
        return Outcome(wanted.name, differences, {"state": "absent"}, warnings)
    had = current or User(wanted.name)
    after = fields["policies"].after if "policies" in fields else sorted(had.policies)
    enabled = had.enabled if wanted.enabled is None else wanted.enabled
    state = {"state": "present", "status": _status(enabled), "policies": after, "groups": list(had.groups)}
    if had.groups and wanted.policies is not None and wanted.exact:
        warnings.append(
            f"user {wanted.name} is in group {', '.join(had.groups)}: it also has that group's rights, "
            "and on RustFS 1.0.0-beta.5 none at all while the group is disabled"
        )
    if orphaned:
        warnings.append(
            f"user {wanted.name}: its record was lost while {len(orphaned)} of its keys remained; "
            "made again, the keys work again unchanged"
        )
    return Outcome(wanted.name, differences, state, warnings)


def _policies_that_are_missing(
    driver: AccessDriver, wanted: WantedUser, fields: dict[str, Difference], check: bool
) -> list[str]:
    if "policies" not in fields or not wanted.policies:
        return []
    added = set(fields["policies"].after) - set(fields["policies"].before)
    missing = sorted(name for name in added if driver.policy(name) is None)
    if not missing:
        return []
    text = f"user {wanted.name}: no policy {', '.join(missing)} on the server"
    if not check:
        raise errors.NotFoundError(text, "create it first with s3_policy")
    # In check mode an earlier task may have only predicted the policy, so this is no failure there.
    return [f"{text} (yet)"]


def _apply_user(driver: AccessDriver, wanted: WantedUser, current: User | None, fields: dict[str, Difference]) -> None:
    if not wanted.present:
        if current:
            driver.remove_user(wanted.name)
        return
    if "user" in fields:
        driver.create_user(wanted.name)
    if "policies" in fields:
        before, after = (frozenset(one) for one in (fields["policies"].before, fields["policies"].after))
        # A re-made user may have kept its old attachments: what is really attached is asked for again.
        really = (driver.user(wanted.name) or User(wanted.name)).policies if "user" in fields else before
        if added := after - really:
            driver.attach(wanted.name, added)
        if wanted.exact and (removed := really - after):
            driver.detach(wanted.name, removed)
    if "status" in fields:
        driver.set_user_enabled(wanted.name, bool(wanted.enabled))


def _read_user_back(driver: AccessDriver, wanted: WantedUser) -> None:
    left = plan_user(driver.user(wanted.name), wanted)
    if left:
        shown = "; ".join(f"{one.field} is {one.before}, not {one.after}" for one in left)
        raise errors.ServerFaultError(f"user {wanted.name}: the server accepted the change but holds another: {shown}")


def _status(enabled: bool) -> str:
    return "enabled" if enabled else "disabled"


def checked_name(name: str, kind: str) -> str:
    """A name that no store mangles.

    Raises:
        BadInputError: Empty, surrounded by space, or holding a character that stores split or refuse names at.
    """
    wrong = sorted({repr(char) for char in name if char in ",=/\\" or char.isspace() or not char.isprintable()})
    if not name or wrong or name.startswith(INLINE):
        why = f"holds {' '.join(wrong)}" if wrong else "is empty or reserved"
        raise errors.BadInputError(f"{kind} name {name!r} {why}", "use letters, digits and . _ - @ +")
    return name
