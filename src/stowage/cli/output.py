"""Printing: plain aligned tables on stdout, progress on stderr and only there on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

_GAP = "  "


def say(text: str) -> None:
    """A line for a person, on stderr, so that stdout stays data."""
    click.echo(text, err=True)


def table_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One row: left-aligned, two spaces between, nothing behind the last cell."""
    padded = [cell.ljust(width) for cell, width in zip(cells[:-1], widths, strict=False)]
    return _GAP.join([*padded, cells[-1]])


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table small enough to be held in memory."""
    held = [head, *rows]
    widths = [max(len(row[column]) for row in held) for column in range(len(head) - 1)]
    for row in held:
        click.echo(table_line(row, widths))


def printable(key: str) -> str:
    """A key as it can stand in a table: control characters would let a name paint over the terminal."""
    return key if key.isprintable() else "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in key)


def go_duration(seconds: float) -> str:
    """Go's notation, rounded to seconds: ``20m7s``, ``8760h0m0s``."""
    left = round(abs(seconds))
    sign = "-" if seconds < 0 and left else ""
    hours, rest = divmod(left, 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{sign}{hours}h{minutes}m{rest}s"
    return f"{sign}{minutes}m{rest}s" if minutes else f"{sign}{rest}s"


def mebibytes(size: int) -> str:
    """``12.34 MiB``."""
    return f"{size / 1024**2:.2f} MiB"


def human_size(size: float) -> str:
    """Bytes with a unit that fits: ``512 B``, ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


class Progress:
    """What a long step reports to: ``at(n)`` for the number done so far."""

    def at(self, done: int) -> None:
        """Nothing to do without a terminal."""


class _Bar(Progress):
    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task

    def at(self, done: int) -> None:
        self._bar.update(self._task, completed=done)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Progress]:
    """A bar with rate and remaining time on a terminal, silence in a pipe.

    Args:
        what: What is being done: ``listing``.
        total: Items to come; ``None`` when nobody knows.
    """
    if not sys.stderr.isatty():
        yield Progress()
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f}/s" if speed else "")

    columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}")]
    columns += [BarColumn(), MofNCompleteColumn()] if total is not None else [TextColumn("{task.completed:,}")]
    columns += [Rate(), TimeElapsedColumn()] + ([TimeRemainingColumn()] if total is not None else [])
    with RichProgress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()
    ) as bar:
        yield _Bar(bar, bar.add_task(what, total=total))
