"""Checks on the storages of the file service, by the schema that the service's models write."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from importlib import resources
from typing import Any

from stowage.site.model import Problem, Rules, Site
from stowage.site.names import nearest
from stowage.site.urls import endpoint_fault

VARIABLE = "filator_storages"
SCHEMA: dict[str, dict[str, Any]] = json.loads(
    resources.files("stowage.site").joinpath("storages.schema.json").read_text(encoding="utf-8")
)
"""Each type of storage as JSON Schema. The service's models write it (scripts/storages-schema)."""
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
_WORDS = {"string": "text", "boolean": "true or false", "integer": "a whole number", "number": "a number of seconds"}


def storages_faults(value: Any, told: Collection[Any] = ()) -> list[tuple[str, str]]:
    """Find what the service would refuse in its list of storages.

    Args:
        value: The list, or a string holding it as JSON.
        told: Addresses that another check has already looked at.

    Returns:
        Pairs of what is wrong and what would be right, none with the value of a key. Entries are counted from 0, as
        the service does.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            return [(f"is no JSON: {error.msg} at line {error.lineno} column {error.colno}", "a list of storages")]
    if not isinstance(value, list) or not value:
        return [("is no list with an entry in it", "a list of storages, each with name and type")]
    faults = []
    names: list[Any] = []
    for number, entry in enumerate(value):
        if not isinstance(entry, Mapping):
            faults.append((f"entry {number} is no mapping", "a mapping with name and type"))
            continue
        faults += _entry_faults(number, entry, told)
        name = entry.get("name")
        if name in names:
            faults.append((f'entry {number}, field name: "{name}" stands twice', "a name of its own per storage"))
        names.append(name)
    if all(isinstance(entry, Mapping) and entry.get("readonly") is True for entry in value):
        faults.append(("has no storage that may be written", "readonly: false on at least one"))
    return faults


def _entry_faults(number: int, entry: Mapping[Any, Any], told: Collection[Any]) -> list[tuple[str, str]]:
    faults = []
    at = f"entry {number}, field"
    if not isinstance(entry.get("name"), str) or not entry["name"]:
        faults.append((f"{at} name: missing", "text that never changes, it is recorded with each file"))
    kind = entry.get("type")
    if not isinstance(kind, str) or kind not in SCHEMA:
        return [*faults, (f'{at} type: "{kind}" is unknown', "db, s3 or local")]
    if kind == "db" and entry.get("name") not in (None, "db"):
        faults.append((f'{at} name: "{entry["name"]}" with type db', "db, the only name allowed for that type"))
    if kind != "db" and entry.get("name") == "db":
        faults.append((f"{at} name: db with type {kind}", "another name, db belongs to the type db"))
    required, fields = _rules(SCHEMA[kind], entry)
    for field, value in entry.items():
        if field not in fields:
            guess = nearest(str(field), fields)
            right = f"{guess} (nearest), or " if guess else ""
            faults.append((f"{at} {field}: unknown for type {kind}", f"{right}one of {', '.join(fields)}"))
        elif field in required and value in (None, ""):
            continue
        elif fault := _value_fault(fields[field], value):
            faults.append((f"{at} {field}: {fault[0]}", fault[1]))
        elif not field.endswith("endpoint") or value is None or value in told:
            continue
        elif problem := endpoint_fault(value):
            faults.append((f"{at} {field}: {problem}", "http://host:port or https://host"))
    needed = [field for field in required if field not in ("name", "type") and entry.get(field) in (None, "")]
    return faults + [(f"{at} {field}: missing", f"needed for type {kind}") for field in needed]


def _rules(schema: Mapping[str, Any], entry: Mapping[Any, Any]) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Find the required fields and the rules of each field, with those that depend on another field's value."""
    required = list(schema.get("required", ()))
    fields = {name: dict(rule) for name, rule in schema["properties"].items()}
    if "if" in schema:
        conditions = schema["if"]["properties"]
        holds = all(entry.get(name) is rule["const"] for name, rule in conditions.items())
        branch = schema["then" if holds else "else"]
        required += branch["required"]
        for name, rule in branch["properties"].items():
            fields[name].update(rule)
    return required, fields


def _value_fault(rule: Mapping[str, Any], value: Any) -> tuple[str, str] | None:
    """Say what a rule of the schema has against a value, and what would be right."""
    kinds = [option["type"] for option in rule.get("anyOf", [rule])]
    if not any(_is(value, _TYPES[kind]) for kind in kinds):
        return type(value).__name__, " or ".join(_WORDS[kind] for kind in kinds if kind in _WORDS)
    if "enum" in rule and value not in rule["enum"]:
        return f'"{value}" is unknown', " or ".join(rule["enum"])
    return _text_fault(rule, value) if isinstance(value, str) else _number_fault(rule, value)


def _text_fault(rule: Mapping[str, Any], value: str) -> tuple[str, str] | None:
    least, most = rule.get("minLength", 0), rule.get("maxLength")
    if len(value) < least or (most is not None and len(value) > most):
        return f"has {len(value)} characters", f"at least {least}" if most is None else f"{least} to {most}"
    if "pattern" in rule and not re.search(rule["pattern"].replace("$", r"\Z"), value):
        return f'"{value}" cannot be used', f"what fits {rule['pattern']}"
    return None


def _number_fault(rule: Mapping[str, Any], value: Any) -> tuple[str, str] | None:
    least, over, most = (rule.get(name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    if (least is not None and value < least) or (over is not None and value <= over):
        return f"{value} is too small", f"at least {least}" if over is None else f"more than {over}"
    return (f"{value} is too large", f"at most {most}") if most is not None and value > most else None


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Like isinstance, but ``true`` is no number."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def check_admin_key(site: Site, _rules: Rules) -> list[Problem]:
    """No storage is opened with the key that rules the store: whoever takes it could delete buckets and make users."""
    problems = []
    for value, users in site.by_value(site.members("app"), VARIABLE):
        admin = site.value(users[0], "object_store_root_access_key")
        entries = value if isinstance(value, list) else []
        for number, entry in enumerate(entries):
            if isinstance(entry, Mapping) and admin and entry.get("access_key") == admin:
                what = f"{VARIABLE} entry {number}, field access_key: is the store's admin key"
                right = "a key of its own with a policy of its own (object_store_keys)"
                problems.append(Problem(site.where(users, VARIABLE), what, right, site.edit(users, VARIABLE)))
    return problems


def check_storages(site: Site, _rules: Rules) -> list[Problem]:
    """The file service would start with its list of storages."""
    names = ("object_store_endpoint", "edge_s3_public_endpoint")
    told = [value for name in names for value, _ in site.by_value(site.hosts, name)]
    return [
        Problem(site.where(users, VARIABLE), f"{VARIABLE} {what}", right, site.edit(users, VARIABLE))
        for value, users in site.by_value(site.members("app"), VARIABLE)
        for what, right in storages_faults(value, told)
    ]
