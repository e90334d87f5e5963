"""What all commands share: how they fail, and the argument UUID."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import IO, Any

import click

EX_UNAVAILABLE = 69


class Failed(click.ClickException):
    """The command did not work; the text is one line for people.

    Attributes:
        exit_code: of the command.
    """

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        # click declares it for the class, but reads it of the instance.
        self.exit_code = code  # type: ignore[misc]

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line as all commands of filator do; click calls this."""
        click.echo(f"filator: {self.message}", file=file, err=True)


def uuid_argument(hint: str) -> Callable[..., Any]:
    """Declare the argument UUID of a command: 64 hex characters, in any case as the service takes them.

    Args:
        hint: where people find them, told when they are something else.
    """

    def checked(_context: object, _parameter: object, value: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{64}", value.lower()):
            raise click.BadParameter(f"must be the 64 hex characters {hint}")
        return value.lower()

    return click.argument("uuid", callback=checked)
