"""Applying a plan: batches of up to 1,000, several at a time, a second look at every key, a result for every version.

Nothing is remembered between runs, and nothing needs to be: a plan applied again finds what is gone, and a plan made
again after a crash holds exactly what was left to do (a property test of the planner).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stowage import errors
from stowage.s3.connection import engine_errors
from stowage.s3.prune_file import Candidate
from stowage.s3.prune_locks import lock_reason
from stowage.s3.prune_plan import PruneRules, plan_key
from stowage.s3.prune_recheck import Decide, ItemResult, Outcome, Unit, confirm, relist, to_units
from stowage.s3.versions_xml import null_or

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

BATCH = 1000
WORKERS = 8
_TRIES = 4
# Per-key codes that say "again later"; whole requests are already retried by botocore.
_TRANSIENT = frozenset({"InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout", "503", "500"})
# The kind of a NetworkError: no answer, or none in time.
_AWAY = "network"
# Answers of servers that know DeleteObject and not, or not from us, DeleteObjects.
_NO_BATCHES = frozenset({"NotImplemented", "MethodNotAllowed", "MissingContentMD5", "MalformedXML"})


@dataclass(frozen=True, kw_only=True)
class ApplySettings:
    """How a plan is applied.

    Args:
        bucket: Bucket name.
        prefix: The prefix of the plan.
        rules: The rules of the plan.
        planned_at: The clock of the plan.
        versioning_enabled: Whether the bucket's versioning is on now; ``null`` versions go only then.
        has_lock: Whether the bucket has object lock, so that a refusal is looked into.
        short_prefixes: Whether the second look asks by short prefixes (``versions_narrow``).
        workers: Units worked on at the same time.
        batch_size: Versions per DeleteObjects, at most 1,000.
        decide: What decides about a key at the second look.
    """

    bucket: str
    prefix: str
    rules: PruneRules
    planned_at: datetime
    versioning_enabled: bool
    has_lock: bool = False
    short_prefixes: bool = False
    workers: int = WORKERS
    batch_size: int = BATCH
    decide: Decide = plan_key


def apply_plan(client: S3Client, candidates: Iterable[Candidate], settings: ApplySettings) -> Iterator[ItemResult]:
    """Delete what a plan names, as far as it is still true.

    Args:
        client: boto3 S3 client with at least ``workers`` connections.
        candidates: In listing order, the versions of a key together.
        settings: Where and how.

    Yields:
        One result per candidate, in the plan's order. Closing the iterator early (or an interrupt) lets the batches
        under way finish and starts no more.
    """
    waiting: deque[Future[list[ItemResult]]] = deque()
    pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="prune")
    try:
        for unit in to_units(candidates, size=settings.batch_size):
            waiting.append(pool.submit(_apply_unit, client, unit, settings))
            if len(waiting) > settings.workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _apply_unit(client: S3Client, unit: Unit, settings: ApplySettings) -> list[ItemResult]:
    results: dict[Candidate, ItemResult] = {}
    keys = unit.by_key()
    try:
        fresh = relist(client, settings.bucket, settings.prefix, unit, short_prefixes=settings.short_prefixes)
    except errors.StowageError as error:
        return [ItemResult(candidate, Outcome.FAILED, f"second look failed: {error}") for candidate in unit.candidates]
    go: list[Candidate] = []
    for key, planned in keys.items():
        confirmed, rest = confirm(planned, fresh.get(key, []), settings.rules, settings.planned_at, settings.decide)
        results.update((result.candidate, result) for result in rest)
        for candidate in confirmed:
            if candidate.version_id == "null" and not settings.versioning_enabled:
                detail = "null version in a bucket without enabled versioning: the id may be reused at any moment"
                results[candidate] = ItemResult(candidate, Outcome.SKIPPED, detail)
            else:
                go.append(candidate)
    for start in range(0, len(go), settings.batch_size):
        for result in _delete(client, go[start : start + settings.batch_size], settings):
            results[result.candidate] = result
    for result in _looked_at_again(client, unit, results, settings):
        results[result.candidate] = result
    return [results[candidate] for candidate in unit.candidates]


def _looked_at_again(
    client: S3Client, unit: Unit, results: dict[Candidate, ItemResult], settings: ApplySettings
) -> list[ItemResult]:
    """What the server called deleted and still lists is tried once more by itself, and then counts as failed.

    RustFS 1.0.0-rc.3 answers so to a second delete marker of one key in a request, versions before 1.0.0-beta.7 to null
    versions (docs/quirks.md).
    """
    deleted = [candidate for candidate, result in results.items() if result.outcome is Outcome.DELETED]
    if not deleted:
        return []
    there = _still_there(client, unit, deleted, settings)
    again = [
        _judged(client, candidate, *_delete_one(client, settings.bucket, candidate), settings) for candidate in there
    ]
    answer = [result for result in again if result.outcome is not Outcome.DELETED]
    tried = [result.candidate for result in again if result.outcome is Outcome.DELETED]
    if tried:
        detail = "the server said deleted, twice, and still lists it (docs/quirks.md)"
        answer += [
            ItemResult(candidate, Outcome.FAILED, detail) for candidate in _still_there(client, unit, tried, settings)
        ]
    return answer


def _still_there(client: S3Client, unit: Unit, deleted: list[Candidate], settings: ApplySettings) -> list[Candidate]:
    try:
        rows = relist(
            client,
            settings.bucket,
            settings.prefix,
            unit,
            short_prefixes=settings.short_prefixes,
            afterwards=True,
        )
    except errors.StowageError:
        # The server said deleted and can not be asked now; the next plan shows what is left.
        return []
    left = {(row.key, row.version_id, row.last_modified.isoformat()) for history in rows.values() for row in history}
    return [one for one in deleted if (one.key, one.version_id, one.last_modified) in left]


def _delete(client: S3Client, batch: list[Candidate], settings: ApplySettings) -> Iterator[ItemResult]:
    # XML 1.0 can not carry these, so one such key would make the server refuse the other 999, too.
    single = [candidate for candidate in batch if not _fits_xml(candidate.key)]
    left = [candidate for candidate in batch if _fits_xml(candidate.key)] if single else batch
    for attempt in range(1, _TRIES + 1):
        if not left:
            break
        again: list[Candidate] = []
        # A key with 100,000 versions made SeaweedFS take longer for 1,000 of them than a client waits: ask for fewer.
        size = max(1, settings.batch_size // 10 ** (attempt - 1))
        for candidate, code, message in _delete_in_slices(client, settings.bucket, left, size):
            if code in _NO_BATCHES:
                single.append(candidate)
            elif (code in _TRANSIENT and attempt < _TRIES) or (code == _AWAY and attempt == 1):
                again.append(candidate)
            else:
                yield _judged(client, candidate, code, message, settings)
        left = again
        if left:
            time.sleep(0.2 * 2**attempt)
    for candidate in single:
        yield _judged(client, candidate, *_delete_one(client, settings.bucket, candidate), settings)


def _delete_in_slices(
    client: S3Client, bucket: str, batch: list[Candidate], size: int
) -> Iterator[tuple[Candidate, str, str]]:
    slices = list(_one_marker_of_a_key_each(batch, size))
    for number, part in enumerate(slices, start=1):
        answers = _delete_batch(client, bucket, part)
        yield from answers
        _, code, message = answers[0]
        if code == _AWAY:
            # The server is away: the rest would only wait as long again, slice after slice.
            yield from ((candidate, code, message) for rest in slices[number:] for candidate in rest)
            return


def _one_marker_of_a_key_each(batch: list[Candidate], size: int) -> Iterator[list[Candidate]]:
    """Cut a batch into requests that name one delete marker of each key at most.

    RustFS 1.0.0-rc.3 deletes one of several and says that all are gone (docs/quirks.md).
    """
    left = batch
    while left:
        marked: set[str] = set()
        now: list[Candidate] = []
        later: list[Candidate] = []
        for candidate in left:
            if candidate.delete_marker and candidate.key in marked:
                later.append(candidate)
                continue
            if candidate.delete_marker:
                marked.add(candidate.key)
            now.append(candidate)
        for start in range(0, len(now), size):
            yield now[start : start + size]
        left = later


def _delete_batch(client: S3Client, bucket: str, batch: list[Candidate]) -> list[tuple[Candidate, str, str]]:
    """Delete up to 1,000 versions at once: (candidate, error code, message), the code empty on success."""
    objects: list[Any] = [{"Key": candidate.key, "VersionId": candidate.version_id} for candidate in batch]
    answer, code, message = _call(client, "delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": False})
    if code:
        return [(candidate, code, message) for candidate in batch]
    said = {
        (entry.get("Key"), null_or(entry.get("VersionId"))): (entry.get("Code", "Unknown"), entry.get("Message", ""))
        for entry in answer.get("Errors", [])
    }
    for entry in answer.get("Deleted", []):
        # SeaweedFS 4.48 names a deleted delete marker by DeleteMarkerVersionId alone (docs/quirks.md).
        version_id = null_or(entry.get("VersionId") or entry.get("DeleteMarkerVersionId"))
        said[entry.get("Key"), version_id] = ("", "")
    silent = ("Unknown", "the server's answer does not mention this version")
    return [(candidate, *said.get((candidate.key, candidate.version_id), silent)) for candidate in batch]


def _delete_one(client: S3Client, bucket: str, candidate: Candidate) -> tuple[str, str]:
    request = {"Bucket": bucket, "Key": candidate.key, "VersionId": candidate.version_id}
    _, code, message = _call(client, "delete_object", **request)
    return code, message


def _call(client: S3Client, method: str, **request: Any) -> tuple[dict[str, Any], str, str]:
    from botocore.exceptions import ClientError  # noqa: PLC0415

    try:
        with engine_errors("delete versions", client.meta.endpoint_url):
            try:
                answer: dict[str, Any] = getattr(client, method)(**request)
            except ClientError as error:
                said = error.response.get("Error", {})
                return {}, said.get("Code", "Unknown"), said.get("Message", "")
    except errors.StowageError as error:
        return {}, error.kind, str(error)
    return answer, "", ""


def _judged(client: S3Client, candidate: Candidate, code: str, message: str, settings: ApplySettings) -> ItemResult:
    try:
        return _looked_into(client, candidate, code, message, settings)
    except errors.StowageError as error:
        said = f"{code}: {message}" if code else "the server said deleted"
        return ItemResult(candidate, Outcome.FAILED, f"{said}; looking into it failed: {error}")


def _looked_into(
    client: S3Client, candidate: Candidate, code: str, message: str, settings: ApplySettings
) -> ItemResult:
    if not code:
        return ItemResult(candidate, Outcome.DELETED)
    if code == "NoSuchVersion":
        return ItemResult(candidate, Outcome.GONE, "not there any more")
    if code in ("AccessDenied", "ObjectLocked", "InvalidRequest") and settings.has_lock:
        clock = datetime.now(settings.planned_at.tzinfo)
        locked = lock_reason(client, settings.bucket, candidate.key, candidate.version_id, clock)
        if locked:
            return ItemResult(candidate, Outcome.LOCKED, locked)
    if code == "AccessDenied":
        message = "Access Denied: the key needs s3:DeleteObjectVersion on this bucket"
        return ItemResult(candidate, Outcome.FAILED, message)
    return ItemResult(candidate, Outcome.FAILED, f"{code}: {message}" if message else code)


def _fits_xml(key: str) -> bool:
    return all(sign >= " " and sign not in "\ufffe\uffff" for sign in key)
