"""``stowage restore``: one key at once, a whole prefix only after a dry run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from stowage import errors
from stowage.cli.connect import connection_options, target
from stowage.cli.output import human_size, print_table, printable, progress, say
from stowage.s3.restore_plan import Action, Step, parse_moment

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    from stowage.s3.restore import Restored


@click.command()
@connection_options
@click.argument("key", required=False)
@click.option("--version-id", help="The version to bring back; see: stowage versions --key KEY")
@click.option("--as-of", help="Bring back what was current then: 2026-11-22T17:00:00Z, or 2d for two days ago")
@click.option("--prefix", help="Instead of one key, every key that starts so; needs --as-of, and --yes to act")
@click.option("--remove-newer", is_flag=True, help="With --prefix: put delete markers on keys that did not exist then")
@click.option("--dry-run", is_flag=True, help="Show what would be done with one key, and stop")
@click.option("--yes", is_flag=True, help="With --prefix: act. Without it nothing is written")
@click.option(
    "--method",
    type=click.Choice(["stream", "copy"]),
    default="stream",
    help="Through this machine, or copied by the server, which RustFS before beta.9 can not  [default: stream]",
)
@click.option("--workers", type=click.IntRange(1, 64), default=4, help="Keys at the same time  [default: 4]")
@click.option("--without-tags", is_flag=True, help="Leave tags out, for a key that may not read them")
@click.option("--ignore-bucket-rules", is_flag=True, help="Write behind the back of the file service")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line")
@click.pass_context
def command(ctx: click.Context, /, connection: Mapping[str, Any], **given: Any) -> None:
    """Make an old version of KEY current again, or a whole prefix what it was.

    The bytes are written on top as a new version, with content type, metadata and tags, and read back. What was
    current before stays there as an old version. A bucket of the file service is refused: there it is filator restore.
    """
    from stowage.s3.connection import s3_client  # noqa: PLC0415
    from stowage.s3.restore import check_may_restore, plan_key_restore, restore  # noqa: PLC0415

    _check(given)
    moment = parse_moment(given["as_of"], datetime.now(UTC)) if given["as_of"] else None
    place = target(connection)
    client = s3_client(place.settings, pool_size=2 * given["workers"])
    if given["key"] is not None:
        steps = [
            plan_key_restore(
                client,
                place.bucket,
                given["key"],
                version_id=given["version_id"],
                moment=moment,
                with_tags=not given["without_tags"],
            )
        ]
        act = not given["dry_run"]
    else:
        steps = _prefix_steps(client, place.bucket, given, moment)
        act = given["yes"] and not given["dry_run"]
    if not given["ignore_bucket_rules"]:
        check_may_restore(client, place.bucket, steps)
    if not act:
        _show(steps, as_json=given["as_json"])
        doing = sum(step.action in (Action.RESTORE, Action.REMOVE) for step in steps)
        say(f"dry-run only — {doing} keys would change" + ("; pass --yes to act" if given["key"] is None else ""))
        return
    how = {name: given[name] for name in ("method", "workers", "ignore_bucket_rules")} | {
        "with_tags": not given["without_tags"]
    }
    ctx.exit(_report(restore(client, place.bucket, steps, **how), steps, given))


def _check(given: Mapping[str, Any]) -> None:
    if (given["key"] is None) == (given["prefix"] is None):
        raise errors.BadInputError("give either a KEY or --prefix", "stowage restore KEY --version-id ID")
    if given["key"] is not None and (given["version_id"] is None) == (given["as_of"] is None):
        raise errors.BadInputError(
            "give exactly one of --version-id and --as-of",
            f"stowage versions --key {given['key']!r} shows the versions",
        )
    if given["prefix"] is not None and (given["as_of"] is None or given["version_id"] is not None):
        raise errors.BadInputError("--prefix needs --as-of, and takes no --version-id")
    if given["remove_newer"] and given["prefix"] is None:
        raise errors.BadInputError("--remove-newer belongs to --prefix")


def _prefix_steps(client: S3Client, bucket: str, given: Mapping[str, Any], moment: datetime | None) -> list[Step]:
    from stowage.s3.restore import plan_prefix_restore  # noqa: PLC0415

    steps: list[Step] = []
    if moment is None:
        return steps
    same = 0
    with progress("comparing keys", None) as bar:
        found = plan_prefix_restore(
            client,
            bucket,
            given["prefix"],
            moment,
            remove_newer=given["remove_newer"],
            with_tags=not given["without_tags"],
        )
        for number, step in enumerate(found, start=1):
            if step.action is Action.NOTHING:
                same += 1
            else:
                steps.append(step)
            bar.at(number)
    say(f"{same} keys are as they were then; {len(steps)} are not")
    return steps


def _show(steps: list[Step], *, as_json: bool) -> None:
    if as_json:
        for step in steps:
            told: dict[str, Any] = {"key": step.key, "action": step.action.value, "reason": step.reason}
            if step.source:
                told |= {"source_version_id": step.source.version_id, "size": step.source.size}
            click.echo(json.dumps(told, ensure_ascii=False))
        return
    rows = []
    for step in steps:
        source = step.source
        version, size = (source.version_id, str(source.size)) if source else ("-", "-")
        rows.append((printable(step.key), version, size, step.action.value.upper(), step.reason))
    print_table(("KEY", "VERSION_ID", "SIZE", "ACTION", "REASON"), rows)


def _report(results: Iterable[Restored], steps: list[Step], given: Mapping[str, Any]) -> int:
    counts: Counter[str] = Counter()
    written = 0
    with progress("restoring", len(steps)) as bar:
        for number, done in enumerate(results, start=1):
            counts["failed" if done.error else done.action if done.changed else "unchanged"] += 1
            written += done.size
            if given["as_json"]:
                click.echo(json.dumps(asdict(done), ensure_ascii=False))
            elif done.error:
                say(f"FAIL {printable(done.key)}: {done.error}")
            elif done.changed:
                source = f" from {done.source_version_id}" if done.source_version_id else ""
                word = "RESTORED" if done.action == "restore" else "REMOVED"
                click.echo(f"{printable(done.key)} @{done.version_id} {word}{source}")
            else:
                click.echo(f"{printable(done.key)} UNCHANGED: {done.reason}")
            bar.at(number)
    say("---")
    say(
        f"restored: {counts['restore']} ({human_size(written)}), removed: {counts['remove']},"
        f" unchanged: {counts['unchanged']}, failed: {counts['failed']}"
    )
    return 1 if counts["failed"] else 0
