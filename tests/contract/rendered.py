"""What the roles render, by Ansible's own engine in this process, with the defaults of the role and given values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.collection_loader import AnsibleCollectionConfig

ROOT = Path(__file__).parents[2]


def rendered(role: str, template: str, values: Mapping[str, Any]) -> str:
    """A template of a role, rendered with the role's defaults and these values.

    Args:
        role: Name of the role.
        template: File under its ``templates``, without ``.j2``.
        values: What an inventory would set; wins over the defaults.
    """
    return render_file(ROOT / "roles" / role / "templates" / f"{template}.j2", _variables_of(role, values))


def evaluated(role: str, name: str, values: Mapping[str, Any]) -> Any:
    """One variable of a role, worked out with these values."""
    variables = _variables_of(role, values)
    return Templar(loader=DataLoader(), variables=variables).template(variables[name])


def rendered_shared(role: str, path: Path, values: Mapping[str, Any]) -> str:
    """A template that stands outside of the role which uses it, rendered with the role's variables and these values."""
    return render_file(path, _variables_of(role, values))


def worked_out(variables: Mapping[str, Any], name: str) -> Any:
    """One variable of an inventory, worked out among these."""
    return Templar(loader=DataLoader(), variables=_trusted(dict(variables))).template(_trusted(variables[name]))


def policy(template: str, buckets: list[str]) -> dict[str, Any]:
    """A policy document of templates/policies."""
    path = ROOT / "templates" / "policies" / f"{template}.json.j2"
    document: dict[str, Any] = json.loads(render_file(path, {"policy_buckets": buckets}))
    return document


def render_file(path: Path, variables: Mapping[str, Any]) -> str:
    """A template with these variables."""
    if AnsibleCollectionConfig.collection_finder is None:
        init_plugin_loader()  # or there are no lookups
    made = Templar(loader=DataLoader(), variables=dict(variables)).template(trust_as_template(path.read_text()))
    return made if isinstance(made, str) else json.dumps(made)


def environment_in(text: str) -> dict[str, str]:
    """The variables of a rendered environment file."""
    lines = [line for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#")]
    return {name: value.strip().strip("'\"") for name, value in (line.split("=", 1) for line in lines)}


def _variables_of(role: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A role's defaults and private variables, and these values, which win."""
    found: dict[str, Any] = {"ansible_managed": "Ansible managed", "role_path": str(ROOT / "roles" / role)}
    for kind in ("defaults", "vars"):
        file = ROOT / "roles" / role / kind / "main.yml"
        if file.is_file():
            found |= _trusted(yaml.safe_load(file.read_text()) or {})
    return found | dict(values)


def _trusted(value: Any) -> Any:
    """The value with every text in it marked as a template, as if Ansible had loaded it."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, Mapping):
        return {key: _trusted(one) for key, one in value.items()}
    return [_trusted(one) for one in value] if isinstance(value, list) else value
