"""GET and HEAD: the bytes, whole or in ranges, checked while they pass."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog
from isal import isal_zlib

from filator import metrics
from filator.database import Rows
from filator.errors import ApiError, NotFound, StorageError, StorageMissing, Unavailable
from filator.models import Attachment
from filator.ranges import Unsatisfiable, disposition, matches, parse_range
from filator.storages.registry import Registry
from filator.streams import ahead
from filator.times import now

log = structlog.get_logger()

# Below this a thread costs more than the hash.
THREAD_BYTES = 1 << 17
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
    """

    status: int
    headers: Headers
    body: AsyncIterator[bytes] | None


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

    def __init__(self, rows: Rows, registry: Registry, *, verify: str) -> None:
        self._rows = rows
        self._registry = registry
        self._verify = verify

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
            Unavailable: the storage does not give the bytes.
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
            return Answer(200, common, None if head else await self._begin(item))
        if len(ranges) == 1:
            start, end = ranges[0]
            common += [
                (b"content-type", mime),
                (b"content-range", f"bytes {start}-{end - 1}/{item.size}".encode()),
                (b"content-length", str(end - start).encode()),
            ]
            return Answer(206, common, None if head else await self._begin(item, start, end))
        return await self._parts(item, ranges, common, head=head)

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

        async def body() -> AsyncIterator[bytes]:
            for part, (start, end) in zip(heads, ranges, strict=True):
                yield part
                async for block in await self._begin(item, start, end):
                    yield block
            yield tail

        return Answer(206, common, None if head else body())

    async def _begin(self, item: Attachment, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Fetch the first block before a header is sent, so that a missing object is still an answer."""
        end = item.size if end is None else end
        for attempt in (1, 2):
            try:
                source = self._registry.get(item.pointer.store).read(item.pointer, start, end)
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
    ) -> AsyncIterator[bytes]:
        """Pass blocks on; the last one is held back until length and check are right."""
        await check.feed(first)
        seen = len(first)
        held = first
        try:
            async for block in ahead(source):
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
