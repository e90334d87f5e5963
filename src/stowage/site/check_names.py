"""Checks on names and on what was left unfilled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stowage.site.model import FILES, Problem, Rules, Site
from stowage.site.names import misspelt

PLACEHOLDER = re.compile(r"CHANGE_ME\w*|[\w.-]*\bexample\.invalid\b")
"""What inventories/example leaves for the operator to fill in; .invalid never resolves (RFC 2606)."""


def check_names(site: Site, rules: Rules) -> list[Problem]:
    """Every variable that looks like ours exists."""
    users: dict[str, list[str]] = {}
    for host in site.hosts:
        for name in {**site.hosts[host], **site.failures.get(host, {})}:
            users.setdefault(name, []).append(host)
    # Keys of app hosts that are gone, or that share one now, stay in the vault until somebody takes them out.
    of_hosts = tuple(f"{secret.name}_" for secret in rules.secrets if secret.per_host)
    names = [name for name in users if not name.startswith(of_hosts)]
    suspicious = misspelt(names, rules.known | rules.own, rules.prefixes)
    problems = []
    for name, guess in suspicious.items():
        right = f"{guess} (nearest known name)" if guess else "a name from docs/inventory.md"
        if name.startswith(tuple(rules.prefixes)):
            right += f", or {name} in preflight_own_variables if it is yours"
        problems.append(
            Problem(
                where=site.where(users[name], name),
                what=f"no role or play reads the variable {name}",
                right=right,
                mend=site.edit(users[name], name),
            )
        )
    return problems


def check_placeholders(site: Site, _rules: Rules) -> list[Problem]:
    """Nothing that inventories/example leaves open is still open; told where it is written, not where it is used."""
    found: dict[tuple[str, str], list[str]] = {}
    for host, values in (site.written or site.hosts).items():
        for name, value in values.items():
            for text in _strings(value):
                for match in PLACEHOLDER.finditer(text):
                    users = found.setdefault((name, match.group()), [])
                    if host not in users:
                        users.append(host)
    return [
        Problem(
            where=site.where(users, name),
            what=f"{name} still holds the placeholder {placeholder}",
            right="the value of this site; the comment above it says which",
            mend=site.edit(users, name),
        )
        for (name, placeholder), users in found.items()
    ]


def check_unresolved(site: Site, rules: Rules) -> list[Problem]:
    """Every value that preflight reads can be worked out; what lacks only a secret is told with that secret."""
    secrets = {secret.name for secret in rules.secrets}
    found: dict[tuple[str, str | None, str], list[str]] = {}
    for host, failures in site.failures.items():
        for name, failure in failures.items():
            if failure.undefined in secrets:
                continue
            found.setdefault((name, failure.undefined, failure.reason), []).append(host)
    return [
        Problem(
            where=site.where(users, name),
            what=f"{name} refers to {undefined}, which is not defined on {', '.join(users)}"
            if undefined
            else f"{name} cannot be worked out: {reason}",
            right=f"{undefined} in the inventory" if undefined else "a value that Ansible can template",
            mend=site.edit(users, name),
        )
        for (name, undefined, reason), users in found.items()
    ]


def check_files(site: Site, _rules: Rules) -> list[Problem]:
    """Every file that a role would copy from the controller is there."""
    return [
        Problem(
            where=site.where(users, name),
            what=f"{name} names {path}, which is no file on the controller",
            right="the path of a file that is there",
            mend=f"ls -l {path}",
        )
        for name in FILES
        for path, users in site.by_value(site.hosts, name)
        if path in site.absent_files
    ]


def check_together(site: Site, rules: Rules) -> list[Problem]:
    """Variables that make sense only together are all set or all unset."""
    problems = []
    for names in rules.together:
        for host in site.hosts:
            present = [name for name in names if site.value(host, name) or name in site.failures.get(host, {})]
            missing = sorted(set(names) - set(present))
            if present and missing:
                problems.append(
                    Problem(
                        where=site.where([host], present[0]),
                        what=f"half set on {host}: {', '.join(sorted(present))} without {', '.join(missing)}",
                        right="all of them, or none",
                        mend=site.edit([host], present[0]),
                    )
                )
    return problems


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, Iterable) and not isinstance(value, bytes):
        for item in value:
            yield from _strings(item)
