"""What downloaded archives hold: for each download a list of uuids, each with the revision of its row.

The statements run on the caller's connection, so that a list changes together with what it speaks of.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from filator.database import Connection
from filator.errors import Conflict
from filator.times import now

# A download that adds nothing for so long has died. One file of the archive may take hours.
DEAD_AFTER = timedelta(days=3)
_PATIENCE = 600

Exported = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Download:
    """A download that was sent to its end.

    Attributes:
        id: of its list.
        notes: files, bytes, blobs, unreadable, size and sha256 of the ZIP, objects (keep or include).
    """

    id: int
    notes: dict[str, Any]


async def begin(connection: Connection, archive: str) -> int:
    """Start the list of a download.

    Returns:
        Its id.
    """
    return int(
        await connection.fetchval(
            "INSERT INTO archive_downloads (archive_uuid, beat_at) VALUES ($1, $2) RETURNING id", archive, now()
        )
    )


async def add(connection: Connection, download: int, rows: Sequence[Exported]) -> None:
    """Add rows that the ZIP holds, with the revision that it holds.

    Raises:
        Conflict: the list is gone: the transaction was closed meanwhile.
    """
    async with connection.transaction():
        there = await connection.fetchval(
            "UPDATE archive_downloads SET beat_at = $2 WHERE id = $1 RETURNING id", download, now()
        )
        if there is None:
            raise Conflict("The transaction was closed during the download")
        await connection.execute(
            # A file that went and came again during the download is in the ZIP twice: then the commit leaves it.
            "INSERT INTO archive_rows (download, uuid, revision) "
            "SELECT $1, * FROM unnest($2::text[], $3::bigint[]) ON CONFLICT DO NOTHING",
            download,
            [uuid for uuid, _revision in rows],
            [revision for _uuid, revision in rows],
        )


async def finish(connection: Connection, download: int, notes: dict[str, object]) -> None:
    """Note that a download is complete: only such a one allows a deletion.

    Raises:
        Conflict: the list is gone: the transaction was closed meanwhile.
    """
    done = await connection.fetchval(
        "UPDATE archive_downloads SET notes = $2::jsonb, beat_at = $3 WHERE id = $1 RETURNING id",
        download,
        json.dumps(notes),
        now(),
    )
    if done is None:
        raise Conflict("The transaction was closed during the download")


async def drop(connection: Connection, download: int) -> None:
    """Forget a download that broke off; a complete one stays."""
    await connection.execute(
        "DELETE FROM archive_downloads WHERE id = $1 AND notes IS NULL", download, timeout=_PATIENCE
    )


async def drop_all(connection: Connection, archive: str) -> None:
    """Forget all downloads of a transaction."""
    await connection.execute("DELETE FROM archive_downloads WHERE archive_uuid = $1", archive, timeout=_PATIENCE)


async def drop_dead(connection: Connection) -> None:
    """Forget downloads whose process died."""
    await connection.execute(
        "DELETE FROM archive_downloads WHERE notes IS NULL AND beat_at < $1", now() - DEAD_AFTER, timeout=_PATIENCE
    )


async def drop_old(connection: Connection, age: timedelta) -> list[str]:
    """Forget the complete downloads of transactions that nobody commits, all of one or none.

    Without the older list, a commit that names no ZIP would take what only the younger ZIP holds.

    Args:
        connection: inside a transaction.
        age: since the end of the last one.

    Returns:
        The transactions that must be downloaded again before a commit.
    """
    # Under the lock of a commit, so that none loses its list in the middle.
    rows = await connection.fetch(
        """
        SELECT uuid FROM archive_txs WHERE state = 'open' AND uuid IN (
            SELECT archive_uuid FROM archive_downloads WHERE notes IS NOT NULL
            GROUP BY archive_uuid HAVING max(beat_at) < $1)
        ORDER BY uuid FOR UPDATE SKIP LOCKED
        """,
        now() - age,
    )
    uuids = [row["uuid"] for row in rows]
    await connection.execute(
        "DELETE FROM archive_downloads WHERE archive_uuid = ANY($1) AND notes IS NOT NULL", uuids, timeout=_PATIENCE
    )
    return uuids


async def complete(connection: Connection, archive: str) -> list[Download]:
    """List the complete downloads of a transaction, the latest last."""
    rows = await connection.fetch(
        "SELECT id, notes FROM archive_downloads WHERE archive_uuid = $1 AND notes IS NOT NULL ORDER BY id", archive
    )
    return [Download(row["id"], json.loads(row["notes"])) for row in rows]


async def narrow(connection: Connection, download: int, others: Sequence[int]) -> list[str]:
    """Strike out of a list what is not in all the others with the same revision.

    Nobody told which of several ZIPs was kept, so only what all of them hold may go.

    Returns:
        The uuids that were struck out.
    """
    rows = await connection.fetch(
        """
        DELETE FROM archive_rows one WHERE download = $1 AND EXISTS (
            SELECT 1 FROM unnest($2::bigint[]) AS other(id) WHERE NOT EXISTS (
                SELECT 1 FROM archive_rows it
                WHERE it.download = other.id AND it.uuid = one.uuid AND it.revision = one.revision))
        RETURNING uuid
        """,
        download,
        list(others),
        timeout=_PATIENCE,
    )
    return [row["uuid"] for row in rows]


async def take(connection: Connection, download: int, limit: int) -> list[Exported]:
    """Take the next rows off a list; they are off it for good when the caller's transaction commits."""
    rows = await connection.fetch(
        "DELETE FROM archive_rows WHERE download = $1 AND uuid IN "
        "(SELECT uuid FROM archive_rows WHERE download = $1 ORDER BY uuid LIMIT $2) RETURNING uuid, revision",
        download,
        limit,
    )
    return [(row["uuid"], row["revision"]) for row in rows]
