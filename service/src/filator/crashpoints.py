"""Named places where the process may die. In production `reach` does nothing; the crash tests replace it."""

from __future__ import annotations


def reach(point: str) -> None:
    """Mark a crash point of docs/durability.md.

    Args:
        point: its name there.
    """
