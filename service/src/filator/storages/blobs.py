"""Bytes in PostgreSQL, in rows of one MiB.

One bytea per file would need four times its size in client and server and cannot be dumped past 512 MiB.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import asyncpg  # type: ignore[import-untyped]

from filator.database import BUSY, LOST, Connection
from filator.errors import StorageError, StorageMissing
from filator.models import Pointer
from filator.storages.base import MIB, Store

ROW_BYTES = MIB
_INSERT = "INSERT INTO attachment_blobs (id, attachment_id, seq, blob) VALUES ($1, $2, $3, $4)"
_READ = "SELECT substring(blob FROM $3 FOR $4) FROM attachment_blobs WHERE id = $1 AND seq = $2"


class BlobStore(Store):
    """The storage `db`: bytes and row share one transaction, so nothing can be orphaned."""

    kind = "db"
    inline_bytes = ROW_BYTES
    stream_cost = 6 * MIB
    # A row while it is received.
    read_cost = 3 * MIB // 2
    late_prefix = "unused"

    def __init__(self, name: str, pool: asyncpg.Pool, *, readonly: bool, streams: int) -> None:
        super().__init__(name, readonly=readonly)
        self._pool = pool
        # A large upload holds a connection; some must remain for everybody else.
        self.streams = asyncio.Semaphore(streams)

    async def check(self) -> str | None:
        """Say whether the table can be read."""
        try:
            # By key, as readers do: any row whatever would be looked for past all that archives have deleted.
            await self._pool.fetchval("SELECT 1 FROM attachment_blobs WHERE id = ''", timeout=5)
        except (asyncpg.PostgresError, *LOST) as exc:
            return f"the table attachment_blobs cannot be read ({type(exc).__name__})"
        return None

    async def place(self, uuid: str, created_at: datetime, prefix: str | None, *, replacing: bool) -> Pointer:
        """Make a fresh blob id: a replaced file keeps its old rows for running readers."""
        return Pointer(self.name, None, secrets.token_hex(32), None)

    async def append(self, connection: Connection, pointer: Pointer, uuid: str, seq: int, block: bytes) -> None:
        """Write row `seq` of a file; every row but the last holds ROW_BYTES."""
        await connection.execute(_INSERT, pointer.identifier, uuid, seq, block)

    async def read(self, pointer: Pointer, start: int, end: int, *, block: int | None = None) -> AsyncIterator[bytes]:
        """Stream rows one by one, or parts of them; no connection is held while the client is slow."""
        most = min(block or ROW_BYTES, ROW_BYTES)
        while start < end:
            seq, offset = divmod(start, ROW_BYTES)
            length = min(ROW_BYTES - offset, end - start, most)
            try:
                if offset == 0 and length == ROW_BYTES:
                    data = await self._pool.fetchval(
                        "SELECT blob FROM attachment_blobs WHERE id = $1 AND seq = $2", pointer.identifier, seq
                    )
                else:
                    data = await self._pool.fetchval(_READ, pointer.identifier, seq, offset + 1, length)
            except (*LOST, *BUSY) as exc:
                raise StorageError(f"storage {self.name}: the database does not answer") from exc
            if data is None:
                raise StorageMissing(f"storage {self.name}: the bytes are gone")
            if len(data) != length:
                raise StorageError(f"storage {self.name}: a row is shorter than the file's size says")
            start += length
            yield data

    async def delete(self, pointers: Sequence[Pointer]) -> dict[Pointer, str]:
        """Delete the rows of files."""
        try:
            await self._pool.execute(
                "DELETE FROM attachment_blobs WHERE id = ANY($1)", [it.identifier for it in pointers], timeout=600
            )
        except (asyncpg.PostgresError, *LOST) as exc:
            return dict.fromkeys(pointers, type(exc).__name__)
        return {}
