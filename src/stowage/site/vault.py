"""The text of a vault file: which secrets it lacks, and how they get in without touching anything else in it."""

from __future__ import annotations

import secrets
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import yaml

from stowage.errors import BadInputError

# Letters and digits only: the values go into connection strings, INI files and shells.
_ALPHABETS = {
    "password": string.ascii_letters + string.digits,
    "access_key": string.ascii_uppercase + string.digits,
    "secret_key": string.ascii_letters + string.digits,
    "token": string.ascii_letters + string.digits,
}
KINDS = tuple(_ALPHABETS)
HEADER = "# Secrets of this site. Read and change them with ansible-vault edit; see docs/secrets.md.\n---\n"


@dataclass(frozen=True)
class VaultPlan:
    """What a change makes of a vault file.

    Args:
        text: The whole new text, in the clear.
        added: Names that were missing or empty.
        replaced: Names that had another value, asked for by name.
        kept: Names that had a value already, which stays.
    """

    text: str
    added: tuple[str, ...]
    replaced: tuple[str, ...]
    kept: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether the file must be written."""
        return bool(self.added or self.replaced)


def generate_secret(kind: str, length: int) -> str:
    """Make a random secret.

    Args:
        kind: One of ``KINDS``; it decides the alphabet.
        length: Number of characters, at least 8.

    Raises:
        BadInputError: Unknown kind, or too short.
    """
    if kind not in _ALPHABETS:
        raise BadInputError(f'unknown kind of secret "{kind}"', hint=f"one of {', '.join(KINDS)}")
    if length < 8:
        raise BadInputError(f"a secret of {length} characters is too short", hint="length: 8 or more")
    return "".join(secrets.choice(_ALPHABETS[kind]) for _ in range(length))


def stored_names(text: str) -> dict[str, bool]:
    """Return the names in a vault's text, each with whether it has a value.

    Args:
        text: YAML mapping; ``!vault`` and other tags are left unread.

    Raises:
        BadInputError: The text is no YAML mapping, or a SOPS file.
    """
    return {name: not _is_empty(value) for name, (_, value) in _entries(text).items()}


def plan_vault(text: str, wanted: Mapping[str, str], replace: Collection[str] = ()) -> VaultPlan:
    """Work out the new text of a vault file. Comments, order and all other entries stay as they are.

    Args:
        text: Present text in the clear; empty for a new file.
        wanted: Names with the values to store.
        replace: Names whose present value gives way; all others are never overwritten.

    Raises:
        BadInputError: The text is no plain mapping of names, so that it cannot be changed without touching the rest.
    """
    if bad := [name for name in wanted if not name.isidentifier()]:
        raise BadInputError(f'"{bad[0]}" is no variable name', hint="letters, digits and underscores")
    entries = _entries(text)
    missing = [name for name in wanted if name not in entries or _is_empty(entries[name][1])]
    replaced = [name for name in wanted if name in replace and name not in missing]
    kept = [name for name in wanted if name not in missing and name not in replaced]
    plan = VaultPlan(
        _edit(text, entries, {name: wanted[name] for name in missing + replaced}),
        *map(tuple, (missing, replaced, kept)),
    )
    if plan.changed:
        _prove(text, plan, wanted)
    return plan


def _entries(text: str) -> dict[str, tuple[yaml.ScalarNode, yaml.Node]]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f" at line {mark.line + 1}" if mark else ""
        # The parser's own message would quote the line, and with it a secret.
        raise BadInputError(f"the vault file is no YAML{at}", hint="mend it with ansible-vault edit") from None
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise BadInputError(
            "the vault file is no mapping of names, one per line", hint="mend it with ansible-vault edit"
        )
    entries = {key.value: (key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    if "sops" in entries:
        raise BadInputError("the vault file is encrypted by SOPS", hint="add the missing names with sops edit")
    return entries


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and (node.tag == "tag:yaml.org,2002:null" or not node.value.strip())


def _edit(text: str, entries: Mapping[str, tuple[yaml.ScalarNode, yaml.Node]], values: Mapping[str, str]) -> str:
    at_end = [name for name in values if name not in entries]
    # From the end, so that the marks of earlier entries stay true.
    for name in sorted(set(values) - set(at_end), key=lambda name: -entries[name][0].start_mark.index):
        key, node = entries[name]
        start, end = key.start_mark.index, node.end_mark.index
        tail = "\n" if text[start:end].endswith("\n") else ""
        text = text[:start] + _line(name, values[name]) + tail + text[end:]
    if not at_end:
        return text
    text = text or HEADER
    joint = "" if text.endswith("\n") else "\n"
    return text + joint + "".join(f"{_line(name, values[name])}\n" for name in at_end)


def _line(name: str, value: str) -> str:
    quoted = str(yaml.safe_dump(value, default_style='"', width=10**9, allow_unicode=True)).strip()
    # Ansible would take braces in a value for a template.
    tag = "!unsafe " if any(mark in value for mark in ("{{", "{%", "{#")) else ""
    return f"{name}: {tag}{quoted}"


def _prove(text: str, plan: VaultPlan, wanted: Mapping[str, str]) -> None:
    """Read the new text back: the wanted values are in it and nothing else has moved."""
    before, after = _entries(text), _entries(plan.text)
    changed = {*plan.added, *plan.replaced}
    right = all(name in after and after[name][1].value == wanted[name] for name in changed)
    others = {name: yaml.serialize(value) for name, (_, value) in before.items() if name not in changed}
    same = {name: yaml.serialize(value) for name, (_, value) in after.items() if name not in changed}
    if not right or others != same:
        raise BadInputError(
            "the vault file cannot be changed without touching other entries", hint="ansible-vault edit"
        )
