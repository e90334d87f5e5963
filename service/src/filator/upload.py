"""POST and PUT: bytes first, row last. The argument for each step stands in docs/durability.md."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from filator import metrics
from filator.budget import LEAST_PLACES, Budget, Lease, share
from filator.crashpoints import reach
from filator.database import Rows
from filator.errors import Forbidden, PreconditionFailed, StorageError, Unavailable
from filator.form import FormReader
from filator.heap import trim_soon
from filator.intake import BLOCK, Identical, Request, Upload, source
from filator.models import Attachment, Pointer
from filator.replaced import same_key
from filator.settings import LEAST_UPLOAD_BYTES, Settings
from filator.storages.base import ExternalStore, Store
from filator.storages.blobs import ROW_BYTES, BlobStore
from filator.storages.registry import Registry
from filator.streams import ahead
from filator.times import now

log = structlog.get_logger()

_BEAT = timedelta(minutes=10)
# What an upload may send before it must have the memory of its whole size: a slow one holds little until then.
ENTRY_BYTES = 1 << 18
# Uploads up to this length find places and memory that larger ones never take.
SMALL_BYTES = 1 << 16
# Buffers of an upload besides its bytes.
_OVERHEAD = BLOCK // 16


def cost_of(length: int) -> int:
    """Return the memory of a file that is held whole: as received, and as one block for the storage."""
    return 2 * length + _OVERHEAD


class Admission:
    """Lets uploads in: a place each, and memory by what they will hold.

    Three lanes, none of which starves the others: small files; the first bytes of all others; and what these hold once
    their first bytes have come. A stream waits for nothing more once it has its memory, so that nobody waits in a ring.

    Args:
        settings: limits of all workers.
        processes: number of workers.
    """

    def __init__(self, settings: Settings, *, processes: int) -> None:
        total = share(settings.upload_budget_bytes, processes, LEAST_UPLOAD_BYTES)
        places = share(settings.max_uploads, processes, LEAST_PLACES)
        corner = max(4 * cost_of(ENTRY_BYTES), total // 32)
        patience = settings.wait_seconds
        self.memory = Budget(
            total,
            {"small": corner, "entry": corner, "whole": 0},
            patience=patience,
            what="memory for uploads",
            after_pressure=trim_soon,
        )
        self.places = Budget(
            places, {"small": max(1, places // 4), "other": 0}, patience=patience, what="places for uploads"
        )
        self.patience = patience

    @asynccontextmanager
    async def __call__(self, length: int | None) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        """Hold a place and the memory of an upload's first bytes.

        Args:
            length: of the request's body, None when it is not known.

        Yields:
            What must be awaited once these bytes are exceeded: it takes the memory that is named, all of the upload.

        Raises:
            Unavailable: no room came free in time.
        """
        small = length is not None and length <= SMALL_BYTES
        lane = "small" if small else "entry"
        cost = cost_of(length if length is not None and length < ENTRY_BYTES else ENTRY_BYTES)
        held: list[Lease] = []

        async def grow(whole: int) -> None:
            if len(held) == 2 and whole > cost:
                held.append(await self.memory.take("whole", whole - cost))

        try:
            room = "small" if small else "other"
            held.append(self.places.take_now(room, 1) or await self.places.take(room, 1))
            held.append(self.memory.take_now(lane, cost) or await self.memory.take(lane, cost))
            yield grow
        finally:
            for lease in held:
                lease.release()


@asynccontextmanager
async def _in_time(streams: asyncio.Semaphore, patience: float) -> AsyncIterator[None]:
    """Hold one of the connections that large files may use.

    Raises:
        Unavailable: none came free in time.
    """
    try:
        await asyncio.wait_for(streams.acquire(), patience)
    except TimeoutError:
        raise Unavailable(
            f"No connection for large files came free within {patience:g} seconds; send it again",
            retry_after=max(1, round(patience)),
        ) from None
    try:
        yield
    finally:
        streams.release()


class Uploader:
    """Takes uploads in, within the limits of this process."""

    def __init__(self, settings: Settings, rows: Rows, registry: Registry, *, processes: int) -> None:
        self._settings = settings
        self._rows = rows
        self._registry = registry
        self._admission = Admission(settings, processes=processes)
        self._running: set[tuple[FormReader, asyncio.Task[tuple[Attachment, bool]]]] = set()

    async def take(self, request: Request, form: FormReader) -> tuple[Attachment, bool]:
        """Store a file durably.

        Args:
            request: what the head of the request says.
            form: its body.

        Returns:
            The row, and whether it is new (201) or replaces another (200).

        Raises:
            ApiError: the answer to give; nothing is kept then.
            ClientGone: nobody waits for an answer; nothing is kept.
        """
        # A task of its own: when the server cancels the request at the end of its patience, the storage client must
        # see an exception of the source. A cancelled obstore call leaves its multipart upload behind.
        task = asyncio.create_task(self._take(request, form))
        entry = (form, task)
        self._running.add(entry)
        metrics.RUNNING.inc()
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            form.stop()
            raise
        finally:
            metrics.RUNNING.dec()
            if task.done():
                self._running.discard(entry)
            else:
                task.add_done_callback(lambda _task: self._running.discard(entry))

    async def close(self) -> None:
        """End what still runs and wait until the storages have let go of it."""
        for form, _task in self._running:
            form.stop()
        if self._running:
            await asyncio.wait([task for _form, task in self._running], timeout=10)

    async def _take(self, request: Request, form: FormReader) -> tuple[Attachment, bool]:
        first = self._registry.candidates()[0]
        async with self._admission(request.length) as grow:
            return await self._within(first, request, form, grow)

    async def _within(
        self, first: Store, request: Request, form: FormReader, grow: Callable[[int], Awaitable[None]]
    ) -> tuple[Attachment, bool]:
        old = None
        if request.uuid is not None:
            old = await self._rows.find(request.uuid)
            if old is not None and old.expired(now()):
                old = None
            # Before a byte of the body is asked for; what counts is the look under the row's lock.
            request.condition.check(old)
        upload = Upload(self._settings, request, form, old)
        chunks = form.chunks()
        head = bytearray()
        complete = True
        grown = False
        async for chunk in chunks:
            head += chunk
            if not grown and len(head) > ENTRY_BYTES:
                # Nothing is read meanwhile, so the client's clock stands still.
                grown = True
                inline = request.length is not None and request.length <= first.inline_bytes
                await grow(cost_of(request.length or 0) if inline else first.stream_bytes(request.length))
            if len(head) > first.inline_bytes:
                complete = False
                break
        try:
            if complete:
                upload.digest.feed(head)
                return await self._small(upload, bytes(head))
            return await self._large(upload, head, chunks)
        except Identical:
            return await self._touch(upload)

    # -- files that fit into memory --------------------------------------------------------------------------

    async def _small(self, upload: Upload, data: bytes) -> tuple[Attachment, bool]:
        item = upload.finish()
        for store in self._registry.candidates():
            try:
                pointer = await store.place(upload.uuid, upload.created, upload.prefix(), replacing=upload.replacing)
                intent = None
                if isinstance(store, ExternalStore):
                    if upload.old is not None and same_key(upload.old.pointer, pointer):
                        # Death behind the object would leave a newer version above the row's, in which a prune sees
                        # an old one. The nightly search for orphans does not look at the keys of old files.
                        intent = await self._intend(upload, pointer)
                    reach("before-object")
                    pointer = await store.put(pointer, data)
                    reach("after-object")
            except StorageError as exc:
                self._failed_over(store, exc)
                continue
            item = item._replace(pointer=pointer)
            return await self._commit(upload, item, store, data, intent=intent)
        raise Unavailable("No storage takes files now")

    @staticmethod
    def _failed_over(store: Store, exc: StorageError) -> None:
        store.health.fail(str(exc))
        metrics.FAILOVERS.labels(store.name).inc()
        log.warning("storage refused an upload", storage=store.name, reason=str(exc))

    async def _commit(
        self,
        upload: Upload,
        item: Attachment,
        store: Store,
        data: bytes | None,
        *,
        intent: str | None = None,
        surplus: Pointer | None = None,
    ) -> tuple[Attachment, bool]:
        blob = data if isinstance(store, BlobStore) and data is not None else None
        # A single statement commits by itself: one round trip instead of four. A uuid that is taken (by an expired
        # row, or by a faster writer) needs the row lock below.
        alone = intent is None and upload.old is None and len(blob or b"") <= ROW_BYTES
        if alone:
            fresh = blob is None and not upload.replacing
            if await (self._rows.add(item) if fresh else self._rows.insert(item, blob)):
                return self._done(item, None)
        try:
            async with self._rows.connection() as connection, connection.transaction():
                if isinstance(store, BlobStore) and blob is not None:
                    # A file that was held for another storage may be longer than one row.
                    for seq, start in enumerate(range(0, max(1, len(blob)), ROW_BYTES)):
                        await store.append(connection, item.pointer, item.uuid, seq, blob[start : start + ROW_BYTES])
                saved, old = await self._rows.save(
                    item,
                    connection=connection,
                    intent=intent,
                    keep=upload.keep,
                    replaces=upload.old,
                    condition=upload.condition,
                )
                if surplus is not None:
                    await self._rows.discard([surplus], connection=connection, not_before=item.updated_at)
                reach("before-commit")
        except (PreconditionFailed, Forbidden):
            written = [it for it in (item.pointer if blob is None else None, surplus) if it is not None]
            await self._take_back(written, intent)
            raise
        except Unavailable:
            saved, old = await self._read_back(item), upload.old
        return self._done(saved, old)

    async def _take_back(self, written: list[Pointer], intent: str | None) -> None:
        """Queue what a refused request wrote: its key may be that of the file, where no search for orphans looks."""
        # Where the database is away now, the intent stays, and the sweep of intents finds the bytes.
        with contextlib.suppress(Unavailable):
            async with self._rows.connection() as connection, connection.transaction():
                await self._rows.discard(written, connection=connection, not_before=now())
                if intent is not None:
                    await connection.execute("DELETE FROM upload_intents WHERE id = $1", intent)

    async def _read_back(self, item: Attachment) -> Attachment:
        """Find out whether a commit happened whose answer was lost."""
        for attempt in range(5):
            await asyncio.sleep(0.3 * attempt)
            try:
                found = await self._rows.find(item.uuid)
            except Unavailable:
                continue
            if found is not None and found.pointer == item.pointer:
                return found
            break
        raise Unavailable("The database does not answer; send the file again")

    @staticmethod
    def _done(item: Attachment, old: Attachment | None) -> tuple[Attachment, bool]:
        reach("after-commit")
        metrics.UPLOADED.labels(item.pointer.store).inc(item.size)
        return item, old is None

    async def _touch(self, upload: Upload) -> tuple[Attachment, bool]:
        """Answer a PUT of the same bytes: the description follows the request, no byte is written."""
        assert upload.old is not None
        item = upload.describe(upload.old.checksum)
        async with self._rows.connection() as connection, connection.transaction():
            there = await self._rows.find(item.uuid, connection=connection)
            if there is None or there.checksum != item.checksum or there.expired(now()):
                raise Unavailable("The file was changed meanwhile; send it again")
            saved, _old = await self._rows.save(
                item._replace(pointer=there.pointer, size=there.size),
                connection=connection,
                keep=upload.keep,
                replaces=there,
                condition=upload.condition,
            )
        return saved, False

    # -- files that stream -----------------------------------------------------------------------------------

    async def _large(self, upload: Upload, head: bytearray, chunks: AsyncIterator[bytes]) -> tuple[Attachment, bool]:
        refused: list[Store] = []
        for store in self._registry.candidates():
            # Once the stream flows it cannot be sent again: ask before whether the storage lives.
            reason = await store.check()
            if reason is None:
                try:
                    pointer = await store.place(
                        upload.uuid, upload.created, upload.prefix(), replacing=upload.replacing
                    )
                except StorageError as exc:
                    reason = str(exc)
            if reason is None:
                break
            refused.append(store)
            self._failed_over(store, StorageError(reason))
        else:
            raise Unavailable("No storage takes files now")
        upload.prefix_used = upload.prefix()
        upload.prefix_fixed = store.late_prefix == "refused"
        blocks = source(upload, head, chunks)
        if isinstance(store, BlobStore):
            return await self._large_blob(upload, store, pointer, blocks)
        assert isinstance(store, ExternalStore)
        return await self._large_external(upload, store, pointer, blocks)

    async def _large_blob(
        self, upload: Upload, store: BlobStore, pointer: Pointer, source: AsyncIterator[bytes]
    ) -> tuple[Attachment, bool]:
        async with _in_time(store.streams, self._admission.patience):
            item: Attachment | None = None
            try:
                async with self._rows.connection() as connection, connection.transaction():
                    seq = 0
                    async for block in ahead(source):
                        await store.append(connection, pointer, upload.uuid, seq, block)
                        seq += 1
                        reach("db-row")
                    item = upload.finish()._replace(pointer=pointer)
                    saved, old = await self._rows.save(
                        item, connection=connection, keep=upload.keep, replaces=upload.old, condition=upload.condition
                    )
                    reach("before-commit")
            except Unavailable:
                if item is None:
                    raise
                saved, old = await self._read_back(item), upload.old
        return self._done(saved, old)

    async def _large_external(
        self, upload: Upload, store: ExternalStore, pointer: Pointer, source: AsyncIterator[bytes]
    ) -> tuple[Attachment, bool]:
        intent = await self._intend(upload, pointer)
        try:
            written = await store.put_stream(pointer, self._beating(intent, source), upload.length)
        except StorageError as exc:
            # The intent stays: the storage may have completed the object although its answer was lost.
            self._failed_over(store, exc)
            raise Unavailable("The storage failed during the upload; send the file again") from exc
        except BaseException:
            await self._forget(intent)
            raise
        reach("after-object")
        item = upload.finish()._replace(pointer=written)
        if store.late_prefix == "copied" and upload.prefix() != upload.prefix_used:
            # store_prefix came behind the file: the copy is the file, what was written first goes with the commit.
            target = await store.place(upload.uuid, upload.created, upload.prefix(), replacing=upload.replacing)
            above = upload.old is not None and same_key(upload.old.pointer, target)
            copying = await self._intend(upload, target) if above else None
            try:
                item = item._replace(pointer=await store.copy(written, target, item.size))
            except StorageError as exc:
                raise Unavailable("The storage could not move the file to its store_prefix; send it again") from exc
            surplus = written
            done = await self._commit(upload, item, store, None, intent=intent, surplus=surplus)
            if copying is not None:
                await self._forget(copying)
            return done
        return await self._commit(upload, item, store, None, intent=intent)

    async def _intend(self, upload: Upload, pointer: Pointer) -> str:
        """Commit that bytes are about to be written, so that the sweep finds them if this process dies."""
        intent = secrets.token_hex(16)
        async with self._rows.connection() as connection:
            await connection.execute(
                "INSERT INTO upload_intents (id, uuid, store, bucket, identifier, started_at, beat_at) "
                "VALUES ($1, $2, $3, $4, $5, $6, $6)",
                intent,
                upload.uuid,
                pointer.store,
                pointer.bucket,
                pointer.identifier,
                now(),
            )
        reach("after-intent")
        return intent

    async def _beating(self, intent: str, source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass blocks on and keep the intent alive, so that the sweep does not take a slow upload for a dead one."""
        beat = now()
        async for block in source:
            reach("mid-stream")
            if now() - beat > _BEAT:
                beat = now()
                try:
                    async with self._rows.connection() as connection:
                        await connection.execute("UPDATE upload_intents SET beat_at = $2 WHERE id = $1", intent, beat)
                except Unavailable:
                    log.warning("intent not refreshed", intent=intent)
            yield block

    async def _forget(self, intent: str) -> None:
        try:
            async with self._rows.connection() as connection:
                await connection.execute("DELETE FROM upload_intents WHERE id = $1", intent)
        except Unavailable:
            log.warning("intent left for the sweep", intent=intent)
