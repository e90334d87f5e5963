"""The rows of archive transactions."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from filator.archive import exports
from filator.archive.exports import Download, Exported
from filator.crashpoints import reach
from filator.database import COLUMNS, Connection, Rows, row_to_attachment
from filator.errors import Conflict, NotFound, Unavailable, Unprocessable
from filator.models import Attachment
from filator.replaced import forget
from filator.settings import Settings
from filator.times import EARLIEST, iso, months_before, now

log = structlog.get_logger()

PAGE = 500
BATCH = 1000
MONTHS = 3
# Of the files that a commit leaves, so many are named; all are counted.
NAMED = 1000
_DATE = re.compile(r"[0-9]{8}")


@dataclass(frozen=True, slots=True)
class Transaction:
    """One archive transaction.

    Attributes:
        uuid: 64 hex characters.
        before: files created before this moment belong to it.
        state: open, committing or committed.
        ctx: what clients see: date, later count; and our notes.
        commit: the closing message.
        created_at: files whose last change began after this moment do not belong to it.
        updated_at: of the last step.
        downloaded: there is a complete ZIP of it; only known of those that open_ones() lists.
    """

    uuid: str
    before: datetime
    state: str
    ctx: dict[str, Any]
    commit: str | None
    created_at: datetime
    updated_at: datetime
    downloaded: bool = False


def _transaction(row: Any) -> Transaction:
    return Transaction(
        row["uuid"],
        row["before"],
        row["state"],
        json.loads(row["ctx"]),
        row["commit"],
        row["created_at"],
        row["updated_at"],
        row.get("downloaded", False),
    )


# What a ZIP is made of. It decides no deletion: a change that began before the transaction may end behind the ZIP.
_SET = "created_at < $1 AND updated_at < $2"


def chosen_downloads(
    downloads: list[Download], sha256: str | None, uuid: str, *, delete_objects: bool
) -> list[Download]:
    """Choose the downloads whose rows may be deleted: of several, only the rows that all of them hold.

    Args:
        downloads: the complete ones, the latest last.
        sha256: of the ZIP that the caller has; None when the caller did not say.
        uuid: of the transaction, for the messages.
        delete_objects: the S3 objects shall go too.

    Raises:
        Conflict: there is none that allows it.
    """
    if not downloads:
        raise Conflict(f"Download the archive to its end first: GET /attachments/archive/{uuid}; nothing was deleted")
    chosen = [it for it in downloads if sha256 in (None, it.notes["sha256"])]
    if not chosen:
        raise Conflict(
            "No complete download of this transaction has that sha256, so the ZIP at hand is not what was sent: "
            "download it again; nothing was deleted"
        )
    if delete_objects:
        chosen = [it for it in chosen if it.notes["objects"] == "include"]
        if not chosen:
            raise Conflict(
                "The archive that was downloaded holds no S3 objects: download it with objects=include first"
            )
    return chosen


class ArchiveRows:
    """Opens, reads and closes archive transactions."""

    def __init__(self, rows: Rows, settings: Settings) -> None:
        self._rows = rows
        self._settings = settings

    def describe(self, tx: Transaction) -> dict[str, object]:
        """Return the transaction as the contract shows it."""
        zone = self._settings.timezone
        return {
            "uuid": tx.uuid,
            "ctx": tx.ctx,
            "commit": tx.commit,
            "created_at": iso(tx.created_at, zone),
            "updated_at": iso(tx.updated_at, zone),
        }

    async def open(self, date: str | None) -> Transaction:
        """Open a transaction.

        Args:
            date: YYYYMMDD; None means the midnight three months ago.

        Raises:
            Unprocessable: the date is unreadable or in the future.
        """
        moment = now()
        zone = self._settings.timezone
        if date is None:
            before = months_before(moment.astimezone(zone), MONTHS)
        else:
            try:
                before = datetime.strptime(date if _DATE.fullmatch(date) else "", "%Y%m%d").replace(tzinfo=zone)
            except ValueError:
                raise Unprocessable(f"date {date[:20]!r} cannot be read; give YYYYMMDD such as 20220901") from None
            if before.replace(tzinfo=UTC) <= EARLIEST:
                raise Unprocessable(f"date {date} lies before the calendar; no file is so old")
            if before > moment:
                raise Unprocessable(f"date {date} lies in the future")
        uuid = secrets.token_hex(32)
        ctx = {"date": before.isoformat()}
        async with self._rows.connection() as connection:
            row = await connection.fetchrow(
                "INSERT INTO archive_txs (uuid, before, ctx, created_at, updated_at) "
                "VALUES ($1,$2,$3::jsonb,$4,$4) RETURNING *",
                uuid,
                before,
                json.dumps(ctx),
                moment,
            )
        return _transaction(row)

    async def get(self, uuid: str) -> Transaction:
        """Fetch a transaction.

        Raises:
            NotFound: there is none of that uuid.
        """
        async with self._rows.connection() as connection:
            row = await connection.fetchrow("SELECT * FROM archive_txs WHERE uuid = $1", uuid)
        if row is None:
            raise NotFound
        return _transaction(row)

    async def open_ones(self, limit: int = 50) -> list[Transaction]:
        """List transactions that are not closed, oldest first."""
        async with self._rows.connection() as connection:
            rows = await connection.fetch(
                # Not the whole of ctx: one whose rows are being deleted may name a thousand files.
                "SELECT uuid, before, state, jsonb_build_object('date', ctx -> 'date') AS ctx, commit, created_at, "
                "updated_at, EXISTS (SELECT 1 FROM archive_downloads d "
                "WHERE d.archive_uuid = it.uuid AND d.notes IS NOT NULL) AS downloaded "
                "FROM archive_txs it WHERE state <> 'committed' ORDER BY created_at LIMIT $1",
                limit,
            )
        return [_transaction(row) for row in rows]

    async def files(self, tx: Transaction) -> AsyncIterator[list[tuple[Attachment, int]]]:
        """Stream the rows of the set with their revisions, page by page.

        By key: a snapshot for hours would stop vacuum.
        """
        last_time, last_uuid = datetime.fromisoformat("0001-01-02T00:00:00+00:00"), ""
        while True:
            async with self._rows.connection() as connection:
                rows = await connection.fetch(
                    f"SELECT {COLUMNS}, revision FROM attachments "  # noqa: S608
                    f"WHERE {_SET} AND (created_at, uuid) > ($3, $4) ORDER BY created_at, uuid LIMIT {PAGE}",
                    tx.before,
                    tx.created_at,
                    last_time,
                    last_uuid,
                )
            if rows:
                yield [(row_to_attachment(row[:-1]), row["revision"]) for row in rows]
            if len(rows) < PAGE:
                return
            last_time, last_uuid = rows[-1]["created_at"], rows[-1]["uuid"]

    async def begin_download(self, tx: Transaction) -> int:
        """Start the list of what a ZIP holds.

        Returns:
            Its id.
        """
        async with self._rows.connection() as connection:
            return await exports.begin(connection, tx.uuid)

    async def exported(self, download: int, rows: list[Exported]) -> None:
        """Add rows to the list of a ZIP."""
        async with self._rows.connection() as connection:
            await exports.add(connection, download, rows)

    async def downloaded(self, download: int, notes: dict[str, object]) -> None:
        """Note that a ZIP was sent to its end: only then may its rows be deleted."""
        reach("archive-listed")
        async with self._rows.connection() as connection:
            await exports.finish(connection, download, notes)
        reach("archive-noted")

    async def broken_off(self, download: int) -> None:
        """Forget the list of a ZIP that was not sent to its end."""
        try:
            async with self._rows.connection() as connection:
                await exports.drop(connection, download)
        except Unavailable:
            log.warning("list of a broken download left for the sweep", download=download)

    async def close(
        self, uuid: str, message: str | None, *, delete_objects: bool, sha256: str | None = None
    ) -> Transaction:
        """Delete the rows that the ZIP holds, as it holds them, for good; goes on where a killed run stopped.

        Args:
            uuid: of the transaction.
            message: kept as `commit`.
            delete_objects: also queue the S3 objects for removal; else they stay where they are, and are noted.
            sha256: of the ZIP that the caller has, hex. None: only rows go that every complete download holds.

        Raises:
            NotFound: no such transaction.
            Conflict: no complete download yet, or none with that sha256.
        """
        async with self._rows.connection() as connection, connection.transaction():
            row = await connection.fetchrow("SELECT * FROM archive_txs WHERE uuid = $1 FOR UPDATE", uuid)
            if row is None:
                raise NotFound
            tx = _transaction(row)
            if tx.state == "open":
                await self._begin_closing(connection, tx, message, delete_objects=delete_objects, sha256=sha256)
            elif sha256 not in (None, (tx.ctx.get("archive") or {}).get("sha256")):
                raise Conflict("The rows of another ZIP of this transaction are deleted, not of that with this sha256")
        if tx.state == "committed":
            return tx
        if tx.state == "open":
            reach("archive-committing")
        return await self._finish(uuid)

    @staticmethod
    async def _begin_closing(
        connection: Connection, tx: Transaction, message: str | None, *, delete_objects: bool, sha256: str | None
    ) -> None:
        downloads = await exports.complete(connection, tx.uuid)
        chosen = chosen_downloads(downloads, sha256, tx.uuid, delete_objects=delete_objects)
        *others, one = chosen
        struck = await exports.narrow(connection, one.id, [it.id for it in others]) if others else []
        closing = {
            "download": one.id,
            "objects": "delete" if delete_objects else "keep",
            "message": message or "",
            "deleted": tx.ctx.get("deleted", 0),
            "left": {
                "changed": len(struck),
                "gone": 0,
                "unreadable": one.notes.get("unreadable", 0),
                "uuids": struck[:NAMED],
            },
        }
        await connection.execute(
            "UPDATE archive_txs SET state = 'committing', ctx = (ctx - 'deleted') || $2::jsonb, updated_at = $3 "
            "WHERE uuid = $1",
            tx.uuid,
            json.dumps({"archive": one.notes, "closing": closing}),
            now(),
        )

    async def _finish(self, uuid: str) -> Transaction:
        while True:
            async with self._rows.connection() as connection, connection.transaction():
                # The lock lets one closer work at a time; list and count change with each batch, in one commit.
                tx = _transaction(
                    await connection.fetchrow("SELECT * FROM archive_txs WHERE uuid = $1 FOR UPDATE", uuid)
                )
                if tx.state == "committed":
                    return tx
                closing = tx.ctx["closing"]
                batch = await exports.take(connection, closing["download"], BATCH)
                if batch:
                    await self._batch(connection, tx, batch)
                    await connection.execute(
                        "UPDATE archive_txs SET ctx = ctx || $2::jsonb, updated_at = $3 WHERE uuid = $1",
                        uuid,
                        json.dumps({"closing": closing}),
                        now(),
                    )
                else:
                    ctx = {key: value for key, value in tx.ctx.items() if key != "closing"} | {
                        "count": closing["deleted"],
                        "objects": closing["objects"],
                        "left": closing["left"],
                    }
                    await connection.execute(
                        "UPDATE archive_txs SET state = 'committed', ctx = $2::jsonb, commit = $3, updated_at = $4 "
                        "WHERE uuid = $1",
                        uuid,
                        json.dumps(ctx),
                        closing["message"],
                        now(),
                    )
                    await exports.drop_all(connection, uuid)
            reach("archive-batch")

    async def _batch(self, connection: Connection, tx: Transaction, batch: list[Exported]) -> None:
        """Delete those rows of a batch that are still as the ZIP holds them, and count into ctx what became of all."""
        closing = tx.ctx["closing"]
        uuids = [uuid for uuid, _revision in batch]
        # In one order for everybody, so that two closers do not wait for each other.
        locked = await connection.fetch(
            "SELECT uuid FROM attachments WHERE uuid = ANY($1) ORDER BY uuid FOR UPDATE", uuids
        )
        rows = await connection.fetch(
            "DELETE FROM attachments it USING unnest($1::text[], $2::bigint[]) AS exported(uuid, revision) "
            "WHERE it.uuid = exported.uuid AND it.revision = exported.revision "
            "RETURNING it.uuid, store, bucket, identifier_in_store AS identifier, version_id",
            uuids,
            [revision for _uuid, revision in batch],
        )
        changed = sorted({row["uuid"] for row in locked} - {row["uuid"] for row in rows})
        closing["deleted"] += len(rows)
        left = closing["left"]
        left["changed"] += len(changed)
        left["gone"] += len(batch) - len(locked)
        left["uuids"] += changed[: NAMED - len(left["uuids"])]
        in_db = [row["identifier"] for row in rows if row["store"] == "db"]
        outside = [row for row in rows if row["store"] != "db"]
        await connection.execute("DELETE FROM attachment_blobs WHERE id = ANY($1)", in_db, timeout=600)
        values = [(row["store"], row["bucket"], row["identifier"], row["version_id"]) for row in outside]
        # The replaced versions go where their file's version goes.
        replaced = await forget(connection, [row["uuid"] for row in rows])
        values += [(it.store, it.bucket, it.identifier, it.version_id) for it in replaced]
        if closing["objects"] == "delete":
            # Readers that began before have the same time as after every other deletion.
            due = now() + timedelta(seconds=self._settings.gc_grace_seconds)
            await connection.executemany(
                "INSERT INTO blob_gc (store, bucket, identifier, version_id, not_before) VALUES ($1,$2,$3,$4,$5)",
                [(*value, due) for value in values],
            )
        else:
            await connection.executemany(
                "INSERT INTO kept_objects (store, bucket, identifier, version_id, archive_uuid) "
                "VALUES ($1,$2,$3,$4,$5)",
                [(*value, tx.uuid) for value in values],
            )

    async def resume(self) -> dict[str, int]:
        """Finish deletions that a killed process left in the middle, and forget lists that nobody needs."""
        done = {"finished": 0, "forgotten": 0}
        async with self._rows.connection() as connection:
            await exports.drop_dead(connection)
            # Young ones are being worked on by the request that began them.
            rows = await connection.fetch(
                "SELECT uuid FROM archive_txs "
                "WHERE state = 'committing' AND updated_at < $1::timestamptz - interval '10 minutes'",
                now(),
            )
            async with connection.transaction():
                old = await exports.drop_old(connection, timedelta(days=self._settings.archive_list_days))
        for uuid in old:
            log.warning("archive must be downloaded again before a commit: its list was too old", archive=uuid)
        done["forgotten"] = len(old)
        for row in rows:
            await self._finish(row["uuid"])
            done["finished"] += 1
        return done
