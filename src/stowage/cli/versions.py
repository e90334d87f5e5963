"""``stowage versions``: an inventory by prefix and age, or the versions of one key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from stowage import errors
from stowage.cli.connect import connection_options, target
from stowage.cli.output import human_size, print_table, printable, progress, say
from stowage.s3.versions_inventory import AGES, Inventory, Room

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_BAR = 40
_SHADES = dict(zip(AGES, "·░▒▓▉█", strict=True))


@click.command()
@connection_options
@click.option("--prefix", default="", help="Only keys that start so")
@click.option("--depth", type=click.IntRange(0, 20), default=1, help="Sum up by this many folders  [default: 1]")
@click.option(
    "--top", type=click.IntRange(1), default=30, help="Show this many prefixes, most old bytes first  [default: 30]"
)
@click.option("--key", help="Show the versions of this one key, with the ids that restore takes")
@click.option("--chart", is_flag=True, help="Bars of old bytes by age instead of numbers")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: a prefix, or with --key a version")
def command(connection: Mapping[str, Any], **given: Any) -> None:
    """Show what old versions there are, what room they keep, and for how long they have been replaced."""
    from stowage.s3.connection import s3_client  # noqa: PLC0415

    place = target(connection)
    client = s3_client(place.settings)
    if given["key"] is not None:
        _one_key(client, place.bucket, given["key"], as_json=given["as_json"])
        return
    inventory = _inventory(client, place.bucket, given["prefix"], given["depth"])
    rooms = inventory.rooms()
    if given["as_json"]:
        for room in rooms:
            click.echo(json.dumps(asdict(room), ensure_ascii=False))
    elif given["chart"]:
        _chart(rooms[: given["top"]], inventory.total)
    else:
        _table(rooms[: given["top"]], inventory.total)
    if len(rooms) > given["top"] and not given["as_json"]:
        say(f"{len(rooms) - given['top']} more prefixes; show them with --top {len(rooms)}")


def _inventory(client: S3Client, bucket: str, prefix: str, depth: int) -> Inventory:
    from stowage.s3.versions import Listing  # noqa: PLC0415

    listing = Listing(client, bucket, prefix)
    missing = 0
    with progress("listing versions", None) as bar:
        for by_folder in (False, True):
            inventory = Inventory(depth, datetime.now(UTC))
            for history in listing.histories(by_folder=by_folder):
                inventory.add(history)
                if listing.keys % 500 == 0:
                    bar.at(listing.rows)
            missing = listing.missing_live_keys() if listing.doubtful else 0
            if not missing:
                break
    if missing:
        say(f"warning: the server's version listing lost {missing} live keys; they are not counted")
    return inventory


def _table(rooms: list[Room], total: Room) -> None:
    head = (
        "PREFIX",
        "KEYS",
        "LIVE",
        "LIVE_BYTES",
        "OLD_VERSIONS",
        "OLD_BYTES",
        "MARKERS",
        *(f"OLD{age}" for age in AGES),
    )
    rows = [_row(printable(room.prefix) or "(top)", room) for room in rooms]
    print_table(head, [*rows, _row("(sum)", total)])


def _row(name: str, room: Room) -> tuple[str, ...]:
    return (
        name,
        str(room.keys),
        str(room.live_keys),
        human_size(room.live_bytes),
        str(room.old_versions),
        human_size(room.old_bytes),
        str(room.markers),
        *(human_size(size) if size else "-" for size in room.old_bytes_by_age.values()),
    )


def _chart(rooms: list[Room], total: Room) -> None:
    click.echo("old bytes by time since they were replaced: " + "  ".join(f"{_SHADES[age]} {age}" for age in AGES))
    most = max((room.old_bytes for room in rooms), default=0)
    width = max((len(printable(room.prefix)) for room in rooms), default=0)
    width = max(width, len("(top)"))
    for room in rooms:
        bar = "".join(
            _SHADES[age] * round(_BAR * size / most) for age, size in room.old_bytes_by_age.items() if most and size
        )
        name = printable(room.prefix) or "(top)"
        click.echo(f"{name.ljust(width)}  {bar.ljust(_BAR)}  {human_size(room.old_bytes)} in {room.old_versions}")
    click.echo(f"{'(sum)'.ljust(width)}  {' ' * _BAR}  {human_size(total.old_bytes)} in {total.old_versions}")


def _one_key(client: S3Client, bucket: str, key: str, *, as_json: bool) -> None:
    from stowage.s3.prune_plan import human_age, newest_first  # noqa: PLC0415
    from stowage.s3.versions import list_key  # noqa: PLC0415

    rows = newest_first(list_key(client, bucket, key))
    if not rows:
        raise errors.NotFoundError(f"key {key!r} has no versions in bucket {bucket}")
    if as_json:
        for row in rows:
            told = {name: value for name, value in row._asdict().items() if name != "position"}
            click.echo(json.dumps({**told, "last_modified": row.last_modified.isoformat()}, ensure_ascii=False))
        return
    now = datetime.now(UTC)
    cells: list[tuple[str, ...]] = []
    successor: datetime | None = None
    for row in rows:
        what = "delete marker" if row.is_marker else "version"
        state = "current" if row.is_latest else "old"
        if successor is not None and not row.is_latest:
            state = f"replaced {human_age((now - successor).total_seconds())} ago"
        cells.append((row.version_id, row.last_modified.isoformat(), str(row.size), what, state))
        successor = row.last_modified
    print_table(("VERSION_ID", "WRITTEN", "SIZE", "WHAT", "STATE"), cells)
