"""Whether a value fits the argument spec of its role. Pure functions; Ansible's validator is handed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from stowage.site.names import nearest

Spec = Mapping[str, Any]
Validate = Callable[[Mapping[str, Spec], Mapping[str, Any]], list[str]]

_WORDS = {
    "bool": "true or false",
    "dict": "a mapping",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "path": "a path",
    "str": "text",
}
_DIGEST = re.compile(r"^sha256:[0-9a-fA-F]{64}$")


def misfit(
    name: str, value: Any, spec: Spec, validate: Validate, secrets: Collection[str] = ()
) -> tuple[str, str] | None:
    """Say why a value does not fit.

    Args:
        name: Of the variable.
        value: As it was worked out; ``None`` counts as not set.
        spec: Of the variable, as a role's meta/argument_specs.yml has it.
        validate: Ansible's own validator: the complaints about parameters by a spec.
        secrets: Texts that must not be shown.

    Returns:
        What is wrong, without a secret, and what would be right; ``None`` when it fits.
    """
    if value is None:
        return None
    right = _wanted(spec, value)
    # Ansible's validator makes a list of any text, but the role would still read the text.
    if wrong := next(_of_another_kind(name, value, spec), None):
        return wrong
    if complaints := validate({name: spec}, {name: value}):
        hidden = {*secrets, *_private(value, spec)}
        return f"{name}: {_without(' '.join('; '.join(complaints).split()), hidden)}", right
    if spec.get("type") == "int" and (right_range := _out_of_range(name, int(value))):
        return f"{name} is {_without(str(value), set(secrets))}", right_range
    if name.endswith(("_digest", "_checksum")) and value != "" and not _DIGEST.match(str(value)):
        return f"{name} is no digest", "sha256: and 64 hexadecimal digits"
    return None


def _out_of_range(name: str, number: int) -> str | None:
    """No role has a number below zero; what else a port can be is known of all of them."""
    if name.endswith("_port"):
        return None if 1 <= number <= 65535 else "a port from 1 to 65535"
    return None if number >= 0 else "a whole number from 0 on"


def _wanted(spec: Spec, value: Any) -> str:
    if choices := [str(one) for one in spec.get("choices") or ()]:
        guess = nearest(str(value), choices)
        return f"{guess} (nearest), or one of {', '.join(choices)}" if guess else f"one of {', '.join(choices)}"
    kind = _WORDS.get(spec.get("type", "str"), "what the role's README says")
    fields = ", ".join(spec.get("options") or ())
    return f"{kind} of mappings with {fields}" if fields and spec.get("type") == "list" else kind


def _of_another_kind(where: str, value: Any, spec: Spec) -> Iterator[tuple[str, str]]:
    kind = spec.get("type", "str")
    if kind == "list":
        if not isinstance(value, list):
            yield f"{where} is {_kind_of(value)}, not a list", _wanted(spec, value)
            return
        item = {"type": spec.get("elements", "raw"), "options": spec.get("options")}
        for number, one in enumerate(value):
            yield from _of_another_kind(f"{where} entry {number}", one, item)
    elif kind == "dict":
        if not isinstance(value, Mapping):
            yield f"{where} is {_kind_of(value)}, not a mapping", _wanted(spec, value)
            return
        for field, inner in (spec.get("options") or {}).items():
            if value.get(field) is not None:
                yield from _of_another_kind(f"{where}, field {field}", value[field], inner)
    elif kind != "raw" and isinstance(value, list | Mapping):
        yield f"{where} is {_kind_of(value)}, not {_WORDS.get(kind, kind)}", _wanted(spec, value)


def _kind_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, bool):
        return "a boolean"
    return "a list" if isinstance(value, list) else "text" if isinstance(value, str) else "a number"


def _private(value: Any, spec: Spec) -> Iterator[str]:
    """The texts in a value that its spec calls secret."""
    if spec.get("no_log"):
        yield from _texts(value)
    elif isinstance(value, list):
        for one in value:
            yield from _private(one, {**spec, "type": "dict"})
    elif isinstance(value, Mapping):
        for field, inner in (spec.get("options") or {}).items():
            if field in value:
                yield from _private(value[field], inner)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif value is not None:
        yield str(value)


def _without(text: str, hidden: Collection[str]) -> str:
    for one in sorted(filter(None, hidden), key=len, reverse=True):
        text = text.replace(one, "...")
    return text
