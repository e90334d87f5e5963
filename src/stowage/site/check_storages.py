"""Checks on the storages of the file service, by the same table as the service (docs: the HTTP contract, storages)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from stowage.site.model import Problem, Rules, Site
from stowage.site.names import nearest
from stowage.site.urls import endpoint_fault

VARIABLE = "filator_storages"
_COMMON: dict[str, type | tuple[type, ...]] = {"name": str, "type": str, "readonly": bool}
_S3: dict[str, type | tuple[type, ...]] = {
    "endpoint": str,
    "access_key": str,
    "secret_key": str,
    "use_dynamic_buckets": bool,
    "bucket": str,
    "prefix": str,
    "region": str,
    "open_timeout": (int, float),
    "read_timeout": (int, float),
    "ssl_verify_peer": bool,
    "retry_limit": int,
    "public_endpoint": str,
    "versioning": bool,
    "ca_bundle": str,
    "addressing_style": str,
    "checksum": str,
}
_FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "db": _COMMON,
    "s3": _COMMON | _S3,
    "local": _COMMON | {"path": str},
}
_CHOICES = {"addressing_style": ("path", "virtual"), "checksum": ("sha256", "crc64nvme")}
_MAY_BE_NULL = ("bucket", "public_endpoint", "ca_bundle")
_REQUIRED = {"db": (), "s3": ("endpoint", "access_key", "secret_key"), "local": ("path",)}
_WORDS: dict[type | tuple[type, ...], str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    (int, float): "a number of seconds",
}


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
    if kind not in _FIELDS:
        return [*faults, (f'{at} type: "{kind}" is unknown', "db, s3 or local")]
    if kind == "db" and entry.get("name") not in (None, "db"):
        faults.append((f'{at} name: "{entry["name"]}" with type db', "db, the only name allowed for that type"))
    if kind != "db" and entry.get("name") == "db":
        faults.append((f"{at} name: db with type {kind}", "another name, db belongs to the type db"))
    fields = _FIELDS[kind]
    for field, value in entry.items():
        if field not in fields:
            guess = nearest(str(field), fields)
            right = f"{guess} (nearest), or " if guess else ""
            faults.append((f"{at} {field}: unknown for type {kind}", f"{right}one of {', '.join(fields)}"))
        elif value is None and field in _MAY_BE_NULL:
            continue
        elif not _is(value, fields[field]):
            faults.append((f"{at} {field}: {type(value).__name__}", _WORDS[fields[field]]))
        elif field in _CHOICES and value not in _CHOICES[field]:
            faults.append((f'{at} {field}: "{value}" is unknown', " or ".join(_CHOICES[field])))
        elif not field.endswith("endpoint") or value in told or not (value or field == "endpoint"):
            continue
        elif fault := endpoint_fault(value):
            faults.append((f"{at} {field}: {fault}", "http://host:port or https://host"))
    required = _REQUIRED[kind]
    if kind == "s3":
        required += ("prefix",) if entry.get("use_dynamic_buckets") is True else ("bucket",)
    faults += [(f"{at} {field}: missing", f"needed for type {kind}") for field in required if not entry.get(field)]
    return faults


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
