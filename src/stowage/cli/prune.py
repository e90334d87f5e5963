"""``stowage prune``: a plan on stdout, a summary on stderr, and nothing deleted without ``--yes``.

The form of the output is the older tool's (facts/qatlasd.md 3.3), with its faults mended: the exit status says whether
something failed, ``freed`` counts only what really went, and the JSON is JSON.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stowage import errors
from stowage.cli.connect import Target, connection_options, target
from stowage.cli.output import go_duration, mebibytes, printable, progress, say, table_line
from stowage.s3.prune_file import Candidate, Plan, PlanHead
from stowage.s3.prune_plan import PruneRules, parse_age

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    from stowage.s3.service_rows import ServiceRows

_HEAD = ("KEY", "VERSION_ID", "SIZE", "AGE", "ACTION")
_WIDEST_KEY = 80
# What qatlasd's own prune does with the same filters: it counts age from a version's own date, ranks only what is old
# enough, and takes the last copy under a delete marker (facts/qatlasd.md 3.2).
_QATLASD_RULES = {"age_basis": "own", "keep_last_scope": "eligible", "include_last_copy": True}
_RULE_FLAGS = ("older_than", "keep_last", "all_old", "rules", *_QATLASD_RULES, "prefix")


@click.command()
@connection_options
@click.option("--prefix", default="", help="Only keys that start so; no leading slash")
@click.option("--older-than", help="Least age: 30d, 2w, 1y, 0.5d, or a Go duration such as 36h; m means minutes")
@click.option("--keep-last", type=int, default=0, help="Keep this many noncurrent versions of each key  [default: 0]")
@click.option(
    "--age-basis",
    type=click.Choice(["noncurrent", "own"]),
    default="noncurrent",
    help="Age since the version was replaced, or since it was written  [default: noncurrent]",
)
@click.option(
    "--keep-last-scope",
    type=click.Choice(["all", "eligible"]),
    default="all",
    help="Count --keep-last over all noncurrent versions, or over those old enough  [default: all]",
)
@click.option(
    "--rules",
    type=click.Choice(["stowage", "qatlasd"]),
    default="stowage",
    help="Whose rules: qatlasd stands for --age-basis own --keep-last-scope eligible --include-last-copy",
)
@click.option("--include-last-copy", is_flag=True, help="Let the last data version under a delete marker go, too")
@click.option("--all-old", is_flag=True, help="Say that no filter is meant: every old version goes")
@click.option(
    "--service-rows",
    type=click.Path(path_type=Path),
    help="For a bucket of the file service: what its rows say, written by: filator rows --out FILE",
)
@click.option("--ignore-bucket-rules", is_flag=True, help="Act against the bucket's tags, or behind the file service")
@click.option("--max-delete", type=int, help="Refuse a plan that would delete more versions than this")
@click.option("--plan-out", type=click.Path(path_type=Path), help="Store the plan in this file")
@click.option("--plan-in", type=click.Path(path_type=Path), help="Take a stored plan instead of making one")
@click.option("--explain", is_flag=True, help="Show the versions that stay, too, and the reason for each")
@click.option("--workers", type=click.IntRange(1, 64), default=8, help="Batches at the same time  [default: 8]")
@click.option("--batch-size", type=click.IntRange(1, 1000), default=1000, help="Versions per request  [default: 1000]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line")
@click.option("--yes", is_flag=True, help="Delete. Without it nothing is deleted")
@click.option("--dry-run", is_flag=True, help="Plan only, which is what happens without --yes anyway")
@click.pass_context
def command(ctx: click.Context, /, connection: Mapping[str, Any], **given: Any) -> None:
    """Plan the removal of old versions and, with --yes, carry it out.

    Never goes: the current version, a current delete marker, the last data version under a delete marker (unless
    --include-last-copy), a version under lock or legal hold. A version goes only when --older-than and --keep-last
    both agree; without any filter there is a plan and no deletion. What the bucket's own tags want kept is kept, too.
    """
    from stowage.s3.connection import s3_client  # noqa: PLC0415
    from stowage.s3.prune import check_cap, check_may_apply  # noqa: PLC0415
    from stowage.s3.service_rows import read_service_rows  # noqa: PLC0415

    _check(ctx, given)
    if given["rules"] == "qatlasd":
        given |= _QATLASD_RULES
    place = target(connection)
    path = given["service_rows"]
    rows = read_service_rows(path, place.bucket, datetime.now(UTC)) if path else None
    client = s3_client(place.settings, pool_size=2 * given["workers"])
    with _plan(client, place, given, rows) as plan:
        if not plan.totals.candidates:
            _print_table(plan, given)
            say("no noncurrent versions match the filters; nothing to do")
            _say_incomplete(plan)
            return
        if given["yes"]:
            check_cap(plan, given["max_delete"])
            check_may_apply(client, plan, service_rows=rows, ignore_bucket_rules=given["ignore_bucket_rules"])
        if not (given["yes"] and given["as_json"]):
            _print_table(plan, given)
        say("---")
        say(f"candidates: {plan.totals.candidates} versions, {mebibytes(plan.totals.bytes)} total")
        if plan.totals.kept:
            kept = ", ".join(f"{count} {why}" for why, count in plan.totals.kept.items())
            say(f"kept: {sum(plan.totals.kept.values())} versions ({kept})")
        _say_incomplete(plan)
        if given["yes"]:
            ctx.exit(_apply(client, plan, given, rows))
        if given["max_delete"] is not None and plan.totals.candidates > given["max_delete"]:
            say(f"more than --max-delete {given['max_delete']}: with --yes this would be refused")
        if given["plan_out"]:
            say(f"plan stored in {plan.path}, sha256 {plan.totals.sha256}")
        _say_how_to_go_on(client, plan, given, rows)


def _say_how_to_go_on(client: S3Client, plan: Plan, given: Mapping[str, Any], rows: ServiceRows | None) -> None:
    from stowage.s3.prune import check_may_apply  # noqa: PLC0415

    try:
        check_may_apply(client, plan, service_rows=rows, ignore_bucket_rules=given["ignore_bucket_rules"])
    except errors.RefusedError as error:
        say(f"a plan only; with --yes it would be refused: {error}")
    else:
        say("dry-run only — pass --yes to delete the listed versions")


def _check(ctx: click.Context, given: Mapping[str, Any]) -> None:
    if given["yes"] and given["dry_run"]:
        raise errors.BadInputError("--yes deletes and --dry-run does not", "give one of them")
    differing = [name for name, value in _QATLASD_RULES.items() if _was_given(ctx, name) and given[name] != value]
    if given["rules"] == "qatlasd" and differing:
        flags = ", ".join("--" + name.replace("_", "-") for name in differing)
        raise errors.BadInputError(f"--rules qatlasd and {flags} say different things", "give one of them")
    if given["plan_in"]:
        told = [name for name in _RULE_FLAGS if _was_given(ctx, name)]
        if told or given["plan_out"]:
            flags = ", ".join(
                "--" + name.replace("_", "-") for name in [*told, *(["plan_out"] if given["plan_out"] else [])]
            )
            raise errors.BadInputError(f"--plan-in brings its own rules, so {flags} can not be given with it")


def _was_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


@contextmanager
def _plan(client: S3Client, place: Target, given: Mapping[str, Any], rows: ServiceRows | None) -> Iterator[Plan]:
    from stowage.s3.prune import PlanRequest, make_plan, open_plan  # noqa: PLC0415

    if given["plan_in"]:
        plan = open_plan(client, given["plan_in"], place.bucket)
        _say_header(plan.head, place, given)
        yield plan
        return
    rules = PruneRules(
        older_than=parse_age(given["older_than"]) if given["older_than"] is not None else None,
        keep_last=given["keep_last"],
        age_basis=given["age_basis"],
        keep_last_scope=given["keep_last_scope"],
        include_last_copy=given["include_last_copy"],
        all_old=given["all_old"],
    )
    request = PlanRequest(
        bucket=place.bucket,
        prefix=given["prefix"],
        rules=rules,
        explain=given["explain"],
        service_rows=rows,
        ignore_bucket_rules=given["ignore_bucket_rules"],
    )
    with tempfile.TemporaryDirectory(prefix="stowage-") as folder:
        path = given["plan_out"] or Path(folder) / "plan"
        with progress("listing versions", None) as bar:
            plan = make_plan(client, request, path, progress=bar.at)
        _say_header(plan.head, place, given)
        yield plan


def _say_header(head: PlanHead, place: Target, given: Mapping[str, Any]) -> None:
    rules = head.rules
    say(f"Bucket    : {head.endpoint}/{head.bucket}" + (f" (kind={place.kind})" if place.kind else ""))
    say(f"Prefix    : {json.dumps(head.prefix, ensure_ascii=False)}")
    if rules.older_than is None:
        say("Older than: (no age cap; all noncurrent versions eligible)")
    else:
        before = (head.planned_at - rules.older_than).replace(microsecond=0).isoformat()
        verb = "modified" if rules.age_basis == "own" else "replaced"
        say(f"Older than: {_go(rules.older_than)} (versions {verb} before {before})")
    scope = ", among those old enough" if rules.keep_last_scope == "eligible" else ""
    say(f"Keep last : {rules.keep_last} (per key{scope})" if rules.keep_last else "Keep last : (no per-key cap)")
    if given["plan_in"]:
        say(f"Plan      : {given['plan_in']} of {head.planned_at.replace(microsecond=0).isoformat()}")
    apply = "APPLY (--yes set, deletions will execute)"
    say(f"Mode      : {apply if given['yes'] else 'dry-run (pass --yes to apply)'}")
    say("---")


def _go(span: timedelta) -> str:
    return go_duration(span.total_seconds())


def _say_incomplete(plan: Plan) -> None:
    if plan.totals.missing_keys:
        say(
            f"warning: the server's version listing lost {plan.totals.missing_keys} live keys; nothing of them is"
            " planned (docs/quirks.md; prune narrower prefixes to reach them)"
        )
    if plan.totals.cut_keys:
        say(
            f"warning: of {plan.totals.cut_keys} keys the server may show only the newest versions; when this plan is"
            " carried out, plan again for the rest (docs/quirks.md)"
        )


def _print_table(plan: Plan, given: Mapping[str, Any]) -> None:
    def lines() -> Iterator[Candidate]:
        return (line for line in plan.lines() if given["explain"] or line.goes)

    if given["as_json"]:
        for line in lines():
            click.echo(json.dumps(_as_json(line), ensure_ascii=False))
        return
    head = (*_HEAD, "REASON") if given["explain"] else _HEAD
    widths = [len(name) for name in head]
    # Two passes over the plan instead of one over a list: a plan may have a million lines.
    for line in lines():
        widths = [max(width, len(cell)) for width, cell in zip(widths, _cells(line), strict=False)]
    widths[0] = min(widths[0], _WIDEST_KEY)
    click.echo(table_line(head, widths))
    for line in lines():
        click.echo(table_line(_cells(line)[: len(head)], widths))


def _cells(line: Candidate) -> tuple[str, ...]:
    action = "KEEP" if not line.goes else "DELETE_MARKER_PLANNED" if line.delete_marker else "DELETE_PLANNED"
    key, age = printable(line.key), go_duration(line.age_seconds)
    return (key, line.version_id, str(line.size), age, action, line.reason)


def _as_json(line: Candidate) -> dict[str, Any]:
    """The five fields of the older tool in its order, then ours."""
    return {
        "key": line.key,
        "version_id": line.version_id,
        "size": line.size,
        "age_seconds": line.age_seconds,
        "delete_marker": line.delete_marker,
        "action": "delete" if line.goes else "keep",
        "reason": line.reason,
    }


def _apply(client: S3Client, plan: Plan, given: Mapping[str, Any], rows: ServiceRows | None) -> int:
    from stowage.s3.prune import carry_out  # noqa: PLC0415

    counts: Counter[str] = Counter()
    freed = 0
    interrupted = False
    try:
        with progress("deleting", plan.totals.candidates) as bar:
            sizes = {"workers": given["workers"], "batch_size": given["batch_size"]}
            results = carry_out(client, plan, service_rows=rows, **sizes)
            for number, result in enumerate(results, start=1):
                line, outcome = result.candidate, result.outcome.value
                counts[outcome] += 1
                freed += line.size if outcome == "deleted" else 0
                if given["as_json"]:
                    told = {**_as_json(line), "result": outcome, "detail": result.detail}
                    click.echo(json.dumps(told, ensure_ascii=False))
                elif outcome == "deleted":
                    click.echo(f"{printable(line.key)} @{line.version_id} DELETED")
                else:
                    word = {"failed": "FAIL", "locked": "LOCKED", "already_gone": "GONE"}.get(outcome, "SKIP")
                    say(f"{word} {printable(line.key)} @{line.version_id}: {result.detail}")
                bar.at(number)
    except KeyboardInterrupt:
        interrupted = True
    say("---")
    say(f"deleted: {counts['deleted']}, failed: {counts['failed']}, freed: {mebibytes(freed)}")
    others = [
        f"{name.replace('_', ' ')}: {counts[name]}" for name in ("skipped", "locked", "already_gone") if counts[name]
    ]
    if others:
        say(", ".join(others))
    if interrupted:
        say("interrupted — run the same command again to go on")
        return 130
    if counts["failed"]:
        say(f"{counts['failed']} versions failed to delete (see above)")
    return 1 if counts["failed"] else 0
