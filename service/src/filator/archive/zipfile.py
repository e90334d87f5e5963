"""The ZIP of an archive transaction, streamed."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from stat import S_IFREG
from zoneinfo import ZoneInfo

from stream_zip import ZIP_64, ZIP_AUTO, Method, async_stream_zip

from filator.archive.exports import Exported
from filator.archive.rows import ArchiveRows, Transaction
from filator.download import BrokenOff
from filator.errors import StorageError
from filator.models import Attachment
from filator.storages.registry import Registry
from filator.times import iso, now

_MODE = S_IFREG | 0o644
# Rows of one part of the table; a part is held in memory, so that its size and sha256 stand in the manifest.
ROWS_PER_PART = 1000


def _deflate() -> zlib._Compress:
    # Of the table, not of the files: rows shrink to a fifth even when it is quick.
    return zlib.compressobj(wbits=-zlib.MAX_WBITS, level=1)


Member = tuple[str, datetime, int, Method, AsyncIterable[bytes]]


@dataclass(slots=True)
class Summary:
    """What a ZIP held, known at its end."""

    files: int = 0
    bytes: int = 0
    blobs: int = 0
    unreadable: int = 0
    sha256: str = ""
    size: int = 0


def line(item: Attachment, revision: int, zone: ZoneInfo, *, included: bool) -> dict[str, object]:
    """Describe one row in `attachments/*.jsonl`: the contract's description, and what finds the bytes again."""
    return {
        **item.describe(zone),
        "updated_at": iso(item.updated_at, zone),
        "revision": revision,
        "size": item.size,
        "bucket": item.pointer.bucket,
        "version_id": item.pointer.version_id,
        "entry": f"blobs/{item.uuid}" if included else None,
    }


async def _bytes(data: bytes) -> AsyncIterator[bytes]:
    yield data


class Archive:
    """Builds the ZIP: rows in parts, the bytes of `db` files (and of others when asked), a manifest at the end."""

    def __init__(
        self,
        rows: ArchiveRows,
        registry: Registry,
        tx: Transaction,
        zone: ZoneInfo,
        *,
        include_objects: bool,
        skip_unreadable: bool = False,
    ) -> None:
        """Prepare a ZIP.

        Args:
            rows: the rows of archives.
            registry: the storages.
            tx: the transaction.
            zone: of times.
            include_objects: take the bytes of other storages than `db` along too.
            skip_unreadable: leave files out whose bytes cannot be read, and list them; each file is read twice then,
                because a member of a ZIP cannot be taken back once it has begun.
        """
        self._rows = rows
        self._registry = registry
        self._tx = tx
        self._zone = zone
        self._include = include_objects
        self._skip = skip_unreadable
        self.summary = Summary()

    async def stream(self, download: int) -> AsyncIterator[bytes]:
        """Yield the ZIP.

        Args:
            download: the list of what it holds.

        Raises:
            BrokenOff: bytes are missing or wrong; the ZIP must not end cleanly then.
            Conflict: the transaction was closed meanwhile.
        """
        digest = hashlib.sha256()
        async for chunk in async_stream_zip(self._members(download), chunk_size=1 << 18, get_compressobj=_deflate):
            digest.update(chunk)
            self.summary.size += len(chunk)
            yield chunk
        self.summary.sha256 = digest.hexdigest()

    async def _members(self, download: int) -> AsyncIterator[Member]:
        moment = now().astimezone(self._zone).replace(tzinfo=None)
        part: list[bytes] = []
        lost: list[bytes] = []
        number = 0
        # The manifest is written in parts too: 100,000 entries of it would be 15 MiB.
        manifest: list[bytes] = []
        async for page in self._rows.files(self._tx):
            exported: list[Exported] = []
            for item, revision in page:
                included = item.pointer.store == "db" or self._include
                if included and self._skip:
                    reason = await self._unreadable(item)
                    if reason is not None:
                        self.summary.unreadable += 1
                        about = {**line(item, revision, self._zone, included=False), "reason": reason}
                        lost.append(json.dumps(about, ensure_ascii=False).encode() + b"\n")
                        continue
                exported.append((item.uuid, revision))
                about = line(item, revision, self._zone, included=included)
                part.append(json.dumps(about, ensure_ascii=False).encode() + b"\n")
                self.summary.files += 1
                self.summary.bytes += item.size
                if included:
                    self.summary.blobs += 1
                    manifest.append(f"{item.checksum}  blobs/{item.uuid}\n".encode())
                    yield (
                        f"blobs/{item.uuid}",
                        moment,
                        _MODE,
                        ZIP_AUTO(item.size, level=0),
                        self._blob(item),
                    )
            await self._rows.exported(download, exported)
            if len(part) >= ROWS_PER_PART or len(lost) >= ROWS_PER_PART:
                number += 1
                for member in self._parts(number, part, lost, manifest, moment):
                    yield member
                part, lost, manifest = [], [], []
        number += 1
        about = {
            "format": "filator-archive-1",
            "transaction": self._rows.describe(self._tx),
            "files": self.summary.files,
            "bytes": self.summary.bytes,
            "blobs": self.summary.blobs,
            "unreadable": self.summary.unreadable,
            "objects": "include" if self._include else "keep",
        }
        end = self._part("archive.json", [json.dumps(about, ensure_ascii=False, indent=1).encode()], manifest, moment)
        for member in self._parts(number, part, lost, manifest, moment, end):
            yield member

    def _parts(
        self,
        number: int,
        part: list[bytes],
        lost: list[bytes],
        manifest: list[bytes],
        moment: datetime,
        *more: Member,
    ) -> Iterator[Member]:
        yield self._part(f"attachments/{number:06}.jsonl", part, manifest, moment)
        if lost:
            yield self._part(f"unreadable/{number:06}.jsonl", lost, manifest, moment)
        yield from more
        yield self._part(f"manifest/{number:06}.sha256", manifest, None, moment)

    def _part(self, name: str, lines: list[bytes], manifest: list[bytes] | None, moment: datetime) -> Member:
        data = b"".join(lines)
        if manifest is not None:
            manifest.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode())
        return name, moment, _MODE, ZIP_64, _bytes(data)

    async def _unreadable(self, item: Attachment) -> str | None:
        """Read a file's bytes and say why they cannot go into a ZIP; None when they can."""
        try:
            async for _block in self._blob(item):
                pass
        except BrokenOff as exc:
            return str(exc)
        return None

    async def _blob(self, item: Attachment) -> AsyncIterator[bytes]:
        digest = hashlib.sha256()
        size = 0
        try:
            async for block in self._registry.get(item.pointer.store).read(item.pointer, 0, item.size):
                digest.update(block)
                size += len(block)
                yield block
        except StorageError as exc:
            raise BrokenOff(f"archive {self._tx.uuid}: {item.uuid}: {exc}") from exc
        if size != item.size or digest.hexdigest() != item.checksum:
            raise BrokenOff(f"archive {self._tx.uuid}: {item.uuid}: the bytes are not those of the checksum")
