"""Checks on the inventory's folder: Ansible reads every file in it as hosts, so nothing else may lie there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from stowage.site.model import Problem, Rules, Site

DESTINATIONS = (
    "stowage_state_dir",
    "stowage_authorities_dir",
    "rustfs_compose_dest",
    "fluent_bit_compose_dest",
    "caddy_fetch_authority_to",
    "nginx_fetch_authority_to",
)
"""Variables that name a folder on the controller which a run writes to."""
SUFFIXES = frozenset({"", ".yml", ".yaml", ".json", ".ini", ".toml"})
"""Endings of files that Ansible's inventory plugins read."""
FORMER = ("nas", "authorities")
"""Folders that earlier versions made inside the inventory."""
_SHOWN = 3


def check_folder(site: Site, _rules: Rules) -> list[Problem]:
    """The inventory's folder holds inventory only, and no run writes anything else into it."""
    return _former(site) + _foreign(site) + _destinations(site)


def is_inventory(path: str, executable: bool) -> bool:
    """Say whether a file in an inventory's folder may be there.

    Args:
        path: Relative to the folder.
        executable: Whether the file may be run; Ansible takes such a file for a script that prints an inventory.
    """
    return not executable and PurePath(path).suffix in SUFFIXES


def _former(site: Site) -> list[Problem]:
    folder, state = site.inventory_dir(), _state(site)
    found = {PurePath(path).parts[0] for path in site.inventory_files if len(PurePath(path).parts) > 1}
    problems = []
    if "nas" in found:
        problems.append(
            Problem(
                where=f"{folder}/nas",
                what="keys of the store lie inside the inventory, where Ansible ran scripts and showed lines of files",
                right=f"{state}/nas, which the next run renders",
                mend=f"rm -r {folder}/nas, then new keys: docs/nas.md, Keys that lay inside the inventory",
            )
        )
    if "authorities" in found:
        problems.append(
            Problem(
                where=f"{folder}/authorities",
                what="certificates lie inside the inventory, which Ansible reads as hosts",
                right=f"{state}/authorities",
                mend=f"mkdir -p {state} && mv {folder}/authorities {state}/authorities",
            )
        )
    return problems


def _foreign(site: Site) -> list[Problem]:
    folder = site.inventory_dir()
    wrong = sorted(
        path
        for path, executable in site.inventory_files.items()
        if PurePath(path).parts[0] not in FORMER and not is_inventory(path, executable)
    )
    if not wrong:
        return []
    moved = " ".join(f"{folder}/{path}" for path in wrong[:_SHOWN])
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return [
        Problem(
            where=folder,
            what=f"{_listed(wrong)}{more} are no inventory, but Ansible reads them as hosts and shows what it cannot",
            right=f"hosts files without the right to be run ({', '.join(sorted(SUFFIXES - {''}))} or no ending), "
            "group_vars and host_vars",
            mend=f"mkdir -p {_state(site)} && mv {moved} {_state(site)}/",
        )
    ]


def _listed(paths: Iterable[str]) -> str:
    return ", ".join(list(paths)[:_SHOWN])


def _destinations(site: Site) -> list[Problem]:
    if not site.inventory_path:
        return []
    problems = []
    for name in DESTINATIONS:
        for value, users in site.by_value(site.hosts, name):
            if not isinstance(value, str) or not _inside(value, site.inventory_path):
                continue
            problems.append(
                Problem(
                    where=site.where(users, name),
                    what=f"{name} is {value}, inside the inventory, where Ansible would read its files as hosts",
                    right="a folder outside of the inventory, or nothing at all: the default is outside",
                    mend=site.edit(users, name),
                )
            )
    return problems


def _inside(path: str, folder: str) -> bool:
    parts: list[str] = []
    for part in PurePath(path).parts:
        if part == ".." and len(parts) > 1:
            parts.pop()
        elif part != "..":
            parts.append(part)
    outer = PurePath(folder).parts
    return tuple(parts[: len(outer)]) == outer


def _state(site: Site) -> str:
    known = site.by_value(site.hosts, "stowage_state_dir")
    return str(known[0][0]) if known and known[0][0] else "~/.local/state/stowage"
