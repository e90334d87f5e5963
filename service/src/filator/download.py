"""GET and HEAD: the bytes, whole or in ranges, checked while they pass."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import structlog
from isal import isal_zlib

from filator import metrics
from filator.budget import Budget, Lease, share
from filator.database import Rows
from filator.errors import ApiError, NotFound, StorageError, StorageMissing, Unavailable
from filator.heap import trim_soon
from filator.models import Attachment
from filator.ranges import Unsatisfiable, disposition, matches, parse_range
from filator.settings import LEAST_DOWNLOAD_BYTES, Settings
from filator.storages.base import Store
from filator.storages.registry import Registry
from filator.streams import ahead
from filator.times import now

log = structlog.get_logger()

# Below this a thread costs more than the hash.
THREAD_BYTES = 1 << 17
# Answers up to this length fit into the kernel's buffers.
UNCOUNTED_BYTES = 1 << 16
# A block of a download when memory is short.
NARROW_BYTES = 1 << 17
# In the connection, held back, read ahead, and coming in.
BLOCKS_HELD = 4
Headers = list[tuple[bytes, bytes]]


class BrokenOff(Exception):
    """The rest of an answer must not be sent: the connection is closed, so that the client sees an incomplete body."""


@dataclass(slots=True)
class Answer:
    """What a GET sends.

    Attributes:
        status: HTTP status.
        headers: complete, with Content-Length.
        body: the bytes; None for HEAD and 304.
        lease: memory of the body, to be given back when the last byte is with the client.
    """

    status: int
    headers: Headers
    body: AsyncGenerator[bytes] | None
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class Width:
    """How a body is read.

    Attributes:
        block: bytes at a time, None for as many as the storage likes best.
        lease: the memory it may take; None for so little that it is not counted.
    """

    block: int | None
    lease: Lease | None


class Room:
    """The memory of running downloads: wide ones while there is much, else narrow ones that many can have.

    Args:
        settings: limits of all workers.
        processes: number of workers.
    """

    def __init__(self, settings: Settings, *, processes: int) -> None:
        total = share(settings.download_budget_bytes, processes, LEAST_DOWNLOAD_BYTES)
        self.memory = Budget(
            total,
            {"wide": 0, "narrow": total // 2},
            patience=settings.wait_seconds,
            what="memory for downloads",
            after_pressure=trim_soon,
        )

    async def take(self, store: Store, length: int) -> Width:
        """Find memory for a body.

        Args:
            store: it comes from.
            length: its bytes.

        Raises:
            Unavailable: none came free in time.
        """
        if length <= UNCOUNTED_BYTES:
            return Width(None, None)
        wide = store.read_cost + BLOCKS_HELD * store.read_block
        # A short file is one block: in the storage's client, and in the connection.
        short = BLOCKS_HELD * length
        lease = self.memory.take_now("wide", min(wide, short))
        if lease is not None:
            return Width(None, lease)
        # The storage's client keeps some buffers between two blocks.
        narrow = store.read_cost // 8 + BLOCKS_HELD * NARROW_BYTES
        return Width(NARROW_BYTES, await self.memory.take("narrow", min(narrow, short)))


def _common(item: Attachment) -> Headers:
    return [
        (b"etag", f'"{item.checksum}"'.encode()),
        (b"accept-ranges", b"bytes"),
        (b"content-disposition", disposition(item.filename).encode("latin-1")),
        # Nobody's browser may run what somebody uploaded.
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; sandbox"),
        (b"cache-control", b"private, no-cache"),
    ]


class Check:
    """Compares the bytes of a whole file with what was acknowledged, while they pass.

    CRC-32 finds what storages and wires do by accident for 0.1 CPU-seconds a GiB; sha256 (0.6) finds intent as well.
    """

    def __init__(self, item: Attachment, how: str) -> None:
        self._item = item
        # A file from before schema 0004 has no CRC-32.
        self._sha = hashlib.sha256() if how == "sha256" or (how == "crc32" and item.crc32 is None) else None
        self._crc: int | None = 0 if how == "crc32" and self._sha is None else None
        self._pending: asyncio.Future[None] | None = None

    async def feed(self, block: bytes) -> None:
        """Take in the next block, which may still be under way when this returns."""
        if self._crc is not None:
            self._crc = isal_zlib.crc32(block, self._crc)
        elif self._sha is not None:
            await self._rest()
            if len(block) > THREAD_BYTES:
                # Hashing lets go of the interpreter: the other core does it while this one sends and fetches.
                self._pending = asyncio.get_running_loop().run_in_executor(None, self._sha.update, block)
            else:
                self._sha.update(block)

    async def _rest(self) -> None:
        if self._pending is not None:
            await self._pending
            self._pending = None

    async def passed(self) -> bool:
        """Say whether the bytes are the acknowledged ones."""
        await self._rest()
        if self._crc is not None:
            return self._crc == self._item.crc32
        return self._sha is None or self._sha.hexdigest() == self._item.checksum


class Downloader:
    """Answers for the bytes of files."""

    def __init__(self, rows: Rows, registry: Registry, settings: Settings, *, processes: int) -> None:
        self._rows = rows
        self._registry = registry
        self._verify = settings.verify_reads
        self._room = Room(settings, processes=processes)

    async def find(self, uuid: str) -> Attachment:
        """Fetch the row of a file.

        Raises:
            NotFound: there is none, or it has expired.
        """
        item = await self._rows.find(uuid)
        if item is None or item.expired(now()):
            raise NotFound
        return item

    async def answer(self, uuid: str, headers: dict[bytes, bytes], *, head: bool) -> Answer:
        """Build the answer to GET or HEAD.

        Args:
            uuid: 64 hex characters.
            headers: of the request, lower case.
            head: whether only the headers are wanted.

        Raises:
            NotFound: no such file.
            ApiError: 412 and 416.
            Unavailable: the storage does not give the bytes, or there is no memory for them.
        """
        item = await self.find(uuid)
        etag = f'"{item.checksum}"'
        common = _common(item)

        def header(name: bytes) -> str | None:
            value = headers.get(name)
            return None if value is None else value.decode("latin-1")

        if_match = header(b"if-match")
        if if_match is not None and not matches(if_match, etag):
            raise ApiError("The file has another checksum than If-Match asks for", status=412)
        if matches(header(b"if-none-match"), etag):
            return Answer(304, [pair for pair in common if pair[0] != b"content-disposition"], None)
        wanted = header(b"range")
        if_range = header(b"if-range")
        if if_range is not None and if_range.strip() != etag:
            wanted = None
        try:
            ranges = parse_range(wanted, item.size)
        except Unsatisfiable:
            raise ApiError(
                f"The range is outside of the {item.size} bytes",
                status=416,
                headers={"content-range": f"bytes */{item.size}"},
            ) from None
        mime = item.mime_type.encode("latin-1")
        if ranges is None:
            common += [(b"content-type", mime), (b"content-length", str(item.size).encode())]
            return await self._whole(200, common, item, 0, item.size, head=head)
        if len(ranges) == 1:
            start, end = ranges[0]
            common += [
                (b"content-type", mime),
                (b"content-range", f"bytes {start}-{end - 1}/{item.size}".encode()),
                (b"content-length", str(end - start).encode()),
            ]
            return await self._whole(206, common, item, start, end, head=head)
        return await self._parts(item, ranges, common, head=head)

    async def _take(self, item: Attachment, length: int) -> Width:
        try:
            store = self._registry.get(item.pointer.store)
        except StorageError as exc:
            raise Unavailable("The storage of this file does not answer") from exc
        return await self._room.take(store, length)

    async def _whole(
        self, status: int, headers: Headers, item: Attachment, start: int, end: int, *, head: bool
    ) -> Answer:
        """Answer with one run of bytes."""
        if head:
            return Answer(status, headers, None)
        width = await self._take(item, end - start)
        try:
            return Answer(status, headers, await self._begin(item, start, end, width.block), width.lease)
        except BaseException:
            if width.lease is not None:
                width.lease.release()
            raise

    async def _parts(self, item: Attachment, ranges: list[tuple[int, int]], common: Headers, *, head: bool) -> Answer:
        boundary = secrets.token_hex(16)
        heads = [
            (
                f"\r\n--{boundary}\r\nContent-Type: {item.mime_type}\r\n"
                f"Content-Range: bytes {start}-{end - 1}/{item.size}\r\n\r\n"
            ).encode("latin-1")
            for start, end in ranges
        ]
        tail = f"\r\n--{boundary}--\r\n".encode()
        length = sum(map(len, heads)) + sum(end - start for start, end in ranges) + len(tail)
        common += [
            (b"content-type", f"multipart/byteranges; boundary={boundary}".encode()),
            (b"content-length", str(length).encode()),
        ]

        if head:
            return Answer(206, common, None)
        width = await self._take(item, max(length, 2 * UNCOUNTED_BYTES))

        async def body() -> AsyncGenerator[bytes]:
            for part, (start, end) in zip(heads, ranges, strict=True):
                yield part
                async with aclosing(await self._begin(item, start, end, width.block)) as blocks:
                    async for block in blocks:
                        yield block
            yield tail

        return Answer(206, common, body(), width.lease)

    async def _begin(self, item: Attachment, start: int, end: int, size: int | None) -> AsyncGenerator[bytes]:
        """Fetch the first block before a header is sent, so that a missing object is still an answer."""
        for attempt in (1, 2):
            try:
                source = self._registry.get(item.pointer.store).read(item.pointer, start, end, block=size)
                first = await anext(source, b"")
            except StorageMissing as exc:
                # A reader whose file was replaced long ago: the row has moved on.
                fresh = await self._rows.find(item.uuid)
                if (
                    attempt == 1
                    and fresh is not None
                    and fresh.pointer != item.pointer
                    and fresh.checksum == item.checksum
                ):
                    item = fresh
                    continue
                metrics.READ_ERRORS.labels(item.pointer.store, "missing").inc()
                log.error(  # noqa: TRY400 - a state, not a bug: no traceback
                    "bytes missing", uuid=item.uuid, store=item.pointer.store, reason=str(exc)
                )
                raise Unavailable("The bytes of this file cannot be read") from exc
            except StorageError as exc:
                metrics.READ_ERRORS.labels(item.pointer.store, "failed").inc()
                raise Unavailable("The storage of this file does not answer") from exc
            break
        whole = start == 0 and end == item.size
        return self._checked(item, first, source, end - start, Check(item, self._verify if whole else "off"))

    async def _checked(
        self, item: Attachment, first: bytes, source: AsyncIterator[bytes], length: int, check: Check
    ) -> AsyncGenerator[bytes]:
        """Pass blocks on; the last one is held back until length and check are right."""
        await check.feed(first)
        seen = len(first)
        held = first
        try:
            async with aclosing(ahead(source)) as blocks:
                async for block in blocks:
                    if held:
                        yield held
                    await check.feed(block)
                    seen += len(block)
                    held = block
        except StorageError as exc:
            metrics.READ_ERRORS.labels(item.pointer.store, "failed").inc()
            raise BrokenOff(str(exc)) from exc
        if seen != length or not await check.passed():
            metrics.READ_ERRORS.labels(item.pointer.store, "checksum").inc()
            raise BrokenOff(f"{item.uuid}: the storage {item.pointer.store} gave other bytes than were acknowledged")
        metrics.DOWNLOADED.labels(item.pointer.store).inc(seen)
        if held:
            yield held
