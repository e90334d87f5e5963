"""One list of differences, from which ``changed``, the diff and the change itself are taken."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Difference:
    """One thing that is not as declared.

    Args:
        field: What it is, as the module's option calls it: ``versioning``, ``policies``.
        before: What the server holds; ``None`` when nothing.
        after: What was asked for; ``None`` when it shall be gone.
    """

    field: str
    before: Any
    after: Any


@dataclass
class Outcome:
    """What was found, and what was (or, in check mode, would be) done about one object.

    Args:
        name: The object, as a person calls it: a bucket, a user.
        differences: Everything that had to change; empty when all was as declared.
        state: The object as it is now, or as it would be.
        warnings: Things a person should hear that are no failure.
    """

    name: str
    differences: list[Difference] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """True when at least one difference was found."""
        return bool(self.differences)

    def diff(self) -> dict[str, str]:
        """The differences as Ansible shows them: two texts under the object's name."""
        before = {one.field: one.before for one in self.differences}
        after = {one.field: one.after for one in self.differences}
        return {
            "before_header": self.name,
            "after_header": self.name,
            "before": readable(before),
            "after": readable(after),
        }

    def result(self) -> dict[str, Any]:
        """Plain data for a module's ``results``."""
        return {
            **self.state,
            "name": self.name,
            "changed": self.changed,
            "differences": [one.field for one in self.differences],
        }


def readable(value: Any) -> str:
    """Stable text, one item a line, so that a line diff shows the item that differs."""
    return json.dumps(value, indent=2, sort_keys=True, default=sorted) + "\n"
