"""PostgreSQL: the pool, and the rows of files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cache
from itertools import chain
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from filator.conditions import ANYTHING, Condition
from filator.errors import Unavailable
from filator.models import Attachment, Pointer
from filator.replaced import drop, forget, history, remember, retire
from filator.times import now
from filator.together import Together

COLUMNS = (
    "uuid, checksum, created_at, updated_at, tags, metadata, delete_at, mime_type, filename, "
    "store, identifier_in_store, bucket, version_id, size, generation, crc32, owner"
)
_NAMES = COLUMNS.split(", ")
_FIND = f"SELECT {COLUMNS} FROM attachments WHERE uuid = $1"  # noqa: S608 - constants only
_FIND_MANY = f"SELECT {COLUMNS} FROM attachments WHERE uuid = ANY($1::text[])"  # noqa: S608
# Rows of one statement: each number of them is a statement of its own, and a connection remembers 100.
_MOST_ROWS = 16


def _places(row: int = 0) -> dict[str, str]:
    """Say by column where a statement takes a row's values, when they are given as _values() orders them."""
    return {
        name: f"${number}::jsonb" if name in ("tags", "metadata") else f"${number}"
        for number, name in enumerate(_NAMES, row * len(_NAMES) + 1)
    }


@cache
def _insert_statement(rows: int) -> str:
    """Write the statement that inserts `rows` rows; with arrays and unnest it cost about a sixth more."""
    values = ", ".join(f"({', '.join(_places(row).values())})" for row in range(rows))
    return (
        f"INSERT INTO attachments ({COLUMNS}) VALUES {values} "  # noqa: S608 - constants only
        "ON CONFLICT (uuid) DO NOTHING RETURNING uuid"
    )


_PLACE = _places()
_INSERT = _insert_statement(1)
# The blob row is written only if the file's row is: a taken uuid leaves nothing behind.
_INSERT_BLOB = (
    f"WITH row AS ({_INSERT}) INSERT INTO attachment_blobs (id, attachment_id, seq, blob) "  # noqa: S608
    f"SELECT {_PLACE['identifier_in_store']}, uuid, 0, ${len(_NAMES) + 1} FROM row RETURNING attachment_id"
)
_UPDATE = (
    f"UPDATE attachments SET {', '.join(f'{name}={_PLACE[name]}' for name in _NAMES if name != 'uuid')} "  # noqa: S608
    f"WHERE uuid={_PLACE['uuid']}"
)
_GC = "INSERT INTO blob_gc (store, bucket, identifier, version_id, not_before) VALUES ($1,$2,$3,$4,$5)"
_NEW_GENERATION = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

# What a broken connection raises: the outcome of the statement is then unknown.
# InternalClientError: a statement on a connection that broke in the middle of another one.
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
# The server answers, but cannot work now: shutting down, recovering, out of connections or disk.
BUSY = (
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
)

# asyncpg has no types: a connection, or the pool's proxy of one.
Connection = Any


async def _leave_session(_connection: object) -> None:
    # asyncpg resets the session on every release, one round trip each; nothing here changes session state.
    return None


async def open_pool(url: str, *, size: int, name: str) -> asyncpg.Pool:
    """Open a pool that fills on demand: the service starts while the database is away.

    Args:
        url: postgresql://USER:PASSWORD@HOST:PORT/DATABASE.
        size: most connections of this process.
        name: shown in pg_stat_activity.
    """
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=5,
        command_timeout=60,
        max_inactive_connection_lifetime=120,
        reset=_leave_session,
        server_settings={"application_name": name, "synchronous_commit": "on"},
    )


def row_to_attachment(row: Any) -> Attachment:
    """Turn a row of COLUMNS into an Attachment."""
    (uuid, checksum, created, updated, tags, metadata, delete_at, mime, filename, *rest) = row
    store, identifier, bucket, version, size, generation, crc32, owner = rest
    return Attachment(
        uuid,
        checksum,
        created,
        updated,
        tags,
        metadata,
        delete_at,
        mime,
        filename,
        Pointer(store, bucket, identifier, version),
        size,
        generation,
        crc32,
        owner,
    )


def _values(item: Attachment) -> tuple[object, ...]:
    where = item.pointer
    return (
        item.uuid,
        item.checksum,
        item.created_at,
        item.updated_at,
        item.tags,
        item.metadata,
        item.delete_at,
        item.mime_type,
        item.filename,
        where.store,
        where.identifier,
        where.bucket,
        where.version_id,
        item.size,
        item.generation,
        item.crc32,
        item.owner,
    )


class Rows:
    """The table `attachments` and what must change together with it."""

    def __init__(self, pool: asyncpg.Pool, *, gc_grace: timedelta, keep_replaced: bool) -> None:
        self.pool = pool
        self._gc_grace = gc_grace
        self._keep_replaced = keep_replaced
        self._lookup = Together(self._find_many)
        self._inserts = Together(self._insert_many, most=_MOST_ROWS)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection.

        Raises:
            Unavailable: PostgreSQL cannot be reached or cannot work now.
        """
        try:
            async with self.pool.acquire(timeout=10) as connection:
                yield connection
        except (*LOST, *BUSY) as exc:
            raise Unavailable(f"The database does not answer ({type(exc).__name__})") from exc

    async def _find_many(self, wanted: dict[str, None]) -> dict[str, Any]:
        return {row[0]: row for row in await self.pool.fetch(_FIND_MANY, list(wanted))}

    async def _insert_many(self, rows: dict[str, tuple[object, ...]]) -> dict[str, bool]:
        written = await self.pool.fetch(_insert_statement(len(rows)), *chain.from_iterable(rows.values()))
        return {row[0]: True for row in written}

    async def add(self, item: Attachment) -> bool:
        """Write the row of a file whose uuid was made up here, in one commit with others that came at the same time.

        A chosen uuid may have to wait for another writer's lock, and everybody in its statement with it: see insert().

        Returns:
            False when the uuid is already taken.

        Raises:
            Unavailable: PostgreSQL cannot be reached; nothing was written, as far as it can be known.
        """
        try:
            return await self._inserts.ask(item.uuid, _values(item)) is not None
        except (asyncpg.PostgresError, *LOST):
            # The commit may have happened, or another request's values were bad: each looks for itself.
            found = await self.find(item.uuid)
            return found.pointer == item.pointer if found is not None else await self.insert(item)

    async def find(self, uuid: str, *, connection: Connection | None = None) -> Attachment | None:
        """Fetch a row; expired ones too. Inside the caller's transaction the row is locked.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
        """
        if connection is not None:
            row = await connection.fetchrow(_FIND + " FOR UPDATE", uuid)
            return None if row is None else row_to_attachment(row)
        try:
            row = await self._lookup.ask(uuid, None)
        except (*LOST, *BUSY):
            # A restarted server leaves dead connections in the pool; the second try opens a new one.
            await asyncio.sleep(0.2)
            async with self.connection() as fresh:
                row = await fresh.fetchrow(_FIND, uuid)
        return None if row is None else row_to_attachment(row)

    async def save(
        self,
        item: Attachment,
        *,
        connection: Connection,
        intent: str | None = None,
        keep: frozenset[str] = frozenset(),
        replaces: Attachment | None = None,
        condition: Condition = ANYTHING,
    ) -> tuple[Attachment, Attachment | None]:
        """Make `item` the file of its uuid, in the caller's transaction.

        The row lock orders two writers: the later commit wins. An unexpired row keeps its created_at. Its old version
        stays as a replaced one or goes to blob_gc, as `filator.replaced.retire` decides.

        Args:
            item: the new row.
            connection: inside a transaction.
            intent: id of the upload intent to close.
            keep: of `metadata` and `delete_at`: what an unexpired row keeps, because the request did not give it.
            replaces: the row as the request found it before it wrote its bytes.
            condition: what must hold of the file that is there, under its lock.

        Returns:
            What was written, and the row that it replaced (None for a new file).

        Raises:
            PreconditionFailed, Forbidden: it does not; the transaction is to be given up.
        """
        if intent is not None:
            await connection.execute("DELETE FROM upload_intents WHERE id = $1", intent)
        row = None if replaces is None else await connection.fetchrow(_FIND + " FOR UPDATE", item.uuid)
        while row is None:
            condition.check(None)
            if replaces is not None:
                # The file went meanwhile, and its created_at comes back: no generation may come a second time.
                item = item._replace(generation=await connection.fetchval(_NEW_GENERATION))
            if await connection.fetchval(_INSERT, *_values(item)) is not None:
                return item, None
            row = await connection.fetchrow(_FIND + " FOR UPDATE", item.uuid)
        old = row_to_attachment(row)
        # Now, not when the request began: readers and the sweep go by the present time, and a file that expired during
        # a slow upload would take the new bytes along.
        moment = now()
        expired = old.expired(moment)
        condition.check(None if expired else old)
        merged = item._replace(generation=old.generation + 1, updated_at=moment)
        if not expired:
            merged = merged._replace(
                created_at=old.created_at,
                owner=old.owner,
                tags=old.tags,
                metadata=old.metadata if "metadata" in keep else item.metadata,
                delete_at=old.delete_at if "delete_at" in keep else item.delete_at,
            )
        await connection.execute(_UPDATE, *_values(merged))
        if old.pointer != merged.pointer:
            undisturbed = not expired and replaces is not None and replaces.pointer == old.pointer
            kept = [] if undisturbed else await history(connection, item.uuid)
            done = retire(old, merged.pointer, replaces, kept, keep=self._keep_replaced, expired=expired)
            if kept:
                await drop(connection, item.uuid, done.gone)
            if done.stays:
                await remember(connection, old)
            await self.discard(done.gone, connection=connection, not_before=moment + self._gc_grace)
        return merged, None if expired else old

    async def insert(self, item: Attachment, blob: bytes | None = None) -> bool:
        """Write the row of a new file, and its only blob row, in one statement and one round trip.

        Args:
            item: the row; its pointer's identifier is the blob's id.
            blob: the bytes for storage `db`, None for the others.

        Returns:
            False when the uuid is already taken.

        Raises:
            Unavailable: PostgreSQL cannot be reached; nothing was written, as far as it can be known.
        """
        values = _values(item)
        for attempt in (1, 2, 3):
            try:
                if blob is None:
                    return await self.pool.fetchval(_INSERT, *values) is not None
                return await self.pool.fetchval(_INSERT_BLOB, *values, blob) is not None
            except (*LOST, *BUSY):
                # The commit may have happened: look before trying again.
                await asyncio.sleep(0.2 * attempt)
                found = await self.find(item.uuid)
                if found is not None:
                    return found.pointer == item.pointer
        raise Unavailable("The database does not answer")

    async def discard(self, pointers: Sequence[Pointer], *, connection: Connection, not_before: datetime) -> None:
        """Queue bytes for removal; the sweep checks again that no row points to them."""
        await connection.executemany(
            _GC, [(it.store, it.bucket, it.identifier, it.version_id, not_before) for it in pointers]
        )

    async def delete(self, uuid: str, moment: datetime, condition: Condition = ANYTHING) -> Attachment | None:
        """Remove a row and queue its bytes with all its replaced versions; an expired row counts as absent.

        Args:
            uuid: of the file.
            moment: now.
            condition: what must hold of the file, under its lock.

        Returns:
            The removed row, or None.

        Raises:
            PreconditionFailed, Forbidden: it does not; nothing was removed.
        """
        async with self.connection() as connection, connection.transaction():
            row = await connection.fetchrow(_FIND + " FOR UPDATE", uuid)
            if row is None:
                return None
            item = row_to_attachment(row)
            if item.expired(moment):
                return None
            condition.check(item)
            await connection.execute("DELETE FROM attachments WHERE uuid = $1", uuid)
            gone = [item.pointer, *await forget(connection, [uuid])]
            await self.discard(gone, connection=connection, not_before=moment + self._gc_grace)
            return item
