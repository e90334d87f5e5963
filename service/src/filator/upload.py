"""POST and PUT: bytes first, row last. The argument for each step stands in docs/durability.md."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from filator import metrics
from filator.budget import ByteBudget
from filator.crashpoints import reach
from filator.database import Rows
from filator.errors import StopUpload, StorageError, Unavailable, Unprocessable
from filator.form import FormReader, check_metadata, header_metadata
from filator.mime import SNIFF_BYTES, detect
from filator.models import Attachment, Pointer
from filator.settings import MIB, Settings, valid_key_prefix
from filator.storages.base import ExternalStore, Store
from filator.storages.blobs import ROW_BYTES, BlobStore
from filator.storages.registry import Registry
from filator.times import now, parse_delete_at

log = structlog.get_logger()

_SHA256 = re.compile(r"[0-9a-f]{64}")
# Blocks handed to the storage: crossing into obstore with 64 KiB pieces cost a third more CPU than joining them.
BLOCK = MIB
_BEAT = timedelta(minutes=10)


class _Identical(StopUpload):
    """The bytes are those the row already has."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an upload says besides its body.

    Attributes:
        uuid: of a PUT; None for POST.
        headers: raw ASGI headers.
        query: parameters of the address.
        length: Content-Length, None when chunked.
    """

    uuid: str | None
    headers: list[tuple[bytes, bytes]]
    query: dict[str, str]
    length: int | None


class _Digest:
    """sha256, crc32 (for the ZIP of an archive) and the first bytes of a file, while it passes."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self.crc = 0
        self.size = 0
        self.head = b""

    def feed(self, block: bytes | bytearray) -> None:
        if self.size == 0:
            self.head = bytes(block[:SNIFF_BYTES])
        self._sha.update(block)
        self.crc = zlib.crc32(block, self.crc)
        self.size += len(block)

    @property
    def checksum(self) -> str:
        return self._sha.hexdigest()


class _Upload:
    """One request on its way to a storage."""

    def __init__(self, settings: Settings, request: Request, form: FormReader, old: Attachment | None) -> None:
        self._settings = settings
        self._request = request
        self.form = form
        self.old = old
        self.uuid = request.uuid or secrets.token_hex(32)
        self.started = now()
        self.created = self.started if old is None else old.created_at
        # A PUT may meet bytes under its uuid that readers still use, even when no row was found just now.
        self.replacing = request.uuid is not None
        self.length = request.length
        self.digest = _Digest()
        self.prefix_used: str | None = None

    def prefix(self) -> str | None:
        """Return store_prefix, from the address or from the fields that came so far."""
        text = self.form.fields.get("store_prefix") or self._request.query.get("store_prefix")
        if text and not valid_key_prefix(text):
            raise Unprocessable(
                "store_prefix may hold letters, digits, '.', '_', '-' and '/' between words, at most 200 characters"
            )
        return text or None

    def finish(self) -> Attachment:
        """Check the fields and the checksum once the whole form is in.

        Raises:
            Unprocessable: a field is wrong or the bytes are not the expected ones.
            _Identical: a PUT of the bytes that are already there.
        """
        form, request = self.form, self._request
        self.prefix()
        expected = (form.fields.get("expected_sha256") or request.query.get("expected_sha256") or "").lower()
        if expected and not _SHA256.fullmatch(expected):
            raise Unprocessable("expected_sha256 must be 64 hex characters")
        checksum = self.digest.checksum
        if expected and expected != checksum:
            raise Unprocessable(f"The bytes have sha256 {checksum}, expected was {expected}")
        item = self.describe(checksum)
        if self.old is not None and self.old.checksum == checksum and self.old.size == self.digest.size:
            raise _Identical
        return item

    def describe(self, checksum: str) -> Attachment:
        """Build the row, without its pointer."""
        form, settings = self.form, self._settings
        metadata = check_metadata({**header_metadata(self._request.headers), **form.metadata}, settings)
        text = form.fields.get("delete_at", self._request.query.get("delete_at"))
        try:
            if text is not None:
                delete_at = parse_delete_at(text, settings.timezone, self.started)
            elif self._request.uuid is None:
                delete_at = self.started + timedelta(seconds=settings.default_lifetime)
            else:
                delete_at = None
        except ValueError as exc:
            raise Unprocessable(str(exc)) from None
        filename = form.filename or "file"
        return Attachment(
            uuid=self.uuid,
            checksum=checksum,
            created_at=self.created,
            updated_at=self.started,
            tags="[]",
            metadata=json.dumps(metadata, ensure_ascii=False),
            delete_at=delete_at,
            mime_type=detect(self.digest.head, form.declared, filename),
            filename=filename,
            pointer=Pointer("", None, "", None),
            size=self.digest.size,
            crc32=self.digest.crc,
        )

    @property
    def keep(self) -> frozenset[str]:
        """What a PUT leaves as it was, because the request does not say otherwise."""
        kept = set()
        if "delete_at" not in self.form.fields and "delete_at" not in self._request.query:
            kept.add("delete_at")
        if not self.form.metadata and not header_metadata(self._request.headers):
            kept.add("metadata")
        return frozenset(kept)


class Uploader:
    """Takes uploads in, within the limits of this process."""

    def __init__(self, settings: Settings, rows: Rows, registry: Registry, *, processes: int) -> None:
        self._settings = settings
        self._rows = rows
        self._registry = registry
        self.budget = ByteBudget(settings.upload_budget_bytes // processes)
        self._slots = asyncio.Semaphore(max(1, settings.max_uploads // processes))
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

    @asynccontextmanager
    async def _room(self, cost: int) -> AsyncIterator[None]:
        async with self._slots:
            metrics.WAITING.inc()
            waiting = True
            try:
                async with self.budget.take(cost):
                    metrics.WAITING.dec()
                    waiting = False
                    yield
            finally:
                if waiting:
                    metrics.WAITING.dec()

    async def _take(self, request: Request, form: FormReader) -> tuple[Attachment, bool]:
        first = self._registry.candidates()[0]
        small = request.length is not None and request.length <= first.inline_bytes
        # A small file lies in memory twice: as received and as one block for the storage.
        cost = 2 * (request.length or 0) + BLOCK // 16 if small else first.stream_cost
        async with self._room(cost):
            old = None
            if request.uuid is not None:
                old = await self._rows.find(request.uuid)
                if old is not None and old.expired(now()):
                    old = None
            upload = _Upload(self._settings, request, form, old)
            chunks = form.chunks()
            head = bytearray()
            complete = True
            async for chunk in chunks:
                head += chunk
                if len(head) > first.inline_bytes:
                    complete = False
                    break
            try:
                if complete:
                    upload.digest.feed(head)
                    return await self._small(upload, bytes(head))
                return await self._large(upload, head, chunks)
            except _Identical:
                return await self._touch(upload)

    # -- files that fit into memory --------------------------------------------------------------------------

    async def _small(self, upload: _Upload, data: bytes) -> tuple[Attachment, bool]:
        item = upload.finish()
        for store in self._registry.candidates():
            try:
                pointer = await store.place(upload.uuid, upload.created, upload.prefix(), replacing=upload.replacing)
                if isinstance(store, ExternalStore):
                    reach("before-object")
                    pointer = await store.put(pointer, data)
                    reach("after-object")
            except StorageError as exc:
                self._failed_over(store, exc)
                continue
            item = replace(item, pointer=pointer)
            return await self._commit(upload, item, store, data)
        raise Unavailable("No storage takes files now")

    @staticmethod
    def _failed_over(store: Store, exc: StorageError) -> None:
        store.health.fail(str(exc))
        metrics.FAILOVERS.labels(store.name).inc()
        log.warning("storage refused an upload", storage=store.name, reason=str(exc))

    async def _commit(
        self, upload: _Upload, item: Attachment, store: Store, data: bytes | None, intent: str | None = None
    ) -> tuple[Attachment, bool]:
        blob = data if isinstance(store, BlobStore) and data is not None else None
        # A single statement commits by itself: one round trip instead of four. A uuid that is taken (by an expired
        # row, or by a faster writer) needs the row lock below.
        alone = intent is None and upload.old is None and len(blob or b"") <= ROW_BYTES
        if alone and await self._rows.insert(item, blob):
            return self._done(item, None)
        try:
            async with self._rows.connection() as connection, connection.transaction():
                if isinstance(store, BlobStore) and blob is not None:
                    # A file that was held for another storage may be longer than one row.
                    for seq, start in enumerate(range(0, max(1, len(blob)), ROW_BYTES)):
                        await store.append(connection, item.pointer, item.uuid, seq, blob[start : start + ROW_BYTES])
                saved, old = await self._rows.save(item, connection=connection, intent=intent, keep=upload.keep)
                reach("before-commit")
        except Unavailable:
            saved, old = await self._read_back(item), upload.old
        return self._done(saved, old)

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

    async def _touch(self, upload: _Upload) -> tuple[Attachment, bool]:
        """Answer a PUT of the same bytes: the description follows the request, no byte is written."""
        assert upload.old is not None
        item = upload.describe(upload.old.checksum)
        async with self._rows.connection() as connection, connection.transaction():
            there = await self._rows.find(item.uuid, connection=connection)
            if there is None or there.checksum != item.checksum or there.expired(upload.started):
                raise Unavailable("The file was changed meanwhile; send it again")
            saved, _old = await self._rows.save(
                replace(item, pointer=there.pointer, size=there.size), connection=connection, keep=upload.keep
            )
        return saved, False

    # -- files that stream -----------------------------------------------------------------------------------

    async def _large(self, upload: _Upload, head: bytearray, chunks: AsyncIterator[bytes]) -> tuple[Attachment, bool]:
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
        source = _source(upload, head, chunks)
        if isinstance(store, BlobStore):
            return await self._large_blob(upload, store, pointer, source)
        assert isinstance(store, ExternalStore)
        return await self._large_external(upload, store, pointer, source)

    async def _large_blob(
        self, upload: _Upload, store: BlobStore, pointer: Pointer, source: AsyncIterator[bytes]
    ) -> tuple[Attachment, bool]:
        async with store.streams:
            item: Attachment | None = None
            try:
                async with self._rows.connection() as connection, connection.transaction():
                    seq = 0
                    async for block in source:
                        await store.append(connection, pointer, upload.uuid, seq, block)
                        seq += 1
                        reach("db-row")
                    item = replace(upload.finish(), pointer=pointer)
                    saved, old = await self._rows.save(item, connection=connection, keep=upload.keep)
                    reach("before-commit")
            except Unavailable:
                if item is None:
                    raise
                saved, old = await self._read_back(item), upload.old
        return self._done(saved, old)

    async def _large_external(
        self, upload: _Upload, store: ExternalStore, pointer: Pointer, source: AsyncIterator[bytes]
    ) -> tuple[Attachment, bool]:
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
        item = replace(upload.finish(), pointer=written)
        return await self._commit(upload, item, store, None, intent)

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


async def _source(upload: _Upload, head: bytearray, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield blocks of one MiB (the last may be shorter); raises at the end when the file must not be kept."""
    assert BLOCK == ROW_BYTES
    while len(head) > BLOCK:
        block = bytes(head[:BLOCK])
        del head[:BLOCK]
        upload.digest.feed(block)
        yield block
    async for chunk in chunks:
        head += chunk
        if len(head) >= BLOCK:
            block = bytes(head[:BLOCK])
            del head[:BLOCK]
            upload.digest.feed(block)
            yield block
    upload.digest.feed(head)
    # Before the last block: what raises here keeps the storage from completing the object.
    upload.finish()
    if upload.prefix() != upload.prefix_used:
        raise Unprocessable("store_prefix came after a large file; send it before the file or in the address")
    if head:
        yield bytes(head)
