"""The table of variables in a role's README, made from its argument specs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from stowage.errors import BadInputError

START = "<!-- variables: made by scripts/role-readmes from meta/argument_specs.yml -->"
END = "<!-- end of variables -->"
_MARKUP = re.compile(r"\b[VOCRE]\(([^()]*)\)")
"""Ansible's semantic markup of values, options and code, which Markdown does not know."""


def _text(value: Any) -> str:
    lines = value if isinstance(value, list) else [value or ""]
    text = " ".join(" ".join(str(line).split()) for line in lines).replace("|", "\\|")
    return _MARKUP.sub(r"`\1`", text)


def options_of(specs: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the options of all entry points of a role, each once, those of ``main`` first.

    Args:
        specs: Content of ``meta/argument_specs.yml``.
    """
    entries: Mapping[str, Any] = specs.get("argument_specs") or {}
    options: dict[str, Mapping[str, Any]] = {}
    for entry in sorted(entries, key=lambda name: (name != "main", name)):
        for name, option in (entries[entry].get("options") or {}).items():
            options.setdefault(name, option)
    return options


def _rows(options: Mapping[str, Mapping[str, Any]], parent: str = "") -> Iterator[str]:
    for name, option in options.items():
        kind = option.get("type", "str")
        if kind == "list":
            kind = f"list of {option.get('elements', 'str')}"
        choices = ", ".join(f"`{choice}`" if choice != "" else '`""`' for choice in option.get("choices") or ())
        default = "**required**" if option.get("required") else ""
        if "default" in option:
            value = option["default"]
            default = f"`{value if isinstance(value, str) and value else json.dumps(value)}`".replace("|", "\\|")
        about = _text(option.get("description")) + (f" One of {choices}." if choices else "")
        yield f"| `{parent}{name}` | {kind} | {default} | {about} |"
        if nested := option.get("options"):
            yield from _rows(nested, f"{parent}{name}{'[]' if option.get('type') == 'list' else ''}.")


def variables_table(specs: Mapping[str, Any]) -> str:
    """Return the Markdown table of a role's variables, nested ones with their path.

    Args:
        specs: Content of ``meta/argument_specs.yml``.
    """
    rows = ["| Variable | Type | Default | What it is |", "|---|---|---|---|", *_rows(options_of(specs))]
    return "\n".join(rows) + "\n"


def put_between_marks(page: str, table: str, start: str = START, end: str = END) -> str:
    """Put a table between its marks in a page.

    Args:
        page: The page; what stands outside the marks is kept.
        table: The new content.
        start: Line before the content.
        end: Line after it.

    Raises:
        BadInputError: The page has not exactly one pair of marks.
    """
    found = re.findall(f"{re.escape(start)}.*?{re.escape(end)}", page, flags=re.DOTALL)
    if len(found) != 1:
        raise BadInputError(f"the page has {len(found)} pairs of marks", hint=f"one line {start} and one line {end}")
    return page.replace(found[0], f"{start}\n\n{table}\n{end}")


def new_page(role: str, specs: Mapping[str, Any]) -> str:
    """Return the first README of a role that has none: what it does, and an empty pair of marks."""
    entries: Mapping[str, Any] = specs.get("argument_specs") or {}
    main = entries.get("main") or {}
    about = [f"# {role}", "", f"{_text(main.get('short_description'))}."]
    if description := _text(main.get("description")):
        about += ["", description]
    others = [
        f"- `{name}`: {_text(entry.get('short_description'))}" for name, entry in entries.items() if name != "main"
    ]
    if others:
        about += ["", "Other entry points, called by `tasks_from`:", "", *others]
    return "\n".join([*about, "", "## Variables", "", START, END, ""])
