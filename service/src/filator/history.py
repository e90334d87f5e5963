"""`filator versions` and `filator restore`: what they print."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from datetime import timedelta
from functools import partial

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from filator.commandline import Failed
from filator.database import Rows, open_pool
from filator.models import Attachment
from filator.restore import Service
from filator.settings import Settings
from filator.storages.registry import Registry
from filator.storages.s3 import S3Store
from filator.times import iso
from filator.versions import FileVersion, choose, describe, gather


def _gather(settings: Settings, uuid: str) -> tuple[Attachment, list[FileVersion], Registry]:
    async def run() -> tuple[Attachment, list[FileVersion], Registry]:
        pool = await open_pool(settings.database_url.get_secret_value(), size=3, name="filator-versions")
        registry = Registry.from_settings(settings, pool)
        grace = timedelta(seconds=settings.gc_grace_seconds)
        try:
            return (*await gather(Rows(pool, gc_grace=grace, keep_replaced=True), registry, uuid), registry)
        finally:
            await registry.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(pool.close(), 5)

    item, versions, registry = asyncio.run(run())
    return item, versions, registry


def show_versions(settings: Settings, uuid: str, *, as_json: bool) -> None:
    """Print the versions of a file.

    Raises:
        NoVersions: there is no such file, or its storage keeps none.
        StorageError: the store cannot be asked.
        Unavailable: the database cannot be asked.
    """
    item, versions, _registry = _gather(settings, uuid)
    zone = settings.timezone
    if as_json:
        rows = [describe(it, partial(iso, zone=zone)) for it in versions]
        click.echo(json.dumps({"uuid": uuid, "filename": item.filename, "versions": rows}, ensure_ascii=False))
        return
    width = max([10, *(len(it.version_id) for it in versions)])
    click.echo(f"{'version id':<{width}}  {'written':<29}  {'size':>14}  {'state':<10}  filename")
    for it in versions:
        name = click.unstyle(it.filename or "-")
        click.echo(f"{it.version_id:<{width}}  {iso(it.written, zone)}  {it.size:>14}  {it.state:<10}  {name}")
    if all(it.state != "current" for it in versions):
        click.echo("filator: the current version is not in the store's listing; its bytes may be lost", err=True)


def restore(
    settings: Settings, uuid: str, *, version_id: str | None, url: str | None, dry_run: bool, as_json: bool
) -> None:
    """Make an old version the file again and say so.

    Args:
        settings: checked ones.
        uuid: of the file.
        version_id: None for the version before the current one.
        url: of the running service; None for the one of these settings.
        dry_run: only say what would be done.
        as_json: print JSON, no progress.

    Raises:
        NoVersions: there is no such file or version.
        Failed: the service or the store refused; nothing was replaced.
        StorageError: the store cannot be asked.
        Unavailable: the database cannot be asked.
    """
    host, port = settings.address
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    service = Service(url or f"http://{f'[{local}]' if ':' in local else local}:{port}")
    item, versions, registry = _gather(settings, uuid)
    target, already = choose(item, versions, version_id)
    what = f"version {target.version_id} ({target.size} bytes, written {iso(target.written, settings.timezone)})"
    done = {"uuid": uuid, "version_id": target.version_id, "size": target.size, "changed": not already}
    if not (already or dry_run):
        store = registry.get(target.pointer.store)
        assert isinstance(store, S3Store)
        service.check(item)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        quiet = as_json or not sys.stderr.isatty()
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=quiet) as progress:
            task = progress.add_task("restoring", total=target.size)
            answer = service.put(item, target, store, lambda size: progress.update(task, advance=size))
        if target.checksum is not None and answer.get("checksum") != target.checksum:
            raise Failed("the service answered with another checksum; look at the file before you trust it")
        already = answer.get("checksum") == item.checksum
        done |= {"changed": not already, "checksum": answer.get("checksum")}
    if as_json:
        click.echo(json.dumps({**done, "dry_run": dry_run}))
    elif already:
        click.echo(f"already: the file has the bytes of {what}; `filator restore {uuid} --version-id ID` takes another")
    elif dry_run:
        click.echo(f"would restore {what}")
    else:
        click.echo(f"restored {what}; what it replaced stays as a version")
