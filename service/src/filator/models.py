"""The description of a file, as stored and as answered."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import orjson

from filator.times import iso


class Pointer(NamedTuple):
    """Where the bytes of a file are.

    Attributes:
        store: name of the storage.
        bucket: S3 bucket; None for the other types.
        identifier: key in the storage.
        version_id: S3 version; None where the storage keeps none.
    """

    store: str
    bucket: str | None
    identifier: str
    version_id: str | None


class Attachment(NamedTuple):
    """One row of `attachments`.

    A tuple, because a frozen dataclass takes four times as long to make and three times to copy with a change.
    """

    uuid: str
    checksum: str
    created_at: datetime
    updated_at: datetime
    tags: str
    metadata: str
    delete_at: datetime | None
    mime_type: str
    filename: str
    pointer: Pointer
    size: int
    generation: int = 1
    crc32: int | None = None
    owner: str | None = None

    def expired(self, moment: datetime) -> bool:
        """Say whether delete_at has passed: the file is not found from then on."""
        return self.delete_at is not None and self.delete_at <= moment

    def describe(self, zone: ZoneInfo) -> dict[str, object]:
        """Return the description of docs/contract.md 2, fields in its order."""
        return {
            "uuid": self.uuid,
            "checksum": self.checksum,
            "created_at": iso(self.created_at, zone),
            "tags": orjson.loads(self.tags),
            "metadata": orjson.loads(self.metadata),
            "delete_at": None if self.delete_at is None else iso(self.delete_at, zone),
            "mime_type": self.mime_type,
            "filename": self.filename,
            "store": self.pointer.store,
            "identifier_in_store": self.pointer.identifier,
        }
