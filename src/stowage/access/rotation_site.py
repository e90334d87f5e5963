"""Rotation of all keys of a site: what :mod:`stowage.access.rotation_plan` decides, done at the store."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stowage import errors
from stowage.access.keys import KeyOutcome
from stowage.access.model import AccessDriver, AccessKey, Credentials
from stowage.access.rotation_plan import (
    Entry,
    Held,
    faults,
    left_over,
    needs_new_key,
    strangers,
    waiting_line,
)
from stowage.access.rotation_record import read_record, write_record
from stowage.outcome import Difference

ROUNDS = 5
"""How often keys are removed that were made while others were being removed."""


@dataclass(frozen=True)
class SiteKey:
    """One key of the site.

    Args:
        user: That owns it.
        pair: As the vault has it; ``None`` when it has none.
        link_seconds: Longest life of a link that the key signs; 0 when it signs none.
    """

    user: str
    pair: Credentials | None
    link_seconds: int = 0


@dataclass
class SiteRotation:
    """The rotation of a site's keys.

    Args:
        driver: The store.
        verify: Tells whether a pair signs.
        record: File that remembers which old key may live on.
        at_once: Nothing of an old key lives on, and links that it signed die.
        check: Only report.
        clock: Tells the time.
    """

    driver: AccessDriver
    verify: Callable[[Credentials], bool]
    record: Path
    at_once: bool = False
    check: bool = False
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def begin(self, key: SiteKey) -> KeyOutcome:
        """Make the new key, unless an interrupted rotation did; ``credentials`` of the outcome hold it.

        Strangers go first, where the vault's own key is seen to work: then they are none of ours.
        """
        held = self._held(key)
        found: list[Difference] = []
        if key.pair and held.listed.get(held.vault_id) and self.verify(key.pair):
            found = self._removed(held, strangers(held, self.clock(), at_once=self.at_once))
        if not needs_new_key(held, self.clock(), at_once=self.at_once):
            return KeyOutcome(key.user, found, {"user": key.user, "access_key_id": held.vault_id})
        made = None if self.check else self.driver.create_key(key.user, None, "")
        if made:
            old = held.vault_id if held.vault_id in held.listed else ""
            self._remember(key.user, Entry(made.access_key_id, old))
        name = made.access_key_id if made else "(to be made)"
        found.append(Difference("key", held.vault_id or None, name))
        return KeyOutcome(key.user, found, {"user": key.user, "access_key_id": name}, credentials=made)

    def switch(self, key: SiteKey) -> KeyOutcome:
        """Note that all programs have the vault's key, and turn every other one off that need not live on."""
        held = self._signing(key)
        entry = held.under_way
        if entry and entry.switched is None and not self.check:
            self._remember(key.user, dataclasses.replace(entry, switched=self.clock()))
            held = self._held(key)
        off = sorted(one for one in strangers(held, self.clock(), at_once=self.at_once) if held.listed[one])
        if not self.check:
            for one in off:
                self.driver.set_key_enabled(AccessKey(one, key.user), False, None)
        found = [Difference("status", f"{one} active", f"{one} inactive") for one in off]
        return self._outcome(held, found)

    def retire(self, key: SiteKey) -> KeyOutcome:
        """Remove every key that is neither the vault's nor waits for its links, until a listing shows none.

        Raises:
            ConflictError: The vault's key does not sign, or keys come back as fast as they go.
        """
        held = self._signing(key)
        return self._outcome(held, self._removed(held, strangers(held, self.clock(), at_once=self.at_once)))

    def look(self, key: SiteKey) -> list[str]:
        """Say what is wrong with the keys of a user while nothing is being rotated."""
        return faults(self._held(key), self.clock())

    def _held(self, key: SiteKey) -> Held:
        listed = {one.access_key_id: one.enabled for one in self.driver.keys_of(key.user)}
        vault_id = key.pair.access_key_id if key.pair else ""
        return Held(key.user, vault_id, listed, read_record(self.record).get(key.user), key.link_seconds)

    def _signing(self, key: SiteKey) -> Held:
        held = self._held(key)
        if not key.pair or not held.listed.get(held.vault_id) or not self.verify(key.pair):
            raise errors.ConflictError(
                f"rotation of user {key.user}: the vault's key {held.vault_id or '(none)'} does not work, so no other "
                "one is taken away",
                "ansible-playbook playbooks/ops/rotate_keys.yml -i INVENTORY -e rotate=keys makes one that does",
            )
        return held

    def _removed(self, held: Held, going: Sequence[str] | frozenset[str]) -> list[Difference]:
        """Remove keys, and those that were made with them meanwhile: an answer is no proof, a listing is."""
        kept = set(held.listed) - set(going)
        gone: list[str] = []
        if self.check:
            return [Difference("key", one, None) for one in sorted(going)]
        left = sorted(going)
        for _ in range(ROUNDS):
            if not left:
                return [Difference("key", one, None) for one in gone]
            # Off before the first one goes: a key that works makes another while its brothers are removed.
            for step in (lambda one: self.driver.set_key_enabled(one, False, None), self.driver.remove_key):
                for one in left:
                    # Whoever holds a key of the user may have removed this one just now.
                    with contextlib.suppress(errors.NotFoundError):
                        step(AccessKey(one, held.user))
            gone += left
            left = left_over([one.access_key_id for one in self.driver.keys_of(held.user)], kept)
        if not left:
            return [Difference("key", one, None) for one in gone]
        raise errors.ConflictError(
            f"rotation of user {held.user}: the keys {', '.join(left)} are still there after {ROUNDS} rounds",
            "remove the user with s3_user state absent, then run playbooks/access.yml",
        )

    def _outcome(self, held: Held, found: list[Difference]) -> KeyOutcome:
        until = None if self.at_once else held.lives_until(self.clock())
        state = {
            "user": held.user,
            "access_key_id": held.vault_id,
            "waiting": waiting_line(held, until) if until else "",
        }
        return KeyOutcome(held.user, found, state)

    def _remember(self, user: str, entry: Entry) -> None:
        write_record(self.record, read_record(self.record) | {user: entry})
