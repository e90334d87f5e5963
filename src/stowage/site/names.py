"""Which variable names exist, and which known one a misspelt name is nearest to."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from stowage.errors import BadInputError

LIKELY_TYPO = 0.9
"""Likeness (0..1) above which a name without a reserved prefix is still taken for a misspelt one of ours."""


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name most like ``word``, or ``None`` when nothing reaches ``cutoff`` (0..1)."""
    found = difflib.get_close_matches(word.lower(), sorted(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def misspelt(names: Iterable[str], known: Collection[str], prefixes: Collection[str]) -> dict[str, str | None]:
    """Find names that look like ours but do not exist.

    Args:
        names: Variable names of a host.
        known: Every name that roles and plays read.
        prefixes: Reserved beginnings with their underscore, such as ``edge_``.

    Returns:
        From each suspicious name to the nearest known one; ``None`` when nothing is near.
    """
    suspicious = {}
    for name in names:
        if name in known:
            continue
        if name.startswith(tuple(prefixes)):
            suspicious[name] = nearest(name, known)
        elif guess := nearest(name, known, LIKELY_TYPO):
            suspicious[name] = guess
    return suspicious


def load_mapping(path: Path) -> Mapping[str, Any]:
    """Return the mapping in a YAML file without Ansible's tags; an empty file holds an empty one.

    Raises:
        BadInputError: The file is not YAML, or no mapping.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise BadInputError(f"{path} is no YAML: {error}", hint=f"mend {path}") from error
    if not isinstance(data, dict):
        raise BadInputError(f"{path} holds no mapping", hint=f"mend {path}")
    return data


def role_variables(role: Path) -> set[str]:
    """Return the names that one role takes: keys of its defaults and options of all its entry points.

    Args:
        role: Directory of the role; missing files count as empty.

    Raises:
        BadInputError: A file is not YAML, or no mapping.
    """
    names: set[str] = set()
    defaults = role / "defaults" / "main.yml"
    specs = role / "meta" / "argument_specs.yml"
    if defaults.is_file():
        names.update(load_mapping(defaults))
    if specs.is_file():
        for entry in (load_mapping(specs).get("argument_specs") or {}).values():
            names.update(entry.get("options") or {})
    return names


def known_names(roles: Path) -> tuple[set[str], set[str]]:
    """Return what all roles take together, and the prefixes that their names reserve.

    Args:
        roles: Directory that holds the roles. Those named with a leading underscore are internal: they reserve
            nothing and their inputs are not for an inventory. A role without argument specs reserves nothing either,
            since nobody can tell which names it takes.
    """
    public = [role for role in sorted(roles.iterdir()) if role.is_dir() and not role.name.startswith(("_", "."))]
    names = {name for role in public for name in role_variables(role)}
    return names, {f"{role.name}_" for role in public if (role / "meta" / "argument_specs.yml").is_file()}


def role_options(roles: Path) -> dict[str, Mapping[str, Any]]:
    """Return the argument spec of each variable that a role takes at its main entry point."""
    found: dict[str, Mapping[str, Any]] = {}
    for specs in sorted(roles.glob("[!_.]*/meta/argument_specs.yml")):
        entry = (load_mapping(specs).get("argument_specs") or {}).get("main") or {}
        found.update(entry.get("options") or {})
    return found
