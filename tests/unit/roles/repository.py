"""Where things are, for the tests over all roles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
ROLES = sorted(role for role in (ROOT / "roles").iterdir() if (role / "meta" / "main.yml").is_file())
PUBLIC = [role for role in ROLES if not role.name.startswith("_")]


class Loader(yaml.SafeLoader):
    """YAML with Ansible's tags, whose values are of no interest here."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: str(node.value))


def load(path: Path) -> Any:
    """Return a YAML file's content, ``{}`` when there is no such file."""
    return (yaml.load(path.read_text(encoding="utf-8"), Loader=Loader) if path.is_file() else None) or {}


def tasks_in(value: Any) -> list[dict[str, Any]]:
    """Return all tasks of a file, those in blocks too."""
    found = []
    for task in value or []:
        blocks = [key for key in ("block", "rescue", "always") if key in task]
        if not blocks:
            found.append(task)
        for key in blocks:
            found += tasks_in(task[key])
    return found
