"""`filator archive ...`: the archive requests of a running service, from a terminal."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import zipfile
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from filator.archive.search import extract, place_for
from filator.archive.search import search as find
from filator.client import Client
from filator.commandline import Failed, uuid_argument


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    click.echo(answer["uuid"])
    details = {key: value for key, value in answer["ctx"].items() if not isinstance(value, dict)}
    click.echo("  " + ", ".join(f"{key} {value}" for key, value in details.items()), err=True)


_url = click.option(
    "--url", default="http://127.0.0.1:8080", show_default=True, help="The service; a token comes from FILATOR_TOKEN."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_existing = click.Path(exists=True, dir_okay=False, path_type=Path)
_which = uuid_argument("that `filator archive create` printed")


@click.group()
def archive() -> None:
    """Export old rows, then delete them: create, download, commit; search in what was downloaded."""


@archive.command()
@click.argument("date", required=False)
@_url
@_json
def create(date: str | None, url: str, *, as_json: bool) -> None:
    """Open a transaction over all files created before DATE (YYYYMMDD; default: three months ago)."""
    query = f"?date={quote(date)}" if date else ""
    _show(Client(url).call("POST", f"/attachments/archive/tx{query}"), as_json=as_json)


@archive.command()
@_which
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File or directory; default: the service's name.")
@click.option("--objects", type=click.Choice(["keep", "include"]), default="keep", help="Bytes of S3 files too?")
@click.option(
    "--skip-unreadable",
    is_flag=True,
    help="Leave out files whose bytes are lost; the commit leaves them too.",
)
@_url
@_json
def download(uuid: str, output: Path | None, objects: str, url: str, *, skip_unreadable: bool, as_json: bool) -> None:
    """Download the ZIP of a transaction and check it."""
    query = f"objects={objects}" + ("&unreadable=skip" if skip_unreadable else "")
    with Client(url).open("GET", f"/attachments/archive/{uuid}?{query}") as answer:
        match = re.search(r'filename="([^"/]+)"', answer.headers.get("content-disposition", ""))
        name = match[1] if match else f"{uuid}.zip"
        target = output / name if output is not None and output.is_dir() else output or Path(name)
        partial = target.with_name(f".{target.name}.part")
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
        )
        size = 0
        digest = hashlib.sha256()
        with Progress(*columns, console=Console(stderr=True), disable=as_json) as progress, partial.open("wb") as file:
            task = progress.add_task(target.name, total=None)
            try:
                while block := answer.read(1 << 20):
                    file.write(block)
                    digest.update(block)
                    size += len(block)
                    progress.update(task, advance=len(block))
            except (OSError, HTTPException) as exc:
                partial.unlink()
                raise Failed(
                    f"the download broke off after {size} bytes ({exc}); nothing was deleted, run it again; if "
                    "it breaks off each time, the service's log names the lost file: --skip-unreadable leaves it out"
                ) from None
            file.flush()
            os.fsync(file.fileno())
    try:
        with zipfile.ZipFile(partial) as opened:
            about = json.loads(opened.read("archive.json"))
            damaged = opened.testzip()
    except (zipfile.BadZipFile, KeyError) as exc:
        partial.unlink()
        raise Failed(f"the download is not complete ({exc}); run it again") from None
    if damaged:
        partial.unlink()
        raise Failed(f"the entry {damaged} is damaged; run it again")
    partial.replace(target)
    counts = {key: about.get(key, 0) for key in ("files", "blobs", "unreadable")}
    if as_json:
        click.echo(json.dumps({"file": str(target), "size": size, "sha256": digest.hexdigest(), **counts}))
    else:
        click.echo(f"{target}: {counts['files']} files, {counts['blobs']} with their bytes; every entry checked")
    if counts["unreadable"]:
        click.echo(
            f"filator: the bytes of {counts['unreadable']} files could not be read: they are NOT in the ZIP, and the "
            f"commit leaves their rows; which and why: unzip -p {target} 'unreadable/*'",
            err=True,
        )


@archive.command()
@_which
@click.argument(
    "archive_file", metavar="[ZIP]", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--sha256", default="", help="Of the ZIP, when it does not lie on this host.")
@click.option("--unproven", is_flag=True, help="Commit without a look at the ZIP; it may not have arrived whole.")
@click.option("-m", "--message", default="", help="Kept with the transaction, e.g. where the ZIP lies.")
@click.option("--objects", type=click.Choice(["keep", "delete"]), default="keep", help="Delete the S3 objects too?")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_url
@_json
def commit(
    uuid: str,
    archive_file: Path | None,
    sha256: str,
    *,
    message: str,
    objects: str,
    url: str,
    unproven: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete for good the rows that ZIP holds. Run it again when it was interrupted.

    The service compares the sha256 of the ZIP with what it sent.
    """
    if (archive_file is not None) + bool(sha256) + unproven != 1:
        raise Failed(
            "name the ZIP that was downloaded: filator archive commit UUID ZIP (or --sha256 of it; --unproven without)",
            2,
        )
    if archive_file is not None:
        with archive_file.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if not yes:
        click.confirm("The rows of this transaction will be deleted. Is the ZIP in a safe place?", abort=True, err=True)
    path = f"/attachments/archive/{uuid}?objects={objects}&message={quote(message)}"
    answer = Client(url).call("DELETE", path + (f"&sha256={quote(sha256)}" if sha256 else ""))
    _show(answer, as_json=as_json)
    left = {key: count for key, count in answer["ctx"].get("left", {}).items() if key != "uuids" and count}
    if left:
        told = ", ".join(f"{count} {key}" for key, count in left.items())
        click.echo(f"filator: not deleted: {told} (docs/durability.md, Archives)", err=True)


@archive.command()
@click.argument("archives", nargs=-1, required=True, type=_existing)
@click.option("--uuid", default="", help="Its beginning.")
@click.option("--filename", default="", help="A part of it, in any case.")
@click.option("--checksum", default="", help="sha256, its beginning.")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="May be given several times.")
@click.option("--extract", "target", type=click.Path(path_type=Path), help="Directory to write the bytes found to.")
@_json
def search(
    archives: tuple[Path, ...],
    uuid: str,
    filename: str,
    checksum: str,
    *,
    metadata: tuple[str, ...],
    target: Path | None,
    as_json: bool,
) -> None:
    """Find files in downloaded archives without unpacking them; exit 1 when there is none."""
    if not all("=" in pair for pair in metadata):
        raise Failed("--metadata must be KEY=VALUE", 2)
    pairs = dict(pair.split("=", 1) for pair in metadata)
    found = damaged = 0
    try:
        if target is not None:
            target.mkdir(parents=True, exist_ok=True)
        for row in find(list(archives), uuid=uuid, filename=filename, checksum=checksum, metadata=pairs):
            found += 1
            if as_json:
                click.echo(json.dumps(row, ensure_ascii=False))
            else:
                click.echo(
                    f"{row['uuid']}  {row['size']:>12}  {row['created_at']}  {row['filename']}  {row['archive']}"
                )
            if target is not None:
                try:
                    extract(Path(row["archive"]), row, place_for(target, row))
                except ValueError as exc:
                    # The others can still be saved.
                    damaged += 1
                    click.echo(f"filator: {exc}", err=True)
    except (ValueError, OSError) as exc:
        raise Failed(str(exc)) from None
    sys.exit(0 if found and not damaged else 1)
