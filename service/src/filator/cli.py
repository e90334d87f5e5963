"""The command `filator`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import click

from filator import __version__, logs
from filator.commandline import EX_UNAVAILABLE, Failed, uuid_argument
from filator.database import LOST
from filator.errors import ConfigError
from filator.settings import EX_CONFIG, Settings, load_settings


def with_settings(*, client: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the checked settings; bad ones end it with one line and exit code 78.

    Args:
        client: the command belongs to people who call the service, and who may have FILATOR_TOKEN set for that.
            Every other command refuses the variable, lest it be taken for FILATOR_TOKENS_FILE.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def run(*args: Any, **kwargs: Any) -> Any:
            environ = {key: text for key, text in os.environ.items() if not (client and key == "FILATOR_TOKEN")}
            try:
                settings = load_settings(environ)
            except ConfigError as exc:
                raise Failed(str(exc), EX_CONFIG) from None
            logs.configure(settings.log_level)
            try:
                return command(settings, *args, **kwargs)
            except (asyncpg.PostgresError, *LOST) as exc:
                text = str(exc).splitlines()[0][:200] if str(exc) else ""
                raise Failed(
                    f"the database of FILATOR_DATABASE_URL does not do it: {type(exc).__name__} {text}", EX_UNAVAILABLE
                ) from None

        return run

    return decorate


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="filator")
def main() -> None:
    """Run and operate the file service. Settings come from the environment (docs/filator.md)."""


@main.command()
@with_settings()
def check(settings: Settings) -> None:
    """Check all settings without connecting anywhere."""
    names = ", ".join(f"{it.name} ({it.type}{', read only' if it.readonly else ''})" for it in settings.storages)
    click.echo(f"settings are fine; storages: {names}")


@main.command()
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 3 when a migration is pending.")
@with_settings()
def migrate(settings: Settings, *, only_check: bool) -> None:
    """Bring the schema to this version's."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - SQLAlchemy costs the other commands 0.2 s

    from filator import migrate as migration  # noqa: PLC0415

    url = settings.database_url.get_secret_value()
    try:
        before, after = migration.pending(url) if only_check else migration.migrate(url)
    except SQLAlchemyError as exc:
        raise Failed(f"migration failed: {str(exc.__cause__ or exc).splitlines()[0][:300]}") from None
    if only_check:
        click.echo(f"already at {after}" if before == after else f"pending: from {before} to {after}")
        sys.exit(0 if before == after else 3)
    click.echo(f"already at {after}" if before == after else f"migrated from {before} to {after}")


@main.command()
@with_settings()
def serve(settings: Settings) -> None:
    """Serve HTTP. SIGTERM finishes uploads and exits 0; SIGHUP replaces the workers one by one."""
    from filator.server import serve as run  # noqa: PLC0415 - the server is loaded by the one command that needs it

    sys.exit(run(settings))


@main.command()
@with_settings()
def worker(settings: Settings) -> None:
    """Run the background worker: expiry and the sweeps."""
    from redis.exceptions import RedisError  # noqa: PLC0415

    from filator.worker import run_worker  # noqa: PLC0415

    try:
        run_worker(settings)
    except RedisError as exc:
        raise Failed(f"the Redis of FILATOR_REDIS_URL does not answer ({type(exc).__name__})", EX_UNAVAILABLE) from None


@main.command()
@click.argument(
    "name", type=click.Choice(["expire", "collect", "intents", "archives", "orphans", "figures"]), required=False
)
@click.option("--all-days", is_flag=True, help="orphans: look at every day's keys, not only the last three.")
@click.option("--force", is_flag=True, help="orphans: queue them even when suspiciously many are found.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_settings()
def sweep(settings: Settings, name: str | None, *, all_days: bool, force: bool, as_json: bool) -> None:
    """Run one sweep now, or all of them."""
    from filator.worker import sweeper  # noqa: PLC0415

    async def run() -> dict[str, dict[str, int]]:
        async with sweeper(settings, name="filator-sweep") as sweeps:
            done = {}
            for key, function in sweeps.items():
                if name in (None, key):
                    options = {"days": None if all_days else 3, "force": force} if key == "orphans" else {}
                    done[key] = await function(**options)
            return done

    done = asyncio.run(run())
    if as_json:
        click.echo(json.dumps(done))
        return
    for key, counts in done.items():
        click.echo(f"{key}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))


@main.command()
@click.argument("name")
@click.option("--scopes", default="read,write", show_default=True, help="Of read, owner, write, admin; comma between.")
def token(name: str, scopes: str) -> None:
    """Make a bearer token: the token on stderr (shown once), its line for FILATOR_TOKENS_FILE on stdout."""
    from filator.tokens import SCOPES, new_token  # noqa: PLC0415

    wanted = scopes.split(",")
    if not set(wanted) <= set(SCOPES):
        raise Failed(f"--scopes {scopes}: must be of {', '.join(SCOPES)}", 2)
    secret, line = new_token(name, wanted)
    click.echo(secret, err=True)
    click.echo(line)


_which = uuid_argument("of the file's address")


@main.command()
@_which
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_settings(client=True)
def versions(settings: Settings, uuid: str, *, as_json: bool) -> None:
    """List the versions of a file that its storage holds: of each key the newest first."""
    from filator.history import show_versions  # noqa: PLC0415

    _done(show_versions, settings, uuid, as_json=as_json)


@main.command()
@_which
@click.option("--version-id", help="Which; default: the one before the current one.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.option("--url", help="The service; default: FILATOR_LISTEN. A token (read and write) comes from FILATOR_TOKEN.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_settings(client=True)
def restore(
    settings: Settings, uuid: str, version_id: str | None, url: str | None, *, dry_run: bool, as_json: bool
) -> None:
    """Make an old version the file again. What it replaces stays as a version; metadata and delete_at stay too."""
    from filator.history import restore as run  # noqa: PLC0415

    _done(run, settings, uuid, version_id=version_id, url=url, dry_run=dry_run, as_json=as_json)


@main.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write, for its owner only.")
@with_settings()
def rows(settings: Settings, *, out: Path) -> None:
    """Write which versions in the store are files or were, for `stowage prune --service-rows`."""
    from filator.rows import write_rows  # noqa: PLC0415

    _done(lambda: click.echo(f"{write_rows(settings, out)} versions are named by rows; written to {out}", err=True))


def _done(run: Callable[..., None], *args: Any, **options: Any) -> None:
    from filator.errors import StorageError, Unavailable  # noqa: PLC0415
    from filator.versions import NoVersions  # noqa: PLC0415

    try:
        run(*args, **options)
    except NoVersions as exc:
        raise Failed(str(exc)) from None
    except (StorageError, Unavailable) as exc:
        raise Failed(str(exc), EX_UNAVAILABLE) from None


def _archive() -> click.Group:
    from filator.archive.commands import archive  # noqa: PLC0415 - rich is needed by this group alone

    return archive


main.add_command(_archive())
