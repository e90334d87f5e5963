"""The command ``stowage``: argument parsing and printing only; the work is done by the engine.

Exit status: 0 when all went well, 1 when something failed, 2 for wrong input, 130 when interrupted.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from stowage import __version__, errors

# Loaded when called: `stowage --help` must not wait for boto3. A new command is one line here.
COMMANDS = {
    "doctor": ("stowage.cli.doctor", "Say why a store does not work: endpoint, clock, signature, permissions."),
    "presign": ("stowage.cli.presign", "Make a link that works without a key for a while."),
    "prune": ("stowage.cli.prune", "Plan, and with --yes carry out, the removal of old versions."),
    "restore": ("stowage.cli.restore", "Make an old version current again, or a whole prefix what it was."),
    "versions": ("stowage.cli.versions", "Show what old versions there are and what room they keep."),
}

_INTERRUPTED = 130  # as a shell says it of a program that SIGINT ended


class LazyGroup(click.Group):
    """Imports a command's module when it is called, and prints the engine's errors as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, without importing anything."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list for ``--help``, from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an engine error and an interrupt become one line and an exit status."""
        try:
            return super().invoke(ctx)
        except errors.StowageError as error:
            click.echo(f"stowage: {error.message}", err=True)
            if error.hint:
                click.echo(f"  hint: {error.hint}", err=True)
            ctx.exit(2 if isinstance(error, errors.BadInputError) else 1)
        except KeyboardInterrupt:
            click.echo("stowage: interrupted", err=True)
            ctx.exit(_INTERRUPTED)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="stowage")
@click.option(
    "--site",
    type=click.Path(path_type=Path),
    help="Take endpoint, key and bucket from this inventory, its vault included",
)
def main(**_: Any) -> None:
    """Look after an S3 store: see, prune and restore versions, make links, find out what is wrong."""
