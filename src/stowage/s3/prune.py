"""Making a plan from a live bucket, and applying a stored one: the thin shell around the pure planner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stowage import errors
from stowage.s3.bucket_rules import read_bucket_rules
from stowage.s3.connection import engine_errors
from stowage.s3.prune_apply import BATCH, WORKERS, ApplySettings, apply_plan
from stowage.s3.prune_file import Plan, PlanHead, PlanWriter, read_plan
from stowage.s3.prune_locks import bucket_has_lock, keep_locked
from stowage.s3.prune_plan import Decision, PruneRules, plan_key
from stowage.s3.prune_recheck import ItemResult
from stowage.s3.service_rows import ServiceRows
from stowage.s3.versions import Listing, wants_short_prefixes

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

Progress = Callable[[int], None]
_REPORT_EVERY = 1000


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What to plan.

    Args:
        bucket: Bucket name.
        rules: What may go.
        prefix: Only keys that start so; without leading ``/``, ``..`` or backslash.
        key: Only this key, and none that starts like it; instead of a prefix.
        explain: Write the versions that stay, with their reasons, into the plan, too.
        service_rows: What the database of the file service says, for a bucket of its.
        ignore_bucket_rules: Take no notice of what the bucket's tags want kept.

    Raises:
        BadInputError: The prefix can match nothing that a sane program writes, or a key is given beside it.
    """

    bucket: str
    rules: PruneRules
    prefix: str = ""
    key: str = ""
    explain: bool = False
    service_rows: ServiceRows | None = None
    ignore_bucket_rules: bool = False

    def __post_init__(self) -> None:
        if self.key and self.prefix:
            raise errors.BadInputError("key and prefix can not be given together", "give one of them")
        if self.prefix.startswith("/") or ".." in self.prefix or "\\" in self.prefix:
            raise errors.BadInputError(
                f"prefix {self.prefix!r} begins with / or holds .. or a backslash", "right: --prefix pdf/2511/"
            )


def make_plan(
    client: S3Client, request: PlanRequest, path: Path, *, now: datetime | None = None, progress: Progress | None = None
) -> Plan:
    """List a bucket, decide about every version, and store what goes as a plan. Deletes nothing.

    Args:
        client: boto3 S3 client; its key needs s3:ListBucketVersions (and s3:ListBucket on SeaweedFS).
        request: What to plan.
        path: Where the plan is written.
        now: The clock; the system's when ``None``.
        progress: Told the number of rows listed so far.

    Returns:
        The plan, whole and closed.

    Raises:
        StowageError: The server refused or failed; no plan is left behind.
    """
    clock = now or datetime.now(UTC)
    if not request.ignore_bucket_rules:
        own = read_bucket_rules(client, request.bucket)
        request = replace(request, rules=own.at_least(request.rules))
    listing = Listing(client, request.bucket, request.key or request.prefix)
    writer = _written(client, request, path, listing, clock, by_folder=False, progress=progress)
    missing = listing.missing_live_keys() if listing.doubtful else 0
    if missing:
        # SeaweedFS D1: read again, narrower. What is still missing is left alone, and the plan says how much it is.
        writer.discard()
        writer = _written(client, request, path, listing, clock, by_folder=True, progress=progress)
        missing = listing.missing_live_keys()
    writer.totals.missing_keys = missing
    writer.totals.cut_keys = listing.cut_keys
    writer.totals.listed_versions, writer.totals.listed_keys = listing.rows, listing.keys
    writer.finish()
    return Plan(path, writer.head, writer.totals)


def _written(
    client: S3Client,
    request: PlanRequest,
    path: Path,
    listing: Listing,
    clock: datetime,
    *,
    by_folder: bool,
    progress: Progress | None,
) -> PlanWriter:
    head = PlanHead(
        endpoint=client.meta.endpoint_url,
        bucket=request.bucket,
        prefix=request.key or request.prefix,
        planned_at=clock,
        rules=request.rules,
    )
    writer = PlanWriter(path, head)
    kept: Counter[str] = Counter()
    try:
        for decision in _decisions(client, request, listing, clock, by_folder=by_folder, progress=progress):
            if decision.delete or request.explain:
                writer.add(decision)
            if not decision.delete:
                kept[decision.why.value] += 1
    except BaseException:
        writer.discard()
        raise
    writer.totals.kept = dict(sorted(kept.items()))
    return writer


def _decisions(
    client: S3Client,
    request: PlanRequest,
    listing: Listing,
    clock: datetime,
    *,
    by_folder: bool,
    progress: Progress | None,
) -> Iterator[Decision]:
    decide = request.service_rows.decide if request.service_rows else plan_key

    def decided() -> Iterator[Decision]:
        told = 0
        for history in listing.histories(by_folder=by_folder):
            if request.key in ("", history[0].key):
                yield from decide(history, request.rules, clock)
            if progress and listing.rows - told >= _REPORT_EVERY:
                told = listing.rows
                progress(told)
        if progress:
            progress(listing.rows)

    if bucket_has_lock(client, request.bucket):
        return keep_locked(client, request.bucket, decided(), clock)
    return decided()


def check_cap(plan: Plan, max_delete: int | None) -> None:
    """Refuse a plan that would delete more than somebody allowed.

    Raises:
        RefusedError: It holds more than ``max_delete`` versions.
    """
    if max_delete is not None and plan.totals.candidates > max_delete:
        raise errors.RefusedError(
            f"plan would delete {plan.totals.candidates} versions, allowed are {max_delete}; nothing was deleted",
            "narrow --prefix or --older-than, or raise --max-delete",
        )


def check_may_apply(
    client: S3Client, plan: Plan, *, service_rows: ServiceRows | None = None, ignore_bucket_rules: bool = False
) -> None:
    """Refuse a plan that nobody should carry out: without any filter, or against what its bucket says.

    Args:
        client: boto3 S3 client; its key needs s3:GetBucketTagging.
        plan: What would be deleted.
        service_rows: What the database of the file service says, by which the plan was made.
        ignore_bucket_rules: Take no notice of the bucket's tags and of the shape of its keys.

    Raises:
        RefusedError: The plan has no filter, keeps less than the bucket's tags want, or the bucket belongs to the file
            service and its rows were not asked; or the key may not read the tags.
    """
    rules, bucket = plan.head.rules, plan.head.bucket
    if not rules.may_be_applied:
        raise errors.RefusedError(
            f"without a filter every old version of bucket {bucket} would go; nothing was deleted",
            "give older_than, keep_last or both (stowage prune --older-than 90d --keep-last 5), or say --all-old",
        )
    if ignore_bucket_rules:
        return
    own = read_bucket_rules(client, bucket)
    if own.unreadable:
        raise errors.RefusedError(
            f"the key may not read the tags of bucket {bucket}, where its rules for pruning stand; nothing was deleted",
            "give it s3:GetBucketTagging, or --ignore-bucket-rules",
        )
    if missing := own.missing_in(rules):
        raise errors.RefusedError(
            f"the tags of bucket {bucket} want kept what this plan lets go ({', '.join(missing)}); nothing was deleted",
            "make a new plan, which takes them in",
        )
    manager = "" if service_rows else own.manager_of(candidate.key for candidate in plan.candidates())
    if manager:
        raise errors.RefusedError(
            f"bucket {bucket} belongs to {manager}, and its rows were not asked which versions are files;"
            " nothing was deleted",
            f"on its host: {manager} rows --out ROWS, then add --service-rows ROWS (docs/prune-without-fear.md)",
        )


def open_plan(client: S3Client, path: Path, bucket: str | None = None) -> Plan:
    """Read a stored plan and check that it was made for this server and bucket.

    Raises:
        BadInputError: The plan is damaged, or was made for another endpoint or bucket.
    """
    plan = read_plan(path)
    if bucket and plan.head.bucket != bucket:
        raise errors.BadInputError(f"plan {path} is for bucket {plan.head.bucket}, not {bucket}")
    if plan.head.endpoint != client.meta.endpoint_url:
        raise errors.BadInputError(
            f"plan {path} was made on {plan.head.endpoint}, this is {client.meta.endpoint_url}",
            f"use --endpoint {plan.head.endpoint}, or make a new plan",
        )
    return plan


def carry_out(
    client: S3Client,
    plan: Plan,
    *,
    workers: int = WORKERS,
    batch_size: int = BATCH,
    service_rows: ServiceRows | None = None,
) -> Iterator[ItemResult]:
    """Apply a plan, after a second look at each key; the server's state outranks the plan.

    Args:
        client: boto3 S3 client; its key needs s3:ListBucketVersions, s3:DeleteObjectVersion, s3:GetBucketVersioning.
        plan: What to delete.
        workers: Batches at the same time.
        batch_size: Versions per request, at most 1,000.
        service_rows: What the database of the file service says, by which the plan was made.

    Yields:
        One result per planned version.

    Raises:
        StowageError: The bucket is not there or may not be asked.
    """
    bucket = plan.head.bucket
    settings = ApplySettings(
        bucket=bucket,
        prefix=plan.head.prefix,
        rules=plan.head.rules,
        planned_at=plan.head.planned_at,
        versioning_enabled=versioning_status(client, bucket) == "Enabled",
        has_lock=bucket_has_lock(client, bucket),
        short_prefixes=wants_short_prefixes(client, bucket, plan.head.prefix),
        workers=workers,
        batch_size=batch_size,
        decide=service_rows.decide if service_rows else plan_key,
    )
    return apply_plan(client, plan.candidates(), settings)


def versioning_status(client: S3Client, bucket: str) -> str:
    """``Enabled``, ``Suspended``, ``Unversioned``, or ``unknown`` when the key may not ask.

    Raises:
        StowageError: The bucket does not exist or the server failed.
    """
    try:
        with engine_errors(f"read versioning of bucket {bucket}", client.meta.endpoint_url):
            return client.get_bucket_versioning(Bucket=bucket).get("Status") or "Unversioned"
    except errors.AuthError:
        return "unknown"
