"""Background work: expiry, removal of discarded bytes, unfinished uploads, orphans.

Every sweep can run on several hosts at once, can be killed anywhere, and does the rest when it runs again.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import asyncpg  # type: ignore[import-untyped]
import structlog

from filator.crashpoints import reach
from filator.database import Connection
from filator.errors import StorageError
from filator.models import Pointer
from filator.replaced import forget, strays
from filator.settings import Settings
from filator.storages.base import Listed
from filator.storages.registry import Registry
from filator.storages.s3 import S3Store
from filator.times import now

log = structlog.get_logger()

BATCH = 500
# A store that lost its rows (a restored database backup) looks like one full of orphans.
SUSPICIOUS_COUNT = 100
SUSPICIOUS_SHARE = 0.2
_OURS = re.compile(r"(?:.*-)?(\d{4}-\d{2}-\d{2})/\d{2}-\d{2}/[0-9a-f]{64}(?:\.[0-9a-f]{8})?")
_OURS_DYNAMIC = re.compile(r"\d{2}-\d{2}/[0-9a-f]{64}(?:\.[0-9a-f]{8})?")


async def _referenced(connection: Connection, pointer: Pointer) -> bool:
    found = await connection.fetchval(
        """
        SELECT EXISTS (
            SELECT 1 FROM attachments WHERE identifier_in_store = $2 AND store = $1
                AND bucket IS NOT DISTINCT FROM $3 AND version_id IS NOT DISTINCT FROM $4)
        OR EXISTS (
            SELECT 1 FROM kept_objects WHERE identifier = $2 AND store = $1
                AND bucket IS NOT DISTINCT FROM $3 AND version_id IS NOT DISTINCT FROM $4)
        OR EXISTS (
            SELECT 1 FROM replaced_versions r WHERE r.identifier = $2 AND r.store = $1 AND r.bucket = $3
                AND r.version_id = $4 AND EXISTS (SELECT 1 FROM attachments a WHERE a.uuid = r.uuid))
        """,
        pointer.store,
        pointer.identifier,
        pointer.bucket,
        pointer.version_id,
    )
    return bool(found)


def _pointer(row: asyncpg.Record) -> Pointer:
    return Pointer(row["store"], row["bucket"], row["identifier"], row["version_id"])


def _complain(what: str, store: str, failed: dict[Pointer, str]) -> None:
    log.warning(what, storage=store, count=len(failed), reason=next(iter(failed.values())))


class Sweeper:
    """The sweeps, each returning what it did."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool, registry: Registry) -> None:
        self._settings = settings
        self._pool = pool
        self._registry = registry

    async def expire(self) -> dict[str, int]:
        """Remove expired files, object first and row after; their replaced versions are queued for removal.

        A crash between the two leaves an expired row without bytes: nobody can fetch it, and the next run removes it.
        Files in read-only or unknown storages stay, invisible.
        """
        done = {"expired": 0, "failed": 0}
        for store in self._registry:
            if store.readonly:
                continue
            while True:
                async with self._pool.acquire() as connection, connection.transaction():
                    rows = await connection.fetch(
                        "SELECT uuid, store, bucket, identifier_in_store AS identifier, version_id FROM attachments "
                        "WHERE delete_at <= $1 AND store = $2 ORDER BY delete_at LIMIT $3 FOR UPDATE SKIP LOCKED",
                        now(),
                        store.name,
                        BATCH,
                    )
                    if not rows:
                        break
                    failed = await store.delete([_pointer(row) for row in rows])
                    reach("expire-after-objects")
                    gone = [row["uuid"] for row in rows if _pointer(row) not in failed]
                    await connection.execute("DELETE FROM attachments WHERE uuid = ANY($1)", gone)
                    await self._queue(connection, await forget(connection, gone))
                done["expired"] += len(gone)
                done["failed"] += len(failed)
                if failed:
                    _complain("expiry failed", store.name, failed)
                    break
        return done

    async def collect(self) -> dict[str, int]:
        """Remove the bytes that blob_gc names and no row points to.

        A crash after the bytes and before the entry repeats the removal, which is harmless: a version is deleted by id.
        """
        done = {"removed": 0, "kept": 0, "failed": 0}
        for store in self._registry:
            if store.readonly:
                continue
            while True:
                async with self._pool.acquire() as connection, connection.transaction():
                    rows = await connection.fetch(
                        "SELECT id, store, bucket, identifier, version_id FROM blob_gc WHERE store = $1 "
                        "AND not_before <= $2 ORDER BY not_before LIMIT $3 FOR UPDATE SKIP LOCKED",
                        store.name,
                        now(),
                        BATCH,
                    )
                    if not rows:
                        break
                    used = {row["id"] for row in rows if await _referenced(connection, _pointer(row))}
                    failed = await store.delete([_pointer(row) for row in rows if row["id"] not in used])
                    reach("collect-after-objects")
                    gone = [row["id"] for row in rows if row["id"] in used or _pointer(row) not in failed]
                    await connection.execute("DELETE FROM blob_gc WHERE id = ANY($1)", gone)
                    # What fails waits longer each time, so that it does not stand in front of the others.
                    await connection.execute(
                        "UPDATE blob_gc SET attempts = attempts + 1, "
                        "not_before = $2::timestamptz + interval '1 minute' * least(attempts + 1, 60) "
                        "WHERE id = ANY($1)",
                        [row["id"] for row in rows if _pointer(row) in failed],
                        now(),
                    )
                done["removed"] += len(gone) - len(used)
                done["kept"] += len(used)
                done["failed"] += len(failed)
                if failed:
                    _complain("removal failed", store.name, failed)
        return done

    async def intents(self) -> dict[str, int]:
        """Clear large uploads that stopped: their process died or lost the storage."""
        done = {"intents": 0, "discarded": 0}
        before = now() - timedelta(seconds=self._settings.intent_grace_seconds)
        async with self._pool.acquire() as connection:
            rows = await connection.fetch("SELECT * FROM upload_intents WHERE beat_at < $1 LIMIT $2", before, BATCH)
        for row in rows:
            try:
                store = self._registry.get(row["store"])
            except StorageError:
                continue
            if isinstance(store, S3Store):
                try:
                    await store.abort_uploads(row["bucket"], row["identifier"], before)
                    listed = await store.versions(row["bucket"], row["identifier"])
                except StorageError as exc:
                    log.warning("intent kept", storage=store.name, reason=str(exc))
                    continue
                if await self._runs(row["identifier"], before):
                    # Its version may lie in the listing; next time.
                    continue
                listed = [it for it in listed if it.pointer.identifier == row["identifier"]]
                found = await self._strangers(listed, before, dead=True)
            else:
                found = [Pointer(row["store"], row["bucket"], row["identifier"], None)]
            async with self._pool.acquire() as connection, connection.transaction():
                done["discarded"] += await self._discard(connection, found)
                await connection.execute("DELETE FROM upload_intents WHERE id = $1", row["id"])
            done["intents"] += 1
        return done

    async def _runs(self, identifier: str, before: datetime) -> bool:
        return bool(
            await self._pool.fetchval(
                "SELECT EXISTS (SELECT 1 FROM upload_intents WHERE identifier = $1 AND beat_at >= $2)",
                identifier,
                before,
            )
        )

    async def _discard(self, connection: Connection, pointers: list[Pointer]) -> int:
        count = 0
        for pointer in pointers:
            if await _referenced(connection, pointer):
                continue
            known = await connection.fetchval(
                "SELECT 1 FROM blob_gc WHERE identifier = $1 AND store = $2 AND version_id IS NOT DISTINCT FROM $3",
                pointer.identifier,
                pointer.store,
                pointer.version_id,
            )
            if known is None:
                await self._queue(connection, [pointer])
                count += 1
        return count

    @staticmethod
    async def _queue(connection: Connection, pointers: list[Pointer]) -> None:
        await connection.executemany(
            "INSERT INTO blob_gc (store, bucket, identifier, version_id, not_before) VALUES ($1,$2,$3,$4,$5)",
            [(it.store, it.bucket, it.identifier, it.version_id, now()) for it in pointers],
        )

    async def orphans(self, *, days: int | None = 3, force: bool = False) -> dict[str, int]:
        """Find objects that no row names and queue them for removal; younger ones than the grace period are left alone.

        Args:
            days: how many past days of keys to look at; None for all.
            force: also when so many are found that the database rather than the store seems to be wrong.

        Returns:
            Counts of versions seen, orphans found, orphans queued.
        """
        done = {"seen": 0, "orphans": 0, "queued": 0}
        moment = now()
        before = moment - timedelta(seconds=self._settings.orphan_grace_seconds)
        for store in self._registry:
            if store.readonly or not isinstance(store, S3Store):
                continue
            try:
                places = await store.day_prefixes(None if days is None else moment - timedelta(days=days))
                found: list[Pointer] = []
                seen = 0
                for bucket, prefix in places:
                    ours = _OURS_DYNAMIC if store.conf.use_dynamic_buckets else _OURS
                    listed = [
                        it for it in await store.versions(bucket, prefix) if ours.fullmatch(it.pointer.identifier)
                    ]
                    seen += sum(it.modified < before for it in listed)
                    found += await self._strangers(listed, before)
            except StorageError as exc:
                log.warning("orphans not searched", storage=store.name, reason=str(exc))
                continue
            done["seen"] += seen
            done["orphans"] += len(found)
            if not force and len(found) > SUSPICIOUS_COUNT and len(found) > SUSPICIOUS_SHARE * seen:
                log.error(
                    "too many orphans: was an old database restored? nothing was queued",
                    storage=store.name,
                    orphans=len(found),
                    seen=seen,
                    mend="filator sweep orphans --force",
                )
                continue
            async with self._pool.acquire() as connection, connection.transaction():
                done["queued"] += await self._discard(connection, found)
        return done

    async def _strangers(self, listed: list[Listed], before: datetime, *, dead: bool = False) -> list[Pointer]:
        """Find strays among whole keys' versions that are older than `before`; keys with running uploads have none.

        `dead`: the caller knows that no upload of these keys runs any more, whatever intents say.
        """
        keys: dict[str, list[Listed]] = {}
        for it in listed:
            keys.setdefault(it.pointer.identifier, []).append(it)
        aged = [key for key, versions in keys.items() if any(it.modified < before for it in versions)]
        found: list[Pointer] = []
        for first in range(0, len(aged), 1000):
            batch = aged[first : first + 1000]
            async with self._pool.acquire() as connection:
                rows = await connection.fetch(
                    "SELECT store, bucket, identifier_in_store AS identifier, version_id FROM attachments "
                    "WHERE identifier_in_store = ANY($1)",
                    batch,
                )
                others = await connection.fetch(
                    """
                    SELECT store, bucket, identifier, version_id FROM blob_gc WHERE identifier = ANY($1)
                    UNION ALL SELECT store, bucket, identifier, version_id FROM kept_objects WHERE identifier = ANY($1)
                    UNION ALL SELECT r.store, r.bucket, r.identifier, r.version_id FROM replaced_versions r
                        WHERE r.identifier = ANY($1) AND EXISTS (SELECT 1 FROM attachments a WHERE a.uuid = r.uuid)
                    """,
                    batch,
                )
                running = await connection.fetch(
                    "SELECT identifier FROM upload_intents WHERE identifier = ANY($1)", [] if dead else batch
                )
            lives = {(it.store, it.bucket, it.identifier): it for it in map(_pointer, rows)}
            named = {_pointer(row) for row in others}
            busy = {row["identifier"] for row in running}
            for key in batch:
                if key in busy:
                    continue
                versions = keys[key]
                at = versions[0].pointer
                live = lives.get((at.store, at.bucket, at.identifier))
                wrong = strays([it.pointer for it in versions], live, named, keep_replaced=self._settings.keep_replaced)
                young = {it.pointer for it in versions if it.modified >= before}
                found += [it for it in wrong if it not in young]
        return found
