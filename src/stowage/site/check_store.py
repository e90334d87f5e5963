"""Checks on the store: provider, addresses, buckets."""

from __future__ import annotations

import re

from stowage.errors import BadInputError
from stowage.s3.buckets import checked_name
from stowage.site.model import Problem, Rules, Site
from stowage.site.stores import EXTERNAL, Store, find_store, load_stores
from stowage.site.urls import endpoint_fault, shown, suggested

GROUPS = ("nas", "db", "app", "edge")
ADDRESSES = ("stowage_address", "stowage_db_address", "edge_app_address")
"""Variables that hold the bare address of a host."""


def selected_store(site: Site, host: str) -> Store | None:
    """Return the store that ``host`` selects, ``None`` when the choice is missing or wrong."""
    provider = site.value(host, "object_store_provider")
    try:
        return find_store(str(provider or ""), str(site.value(host, "object_store_preset") or ""))
    except BadInputError:
        return None


def check_groups(site: Site, _rules: Rules) -> list[Problem]:
    """The controller is there and every group has a host; ``nas`` may be empty when the store is not ours."""
    everyone = site.members(*GROUPS)
    problems = []
    if "localhost" not in site.groups.get("all", ()):
        problems.append(
            Problem(
                where=site.inventory,
                what="localhost is not in the inventory, where the plays on the store and the vault run",
                right="localhost under all, as in inventories/example/hosts.yml",
                mend=f"ansible-inventory -i {site.inventory} --graph",
            )
        )
    external = bool(everyone) and all(site.value(host, "object_store_provider") == EXTERNAL for host in everyone)
    return problems + [
        Problem(
            where=site.inventory,
            what=f"group {group} has no host",
            right=f"a host under {group}; one host may be in all of {', '.join(GROUPS)}",
            mend=f"ansible-inventory -i {site.inventory} --graph",
        )
        for group in GROUPS
        if not site.groups.get(group) and not (group == "nas" and external)
    ]


def check_provider(site: Site, rules: Rules) -> list[Problem]:
    """The provider (and preset) names a store that can carry the service, the same one on every host."""
    problems = []
    hosts = site.members(*GROUPS)
    values = site.by_value(hosts, "object_store_provider")
    missing = [host for host in hosts if not site.has(host, "object_store_provider")]
    if missing:
        values.append(("", missing))
    for provider, chosen_by in values:
        for preset, users in site.by_value(chosen_by, "object_store_preset") or [("", chosen_by)]:
            name = "object_store_preset" if provider == EXTERNAL and preset else "object_store_provider"
            what, right = _choice_fault(str(provider or ""), str(preset or ""), rules)
            if what:
                problems.append(Problem(site.where(users, name), what, right, site.edit(users, name)))
    if len(values) > 1:
        said = ", ".join(f'"{provider}" on {" and ".join(hosts)}' for provider, hosts in values)
        problems.append(
            Problem(
                where=site.where(hosts, "object_store_provider"),
                what=f"object_store_provider differs between hosts: {said}",
                right="one value for the whole site, in group_vars/all",
                mend=site.edit(hosts, "object_store_provider"),
            )
        )
    return problems


def check_driver(site: Site, _rules: Rules) -> list[Problem]:
    """Users and keys are made through the API that the store has."""
    problems = []
    name = "object_store_driver"
    for value, users in site.by_value(site.members(*GROUPS), name):
        store = selected_store(site, users[0])
        if store and value != store.access:
            what = f'{name} is "{value}", but {store.title} has "{store.access}"'
            problems.append(Problem(site.where(users, name), what, f"{name}: {store.access}", site.edit(users, name)))
    return problems


def _choice_fault(provider: str, preset: str, rules: Rules) -> tuple[str, str]:
    try:
        store = find_store(provider, preset)
    except BadInputError as error:
        return error.message, error.hint or ""
    if store.deployed and rules.roles is not None and store.name not in rules.roles:
        there = [name for name in load_stores().deployed() if name in rules.roles]
        return f'this checkout has no role for object_store_provider "{provider}"', " or ".join([*there, EXTERNAL])
    return "", ""


def check_endpoints(site: Site, rules: Rules) -> list[Problem]:
    """Every address of an S3 server has a scheme and a host and nothing behind it."""
    problems = []
    hosts = site.members(*GROUPS)
    missing = [host for host in hosts if not site.has(host, "object_store_endpoint")]
    if missing:
        store = selected_store(site, missing[0])
        problems.append(
            Problem(
                where=", ".join(missing),
                what="object_store_endpoint is not set",
                right=f"the address by which the hosts reach the store, {store.endpoint if store else 'a URL'}",
                mend=site.edit(missing, "object_store_endpoint"),
            )
        )
    names = sorted(name for name in rules.known if name.endswith("_endpoint"))
    # A program's variable mostly repeats the site's, by the wiring: one line is enough.
    names.sort(key=lambda name: not name.startswith(("object_store_", "edge_")))
    told = []
    for name in names:
        for value, users in site.by_value(hosts, name):
            fault = endpoint_fault(value)
            if fault is None or value in told or (name != "object_store_endpoint" and value in (None, "")):
                continue
            told.append(value)
            problems.append(
                Problem(
                    where=site.where(users, name),
                    what=f"{name} {shown(value)} {fault}",
                    right=suggested(str(value or "")),
                    mend=site.edit(users, name),
                )
            )
    return problems


def check_addresses(site: Site, _rules: Rules) -> list[Problem]:
    """Addresses of hosts stand bare: PostgreSQL, Redis and sockets take them so, and URLs get their brackets."""
    return [
        Problem(
            where=site.where(users, name),
            what=f"{name} {shown(value)} has brackets, which PostgreSQL and Redis do not take",
            right=f'"{value.strip("[]")}"',
            mend=site.edit(users, name),
        )
        for name in ADDRESSES
        for value, users in site.by_value(site.members(*GROUPS), name)
        if isinstance(value, str) and value.startswith("[")
    ]


def bucket_fault(name: object) -> str | None:
    """Say what is wrong with a bucket name, by the engine's own rule; ``None`` when it is good."""
    try:
        checked_name(str(name or ""))
    except BadInputError as error:
        return error.message
    return None


def check_buckets(site: Site, _rules: Rules) -> list[Problem]:
    """Bucket names are well formed, each stands once, and the store can do what is asked of them."""
    problems = []
    name = "object_store_buckets"
    for buckets, users in site.by_value(site.members(*GROUPS), name):
        where, edit = site.where(users, name), site.edit(users, name)
        if not isinstance(buckets, list):
            problems.append(Problem(where, f"{name} is no list", "a list of names, or of mappings with name", edit))
            continue
        seen: set[str] = set()
        store = selected_store(site, users[0])
        for entry in buckets:
            bucket = entry.get("name") if isinstance(entry, dict) else entry
            if fault := bucket_fault(bucket):
                guess = re.sub(r"[^a-z0-9.-]+", "-", str(bucket or "").lower()).strip("-.") or "assets"
                problems.append(Problem(where, f"{name}: {fault}", f"such as {guess}", edit))
            elif bucket in seen:
                problems.append(Problem(where, f'bucket "{bucket}" stands twice in {name}', "each bucket once", edit))
            seen.add(str(bucket))
            wants_versions = isinstance(entry, dict) and entry.get("versioning") in ("enabled", "Enabled", True)
            if store and not store.versions and wants_versions:
                problems.append(
                    Problem(
                        where,
                        f'bucket "{bucket}" asks for versioning, which {store.title} does not have',
                        "a store that keeps versions (docs/stores.md), or versioning left out",
                        edit,
                    )
                )
    return problems
