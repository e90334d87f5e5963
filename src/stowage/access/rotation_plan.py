"""What a site's rotation does next: decisions over plain data and a clock.

A key that a program used may live on after its successor took over, because links that it signed die with it. So the
record of a rotation says which key it was and since when no program uses it any more. Every other key of the user that
the vault does not name is a stranger: on SeaweedFS whoever holds a key makes further ones of the same user with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Entry:
    """The rotation of one user's key that is under way, or was the last.

    Args:
        new: Id of the key that was made.
        old: Id of the key before it; empty when there was none.
        switched: Since when all programs have the new one; ``None`` while that is not sure.
    """

    new: str
    old: str
    switched: datetime | None = None


@dataclass(frozen=True)
class Held:
    """One user's key as the vault and the store have it.

    Args:
        user: That owns the key.
        vault_id: Id that the vault names; empty when it names none.
        listed: Ids of the user's keys at the store, each with whether it lets anybody in.
        entry: The record of a rotation; ``None`` when there is none.
        link_seconds: Longest life of a link that the key signs; 0 when it signs none.
    """

    user: str
    vault_id: str
    listed: Mapping[str, bool]
    entry: Entry | None
    link_seconds: int

    @property
    def under_way(self) -> Entry | None:
        """The record, as long as the vault still names the key that it speaks of."""
        return self.entry if self.entry and self.vault_id and self.entry.new == self.vault_id else None

    def lives_until(self, clock: datetime) -> datetime | None:
        """When the last link that the old key signed has died; ``None`` when there is nothing to wait for."""
        entry = self.under_way
        if not entry or entry.old not in self.listed or not self.link_seconds:
            return None
        end = (entry.switched or clock) + timedelta(seconds=self.link_seconds)
        return end if end > clock else None


def needs_new_key(held: Held, clock: datetime, *, at_once: bool) -> bool:
    """Say whether a rotation makes a key for this user.

    It makes none where an interrupted rotation already did, and none while an older key still waits for its links.

    Args:
        held: The user's keys.
        clock: Now.
        at_once: The old key leaked: nothing of it is to live on, so a key that was made before that was known goes too.
    """
    entry = held.under_way
    if at_once or entry is None or held.vault_id not in held.listed:
        return True
    return entry.switched is not None and held.lives_until(clock) is None


def strangers(held: Held, clock: datetime, *, at_once: bool) -> frozenset[str]:
    """Return the ids that must go: all but the vault's, and but an old one whose links still live.

    Args:
        held: The user's keys.
        clock: Now.
        at_once: Links that the old key signed are not waited for.
    """
    kept = {held.vault_id}
    if not at_once and held.lives_until(clock) and held.under_way:
        kept.add(held.under_way.old)
    return frozenset(held.listed) - kept


def faults(held: Held, clock: datetime) -> list[str]:
    """Say in lines what is wrong with the keys of a user while nothing is being rotated.

    A key that is switched off lets nobody in and is no fault.

    Args:
        held: The user's keys.
        clock: Now.
    """
    if not held.vault_id:
        return []
    found = []
    if not held.listed.get(held.vault_id, False):
        found.append(f"user {held.user}: the store has no working key {held.vault_id}, which the vault names")
    for one in sorted(strangers(held, clock, at_once=False)):
        if not held.listed[one]:
            continue
        if held.under_way and one == held.under_way.old:
            found.append(
                f"user {held.user}: the old key {one} has outlived the links that it signed; right: it is removed; "
                "mend: ansible-playbook playbooks/ops/retire_keys.yml -i INVENTORY"
            )
        else:
            found.append(
                f"user {held.user}: key {one} works and is not the vault's; right: {held.vault_id} alone; mend: "
                "ansible-playbook playbooks/ops/rotate_keys.yml -i INVENTORY -e rotate=keys -e rotate_now=true"
            )
    return found


def waiting_line(held: Held, until: datetime) -> str:
    """Say which old key lives on and until when."""
    old = held.under_way.old if held.under_way else ""
    moment = until.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"user {held.user}: the old key {old} lives until {moment}, as the links do that it signed"


def left_over(listed: Collection[str], kept: Collection[str]) -> list[str]:
    """Return the ids at the store that are none of those kept, in order."""
    return sorted(set(listed) - set(kept))
