"""Checks on values by who reads them: each reaches its reader unchanged, or is refused by its name before that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stowage.errors import BadInputError
from stowage.site.check_secrets import DEFAULT_SERVICES, is_on
from stowage.site.escaping import godotenv_value, plain_value, systemd_value
from stowage.site.model import STAND_IN, Problem, Rules, Site

_STAND_IN = STAND_IN.partition("{")[0]
# Variable, the function that writes it for its reader, and what an inventory must say for it to be written at all.
_READ: tuple[tuple[str, Callable[[str], str], str], ...] = (
    ("seaweedfs_root_access_key", systemd_value, "seaweedfs"),
    ("seaweedfs_root_secret_key", systemd_value, "seaweedfs"),
    ("filator_storages", systemd_value, "filator"),
    ("filator_environment", systemd_value, "filator"),
    ("prune_timer_settings", systemd_value, "prune_timer"),
    ("rustfs_environment", systemd_value, "rustfs"),
    ("qatlasd_s3_access_key_id", godotenv_value, "qatlasd"),
    ("qatlasd_s3_secret_access_key", godotenv_value, "qatlasd"),
    ("qatlasd_environment", godotenv_value, "qatlasd"),
    ("fluent_bit_s3_access_key", plain_value, "trace"),
    ("fluent_bit_s3_secret_key", plain_value, "trace"),
)
READ = frozenset({name for name, _, _ in _READ} | {"object_store_trace", "stowage_prune_timer", "app_services"})
"""Variables that the checks here read."""


def check_readers(site: Site, _rules: Rules) -> list[Problem]:
    """Every value can be written so that its reader reads the same, and no secret is taken for a template."""
    return [*_templates(site), *_unwritable(site)]


def _templates(site: Site) -> Iterator[Problem]:
    users: dict[str, list[str]] = {}
    for host, names in site.templated.items():
        for name in names:
            users.setdefault(name, []).append(host)
    for name, hosts in users.items():
        yield Problem(
            where=site.where(hosts, name),
            what=f"secret {name} holds {{{{, {{% or {{#, which Ansible takes for a template",
            right=f"{name}: !unsafe and the value in quotes, so that it is taken as it stands",
            mend=f"ansible-vault edit {site.inventory_dir()}/group_vars/all/vault.yml",
        )


def _unwritable(site: Site) -> Iterator[Problem]:
    for name, write, program in _READ:
        for value, users in site.by_value([host for host in site.hosts if _runs(site, host, program)], name):
            for place, text in _texts(name, value):
                try:
                    write(text)
                except BadInputError as error:
                    yield Problem(
                        where=site.where(users, name),
                        what=f"{place}: {error.message}",
                        right="a value without them",
                        mend=site.edit(users, name),
                    )


def _runs(site: Site, host: str, program: str) -> bool:
    if program == "trace":
        return host in site.members("nas") and is_on(site.value(host, "object_store_trace"))
    if program == "prune_timer":
        return host in site.members("app") and is_on(site.value(host, "stowage_prune_timer"))
    if program in ("seaweedfs", "rustfs"):
        return host in site.members("nas") and site.value(host, "object_store_provider") == program
    return host in site.members("app") and program in (site.value(host, "app_services") or DEFAULT_SERVICES)


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(f"{key} in {name}", item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(name, item)
    elif value is not None and _STAND_IN not in str(value):
        yield name, str(value)
