"""One upload between the request and a storage: its bytes, its digest, its row."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from isal import isal_zlib

from filator.conditions import ANYTHING, Condition
from filator.errors import StopUpload, Unprocessable
from filator.form import FormReader, check_metadata, header_metadata
from filator.mime import SNIFF_BYTES, detect
from filator.models import Attachment, Pointer
from filator.settings import Settings, valid_key_prefix
from filator.storages.blobs import ROW_BYTES
from filator.times import now, parse_delete_at

_SHA256 = re.compile(r"[0-9a-f]{64}")
# Blocks handed to the storage: crossing into obstore with 64 KiB pieces cost a third more CPU than joining them.
# The storage `db` wants exactly its rows.
BLOCK = ROW_BYTES


class Identical(StopUpload):
    """The bytes are those the row already has."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an upload says besides its body.

    Attributes:
        uuid: of a PUT; None for POST.
        headers: raw ASGI headers.
        query: parameters of the address.
        length: Content-Length, None when chunked.
        condition: what must hold of the file that is there.
        owner: name of the token, None where none was asked for.
    """

    uuid: str | None
    headers: list[tuple[bytes, bytes]]
    query: dict[str, str]
    length: int | None
    condition: Condition = ANYTHING
    owner: str | None = None


class Digest:
    """sha256, CRC-32, size and the first bytes of a file, while it passes."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self.crc32 = 0
        self.size = 0
        self.head = b""

    def feed(self, block: bytes | bytearray) -> None:
        """Take in the next bytes."""
        if self.size == 0:
            self.head = bytes(block[:SNIFF_BYTES])
        self._sha.update(block)
        self.crc32 = isal_zlib.crc32(block, self.crc32)
        self.size += len(block)

    @property
    def checksum(self) -> str:
        """The sha256 so far, in hex."""
        return self._sha.hexdigest()


class Upload:
    """One request on its way to a storage."""

    def __init__(self, settings: Settings, request: Request, form: FormReader, old: Attachment | None) -> None:
        self._settings = settings
        self._request = request
        self.condition = request.condition
        self.form = form
        self.old = old
        self.uuid = request.uuid or secrets.token_hex(32)
        self.started = now()
        self.created = self.started if old is None else old.created_at
        # A PUT may meet bytes under its uuid that readers still use, even when no row was found just now.
        self.replacing = request.uuid is not None
        self.length = request.length
        self.digest = Digest()
        self.prefix_used: str | None = None
        self.prefix_fixed = False

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
            Identical: a PUT of the bytes that are already there.
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
            raise Identical
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
            crc32=self.digest.crc32,
            owner=self._request.owner,
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


async def source(upload: Upload, head: bytearray, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield blocks of one MiB, the last one shorter.

    Raises:
        Unprocessable: before the last block: what raises there keeps the storage from completing the object.
        Identical: likewise.
    """
    for start in range(0, len(head) - BLOCK, BLOCK):
        block = bytes(memoryview(head)[start : start + BLOCK])
        upload.digest.feed(block)
        yield block
    done = max(0, -(-(len(head) - BLOCK) // BLOCK)) * BLOCK
    pending = [bytes(memoryview(head)[done:])]
    held = len(head) - done
    head.clear()
    async for chunk in chunks:
        # Only the chunk at the border is cut, so every byte is copied once: each copy costs 0.1 CPU-seconds a GiB.
        room = BLOCK - held
        if len(chunk) <= room:
            pending.append(chunk)
            held += len(chunk)
            continue
        pending.append(chunk[:room])
        block = b"".join(pending)
        upload.digest.feed(block)
        yield block
        pending = [chunk[room:]]
        held = len(chunk) - room
        while held > BLOCK:
            block = pending[0][:BLOCK]
            upload.digest.feed(block)
            yield block
            pending = [pending[0][BLOCK:]]
            held -= BLOCK
    last = b"".join(pending)
    upload.digest.feed(last)
    upload.finish()
    if upload.prefix_fixed and upload.prefix() != upload.prefix_used:
        raise Unprocessable("store_prefix came after a large file; send it before the file or in the address")
    yield last
