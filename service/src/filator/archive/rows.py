"""The rows of archive transactions."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from filator.crashpoints import reach
from filator.database import COLUMNS, Connection, Rows, row_to_attachment
from filator.errors import Conflict, NotFound, Unprocessable
from filator.models import Attachment
from filator.replaced import forget
from filator.settings import Settings
from filator.times import iso, months_before, now

log = structlog.get_logger()

PAGE = 500
BATCH = 1000
MONTHS = 3


@dataclass(frozen=True, slots=True)
class Transaction:
    """One archive transaction.

    Attributes:
        uuid: 64 hex characters.
        before: files created before this moment belong to it.
        state: open, committing or committed.
        ctx: what clients see: date, later count; and our notes.
        commit: the closing message.
        created_at: files changed after this moment do not belong to it.
        updated_at: of the last step.
    """

    uuid: str
    before: datetime
    state: str
    ctx: dict[str, Any]
    commit: str | None
    created_at: datetime
    updated_at: datetime


def _transaction(row: Any) -> Transaction:
    return Transaction(
        row["uuid"],
        row["before"],
        row["state"],
        json.loads(row["ctx"]),
        row["commit"],
        row["created_at"],
        row["updated_at"],
    )


# The set is a predicate, not a list: a file that was replaced since the transaction was opened drops out of the ZIP
# and of the deletion alike, so nothing is deleted that the ZIP lacks.
_SET = "created_at < $1 AND updated_at < $2"


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
                before = datetime.strptime(date if len(date) == 8 else "", "%Y%m%d").replace(tzinfo=zone)
                late = before > moment
            except (ValueError, OverflowError):
                raise Unprocessable(f"date {date[:20]!r} cannot be read; give YYYYMMDD such as 20220901") from None
            if late:
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
                "SELECT * FROM archive_txs WHERE state <> 'committed' ORDER BY created_at LIMIT $1", limit
            )
        return [_transaction(row) for row in rows]

    async def files(self, tx: Transaction) -> AsyncIterator[Attachment]:
        """Stream the rows of the set in pages, by key: no snapshot for hours that would stop vacuum."""
        last_time, last_uuid = datetime.fromisoformat("0001-01-02T00:00:00+00:00"), ""
        while True:
            async with self._rows.connection() as connection:
                rows = await connection.fetch(
                    f"SELECT {COLUMNS} FROM attachments WHERE {_SET} AND (created_at, uuid) > ($3, $4) "  # noqa: S608
                    f"ORDER BY created_at, uuid LIMIT {PAGE}",
                    tx.before,
                    tx.created_at,
                    last_time,
                    last_uuid,
                )
            for row in rows:
                yield row_to_attachment(row)
            if len(rows) < PAGE:
                return
            last_time, last_uuid = rows[-1]["created_at"], rows[-1]["uuid"]

    async def downloaded(self, tx: Transaction, notes: dict[str, object]) -> None:
        """Note that the ZIP was sent to its end: only then may the rows be deleted."""
        async with self._rows.connection() as connection:
            await connection.execute(
                "UPDATE archive_txs SET ctx = ctx || $2::jsonb, updated_at = $3 WHERE uuid = $1",
                tx.uuid,
                json.dumps({"archive": notes}),
                now(),
            )

    async def close(self, uuid: str, message: str | None, *, delete_objects: bool) -> Transaction:
        """Delete the rows of a transaction for good; goes on where a killed run stopped.

        Args:
            uuid: of the transaction.
            message: kept as `commit`.
            delete_objects: also queue the S3 objects for removal; else they stay where they are, and are noted.

        Raises:
            NotFound: no such transaction.
            Conflict: no complete download yet, or the wish about objects changed in the middle.
        """
        tx = await self.get(uuid)
        if tx.state == "committed":
            return tx
        if "archive" not in tx.ctx:
            raise Conflict(
                f"Download the archive to its end first: GET /attachments/archive/{uuid}; nothing was deleted"
            )
        if tx.state == "open":
            if delete_objects and tx.ctx["archive"].get("objects") != "include":
                raise Conflict(
                    "The archive that was downloaded holds no S3 objects: download it with objects=include first"
                )
            notes = {"objects": "delete" if delete_objects else "keep", "message": message or "", "deleted": 0}
            async with self._rows.connection() as connection:
                await connection.execute(
                    "UPDATE archive_txs SET state = 'committing', ctx = ctx || $2::jsonb, updated_at = $3 "
                    "WHERE uuid = $1 AND state = 'open'",
                    uuid,
                    json.dumps({"closing": notes}),
                    now(),
                )
            reach("archive-committing")
        return await self._finish(uuid)

    async def _finish(self, uuid: str) -> Transaction:
        while True:
            async with self._rows.connection() as connection, connection.transaction():
                # The lock lets one closer work at a time; the count is updated with each batch, in one commit.
                tx = _transaction(
                    await connection.fetchrow("SELECT * FROM archive_txs WHERE uuid = $1 FOR UPDATE", uuid)
                )
                if tx.state == "committed":
                    return tx
                count = await self._batch(connection, tx)
                closing = tx.ctx["closing"]
                closing["deleted"] += count
                if count == 0:
                    ctx = {key: value for key, value in tx.ctx.items() if key != "closing"} | {
                        "count": closing["deleted"],
                        "objects": closing["objects"],
                    }
                    await connection.execute(
                        "UPDATE archive_txs SET state = 'committed', ctx = $2::jsonb, commit = $3, updated_at = $4 "
                        "WHERE uuid = $1",
                        uuid,
                        json.dumps(ctx),
                        closing["message"],
                        now(),
                    )
                else:
                    await connection.execute(
                        "UPDATE archive_txs SET ctx = ctx || $2::jsonb WHERE uuid = $1",
                        uuid,
                        json.dumps({"closing": closing}),
                    )
            reach("archive-batch")

    async def _batch(self, connection: Connection, tx: Transaction) -> int:
        rows = await connection.fetch(
            f"DELETE FROM attachments WHERE uuid IN (SELECT uuid FROM attachments WHERE {_SET} "  # noqa: S608
            f"ORDER BY created_at, uuid LIMIT {BATCH} FOR UPDATE) AND {_SET} "
            "RETURNING uuid, store, bucket, identifier_in_store AS identifier, version_id",
            tx.before,
            tx.created_at,
        )
        in_db = [row["identifier"] for row in rows if row["store"] == "db"]
        outside = [row for row in rows if row["store"] != "db"]
        await connection.execute("DELETE FROM attachment_blobs WHERE id = ANY($1)", in_db, timeout=600)
        values = [(row["store"], row["bucket"], row["identifier"], row["version_id"]) for row in outside]
        # The replaced versions go where their file's version goes.
        replaced = await forget(connection, [row["uuid"] for row in rows])
        values += [(it.store, it.bucket, it.identifier, it.version_id) for it in replaced]
        if tx.ctx["closing"]["objects"] == "delete":
            await connection.executemany(
                "INSERT INTO blob_gc (store, bucket, identifier, version_id, not_before) VALUES ($1,$2,$3,$4,$5)",
                [(*value, now()) for value in values],
            )
        else:
            await connection.executemany(
                "INSERT INTO kept_objects (store, bucket, identifier, version_id, archive_uuid) "
                "VALUES ($1,$2,$3,$4,$5)",
                [(*value, tx.uuid) for value in values],
            )
        return len(rows)

    async def resume(self) -> dict[str, int]:
        """Finish deletions that a killed process left in the middle."""
        done = {"finished": 0}
        async with self._rows.connection() as connection:
            # Young ones are being worked on by the request that began them.
            rows = await connection.fetch(
                "SELECT uuid FROM archive_txs "
                "WHERE state = 'committing' AND updated_at < $1::timestamptz - interval '10 minutes'",
                now(),
            )
        for row in rows:
            await self._finish(row["uuid"])
            done["finished"] += 1
        return done
