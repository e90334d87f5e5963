"""The plain data that the checks work on, and the shape of what they find."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, Literal

FILES = ("edge_tls_cert", "edge_tls_key", "filator_tokens_file", "rustfs_binary_file", "rustfs_image_file")
"""Variables that name a file on the controller, which a role copies to hosts."""
SECRETS_INIT = "ansible-playbook playbooks/ops/secrets_init.yml -i {inventory}"


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with an inventory.

    Args:
        where: File and line when known, else the hosts.
        what: Variable and fault; never a secret's value.
        right: What would be right.
        mend: Command that mends it.
    """

    where: str
    what: str
    right: str
    mend: str

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}; right: {self.right}; mend: {self.mend}"
        return " ".join(line.split())


@dataclass(frozen=True)
class Failure:
    """Why a value could not be worked out.

    Args:
        undefined: Name of the variable it lacks; ``None`` when the cause is another.
        reason: The cause in words, without values.
    """

    undefined: str | None
    reason: str


@dataclass(frozen=True)
class Secret:
    """A secret that a site needs.

    Args:
        name: Name in the vault, with the prefix ``vault_``.
        kind: What it is for: ``password``, ``access_key``, ``secret_key`` or ``token``; decides its alphabet.
        length: Characters to generate.
        min_length: Shortest value that preflight lets pass.
        used_by: Inventory variables that it feeds; a site that sets them otherwise needs no vault entry.
        groups: Groups whose hosts need it.
        at_store: ``admin`` for the key that rules the store, ``service`` for the key of one program, empty for a
            secret that the store never sees. It decides who makes the secret, see ``secret_source``.
        service: Program that needs it: only hosts whose ``app_services`` name it do. Empty: all hosts of the groups.
        per_host: Whether each app host after the first may have one of its own, see ``with_host_secrets``.
        host: The one host that needs it; empty: all that the other fields say.
        only_if: Boolean variable of the site; only hosts where it is on need the secret. Empty: nothing turns it off.
    """

    name: str
    kind: str
    length: int
    min_length: int
    used_by: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    at_store: Literal["", "admin", "service"] = ""
    service: str = ""
    per_host: bool = False
    host: str = ""
    only_if: str = ""


def with_host_secrets(secrets: Sequence[Secret], app_hosts: Sequence[str]) -> tuple[Secret, ...]:
    """Return the secrets, and beside each that is ``per_host`` one for every app host after the first.

    A site with one app host has the names it always had; whether the others use theirs is told by the variables that
    the secret feeds (``edge_keys: shared`` hands the first one's to all).

    Args:
        secrets: As roles/preflight/vars/main.yml names them.
        app_hosts: Hosts of the group ``app`` in their order.
    """
    own = [
        replace(secret, name=f"{secret.name}_{re.sub(r'[^A-Za-z0-9]', '_', host)}", host=host, per_host=False)
        for secret in secrets
        if secret.per_host
        for host in app_hosts[1:]
    ]
    return (*secrets, *own)


@dataclass(frozen=True)
class Site:
    """An inventory with its values worked out.

    Args:
        inventory: What was given to ``-i``, for the commands in the lines.
        groups: Group name to host names.
        hosts: Host name to variable name to value; only values that could be worked out.
        origins: Host name to variable name to ``file:line``.
        failures: Host name to variable name to why there is no value.
        absent_files: Paths in ``FILES`` variables that are not there on the controller.
        written: Host name to variable name to the value as it stands in the file, before templates are worked out.
        inventory_path: Absolute path of the inventory's folder; empty when it has none.
        inventory_files: Files that Ansible would read as hosts, relative to that folder, each with whether it may be
            run.
        misfits: Host name to variable name to what does not fit its role's argument spec, and what would be right.
        broken_rules: Host name to what the roles of that host would refuse, in their own words.
        templated: Host name to the secrets in its vault that Ansible would take for templates.
    """

    inventory: str
    groups: Mapping[str, Sequence[str]]
    hosts: Mapping[str, Mapping[str, Any]]
    origins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    failures: Mapping[str, Mapping[str, Failure]] = field(default_factory=dict)
    written: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    absent_files: frozenset[str] = frozenset()
    inventory_path: str = ""
    inventory_files: Mapping[str, bool] = field(default_factory=dict)
    templated: Mapping[str, frozenset[str]] = field(default_factory=dict)
    misfits: Mapping[str, Mapping[str, tuple[str, str]]] = field(default_factory=dict)
    broken_rules: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def value(self, host: str, name: str) -> Any:
        """Return the value of a variable, ``None`` when it is missing."""
        return self.hosts.get(host, {}).get(name)

    def has(self, host: str, name: str) -> bool:
        """Say whether the variable is written down for the host, be its value good or not."""
        return name in self.hosts.get(host, {}) or name in self.failures.get(host, {})

    def inventory_dir(self) -> str:
        """Return the directory whose group_vars belong to the inventory."""
        path = PurePath(self.inventory)
        return str(path.parent if path.suffix in (".yml", ".yaml", ".ini") or path.name == "hosts" else path)

    def members(self, *groups: str) -> list[str]:
        """Return the hosts of the groups, each once, in order."""
        return list(dict.fromkeys(host for group in groups for host in self.groups.get(group, ())))

    def where(self, hosts: Sequence[str], name: str) -> str:
        """Name the place where a variable of these hosts stands: files and lines, else the hosts."""
        known = dict.fromkeys(origin for host in hosts if (origin := self.origins.get(host, {}).get(name)))
        return ", ".join(known) or ", ".join(hosts)

    def edit(self, hosts: Sequence[str], name: str) -> str:
        """Return the command that opens the place of a variable; the shared wiring is overruled, not edited."""
        place = next((origin for host in hosts if (origin := self.origins.get(host, {}).get(name))), None)
        path, _, line = (place or "").rpartition(":")
        if place is None or path.endswith("wiring.yml"):
            return f"set {name} in ${{EDITOR:-vi}} {self.inventory_dir()}/group_vars/all/site.yml"
        return f"${{EDITOR:-vi}} +{line} {path}"

    def by_value(self, hosts: Iterable[str], name: str) -> list[tuple[Any, list[str]]]:
        """Group the hosts that have a variable by its value, so that one fault in group_vars makes one line."""
        found: list[tuple[Any, list[str]]] = []
        for host in hosts:
            if name not in self.hosts.get(host, {}):
                continue
            value = self.value(host, name)
            same = next((entry for entry in found if entry[0] == value), None)
            if same:
                same[1].append(host)
            else:
                found.append((value, [host]))
        return found


STAND_IN = "<missing secret {name}>"
"""Put in the place of an undefined secret, so that what depends on it can still be worked out and checked."""


def holds_stand_in(value: Any, name: str) -> bool:
    """Say whether a value was worked out with the stand-in of the secret ``name``, at any depth."""
    if isinstance(value, str):
        return STAND_IN.format(name=name) in value
    if isinstance(value, Mapping):
        return any(holds_stand_in(item, name) for item in value.values())
    if isinstance(value, Iterable):
        return any(holds_stand_in(item, name) for item in value)
    return False


@dataclass(frozen=True)
class Rules:
    """What a site is checked against.

    Args:
        known: Every variable name that a role or a play reads.
        prefixes: Reserved beginnings of names, with their underscore.
        secrets: Secrets that a site may need.
        together: Lists of variables that are either all set or all unset on a host.
        own: Names with a reserved prefix that the operator claims for purposes of their own.
        roles: Names of the roles in this checkout; ``None`` when nobody looked.
    """

    known: frozenset[str]
    prefixes: frozenset[str]
    secrets: tuple[Secret, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    own: frozenset[str] = frozenset()
    roles: frozenset[str] | None = None
