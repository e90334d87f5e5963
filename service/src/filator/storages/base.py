"""The interface of a storage that keeps bytes outside PostgreSQL, and what all storages share."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

from filator.errors import StorageError
from filator.models import Pointer

MIB = 1 << 20
# A storage that failed is asked last for this long, so that not every upload waits for its time-outs.
DOWN_SECONDS = 5.0


@dataclass(slots=True)
class Health:
    """What is known about a storage.

    Attributes:
        reason: why it cannot be used; None when it can.
        failed_at: monotonic seconds of the last failure.
    """

    reason: str | None = None
    failed_at: float = float("-inf")

    def fail(self, reason: str) -> None:
        """Note a failure."""
        self.reason = reason
        self.failed_at = time.monotonic()

    def recover(self) -> None:
        """Note that an operation worked."""
        if self.reason is not None:
            self.reason = None
            self.failed_at = float("-inf")

    @property
    def resting(self) -> bool:
        """Whether the storage failed so lately that others are tried first."""
        return time.monotonic() - self.failed_at < DOWN_SECONDS


@dataclass(frozen=True, slots=True)
class Listed:
    """One object version of a listing, with the time the store gave it and its size in bytes."""

    pointer: Pointer
    modified: datetime
    size: int


class Store(ABC):
    """A storage by name.

    Attributes:
        kind: the `type` of the settings.
        inline_bytes: files up to this size are held in memory and stored in one request.
        stream_cost: memory of one larger upload, bytes; see `stream_bytes`.
        read_block: about how many bytes read() gives at a time when it is free to choose.
        read_cost: memory of one such read() besides its blocks.
        late_prefix: what happens to a store_prefix that comes behind a streamed file: `unused` where keys have none,
            `copied` (the object moves within the storage), else `refused`.
    """

    kind: ClassVar[str]
    inline_bytes: ClassVar[int]
    stream_cost: ClassVar[int]
    read_block: ClassVar[int] = MIB
    read_cost: ClassVar[int] = 0
    late_prefix: Literal["unused", "copied", "refused"] = "refused"

    def __init__(self, name: str, *, readonly: bool) -> None:
        self.name = name
        self.readonly = readonly
        self.health = Health()

    async def start(self) -> None:  # noqa: B027 - most storages need no preparation
        """Prepare the storage once; failures are logged and seen in the health, never raised."""

    @abstractmethod
    async def check(self) -> str | None:
        """Ask the storage whether it works.

        Returns:
            None when it does, else the reason, one line.
        """

    @abstractmethod
    async def place(self, uuid: str, created_at: datetime, prefix: str | None, *, replacing: bool) -> Pointer:
        """Choose where the bytes of a file go; no version yet.

        Args:
            uuid: 64 hex characters.
            created_at: date and time of the key, docs/contract.md 1.
            prefix: the request's store_prefix.
            replacing: the uuid may already have bytes, which must not be touched.

        Raises:
            StorageError: the place cannot be prepared.
        """

    def stream_bytes(self, length: int | None) -> int:
        """Return the memory of one upload that is larger than inline_bytes, charged to the budget.

        Args:
            length: of the upload, None when it is not known.
        """
        return self.stream_cost

    @abstractmethod
    def read(self, pointer: Pointer, start: int, end: int, *, block: int | None = None) -> AsyncIterator[bytes]:
        """Stream the bytes [start, end).

        Args:
            pointer: where they are.
            start: first byte.
            end: the byte behind the last one.
            block: how many bytes come at a time and are in memory at all, the last time fewer; None: what is quickest.

        Raises:
            StorageMissing: they are not there.
            StorageError: the storage failed.
        """

    @abstractmethod
    async def delete(self, pointers: Sequence[Pointer]) -> dict[Pointer, str]:
        """Remove bytes for good; bytes that are already gone count as removed.

        Returns:
            What could not be removed, with the reason.
        """

    def presign(self, pointer: Pointer, *, authority: str, seconds: int, filename: str, mime_type: str) -> str | None:
        """Return an address that fetches the bytes from outside, or None when the storage has none.

        `authority` is the Host that was asked, or the URL of the endpoint itself where the edge has named it.
        """
        return None

    async def close(self) -> None:  # noqa: B027
        """Let go of connections."""


class ExternalStore(Store):
    """A storage whose bytes are written before the row's transaction begins."""

    @abstractmethod
    async def put(self, pointer: Pointer, data: bytes) -> Pointer:
        """Store a whole file in one request.

        Returns:
            The pointer with the version that was written.

        Raises:
            StorageError: nothing was acknowledged.
        """

    @abstractmethod
    async def put_stream(self, pointer: Pointer, source: AsyncIterator[bytes], size: int | None) -> Pointer:
        """Store a file as it comes. An exception of `source` leaves nothing visible and is raised again.

        Args:
            pointer: from place().
            source: blocks of about one MiB.
            size: upper bound of the bytes, when known.

        Raises:
            StorageError: nothing was acknowledged.
        """

    async def copy(self, source: Pointer, target: Pointer, size: int) -> Pointer:
        """Copy bytes within the storage; only where late_prefix is `copied`.

        Raises:
            StorageError: the copy is not there.
        """
        raise StorageError(f"storage {self.name} cannot copy")


def key_path(uuid: str, created: datetime) -> str:
    """Return `<hh-mm>/<uuid>`, the part of the key behind the date; `created` is in the service's zone."""
    return f"{created.hour:02}-{created.minute:02}/{uuid}"


def dated(prefix: str, created: datetime) -> str:
    """Return `<prefix>-<YYYY-MM-DD>`, without the dash when there is no prefix."""
    day = created.date().isoformat()
    return f"{prefix}-{day}" if prefix else day
