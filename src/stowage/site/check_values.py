"""Checks on values: each fits the argument spec of its role, and the rules of each role hold on its hosts."""

from __future__ import annotations

import re

from stowage.site.check_app import PROGRAMS
from stowage.site.model import Problem, Rules, Site

READ = frozenset({"object_store_trace", "stowage_prune_timer", "edge_proxy", "app_services", "edge_keys"})
ELSEWHERE = frozenset({"filator_storages"})
"""Variables of roles that a check of their own looks at."""


def roles_of(site: Site, host: str) -> list[str]:
    """Return the roles that the plays of a site run on a host, by its groups and the site's own choices."""
    found = []
    if host in site.groups.get("nas", ()):
        found += [str(site.value(host, "object_store_provider") or "")]
        found += ["fluent_bit"] if _is_on(site.value(host, "object_store_trace")) else []
    if host in site.groups.get("db", ()):
        found += ["postgresql", "redis"]
    if host in site.groups.get("app", ()):
        chosen = site.value(host, "app_services") or PROGRAMS[:1]
        found += [one for one in PROGRAMS if one in chosen]
        first = host == site.groups["app"][0]
        found += ["prune_timer"] if first and _is_on(site.value(host, "stowage_prune_timer")) else []
    if host in site.groups.get("edge", ()):
        found.append(str(site.value(host, "edge_proxy") or "caddy"))
    return found


def _is_on(value: object) -> bool:
    return str(value).lower() in ("true", "yes", "on", "1")


def check_values(site: Site, _rules: Rules) -> list[Problem]:
    """Every value fits its role's argument spec; one fault in group_vars makes one line."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for host, misfits in site.misfits.items():
        for name, (what, right) in misfits.items():
            found.setdefault((name, what, right), []).append(host)
    return [
        Problem(where=site.where(users, name), what=what, right=right, mend=site.edit(users, name))
        for (name, what, right), users in found.items()
    ]


def check_role_rules(site: Site, _rules: Rules) -> list[Problem]:
    """What a role itself refuses when it runs is told before any host is touched."""
    found: dict[str, list[str]] = {}
    for host, broken in site.broken_rules.items():
        for says in broken:
            found.setdefault(" ".join(says.split()), []).append(host)
    problems = []
    for says, users in found.items():
        what, _, rest = says.partition("; right: ")
        right, mend = [*re.split(r"; (?:mend|fix): ", rest, maxsplit=1), ""][:2]
        name = next((word for word in re.findall(r"\w+", what) if site.has(users[0], word)), "")
        problems.append(Problem(site.where(users, name), what, right, mend or site.edit(users, name)))
    return problems


def check_host_suffixes(site: Site, rules: Rules) -> list[Problem]:
    """No two app hosts end up with the same names in the vault, where the one's key would be the other's."""
    later = site.members("app")[1:]
    if not any(secret.per_host for secret in rules.secrets):
        return []
    sharing: dict[str, list[str]] = {}
    for host in later:
        if site.value(host, "edge_keys") in (None, "per_edge"):
            sharing.setdefault(re.sub(r"[^A-Za-z0-9]", "_", host), []).append(host)
    return [
        Problem(
            where=", ".join(hosts),
            what=f"{' and '.join(hosts)} have the same names in the vault, which end in _{suffix}",
            right="names of hosts that differ in letters or digits, or edge_keys: shared",
            mend=f"ansible-inventory -i {site.inventory} --graph",
        )
        for suffix, hosts in sharing.items()
        if len(hosts) > 1
    ]
