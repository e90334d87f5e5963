"""Replaced versions: which stay in the store, and how they leave it with their file.

The decisions are pure functions; why they are right stands in docs/durability.md ("Replaced versions").
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from filator.models import Attachment, Pointer

_NAMES = "store, bucket, identifier, version_id"


@dataclass(frozen=True, slots=True)
class Kept:
    """A replaced version that stays.

    Attributes:
        generation: of the file's row when this version was replaced.
        pointer: where its bytes are.
        checksum: sha256 of its bytes, hex.
        size: bytes.
        mime_type: as the file had it then.
        filename: as the file had it then.
    """

    generation: int
    pointer: Pointer
    checksum: str = ""
    size: int = 0
    mime_type: str = ""
    filename: str = ""


@dataclass(frozen=True, slots=True)
class Retired:
    """What becomes of older versions when a row is switched.

    Attributes:
        stays: the version that the row had stays in the store.
        gone: versions to remove; that of the row is among them unless it stays.
    """

    stays: bool
    gone: list[Pointer]


def same_key(one: Pointer, other: Pointer) -> bool:
    """Say whether two pointers are versions of one key."""
    return (one.store, one.bucket, one.identifier) == (other.store, other.bucket, other.identifier)


def retire(
    old: Attachment, new: Pointer, read: Attachment | None, kept: Iterable[Kept], *, keep: bool, expired: bool
) -> Retired:
    """Decide which older versions stay when a row's pointer is switched.

    The row must point to the newest version of its key, because a prune takes the others. So of the same key only
    those versions stay that were committed before the new one was written.

    Args:
        old: the row that is replaced.
        new: where the new bytes are.
        read: the row as the request found it before it wrote its bytes; None when it found none.
        kept: the replaced versions of the file so far; may be left out when `read` has the old row's pointer and the
            row has not expired.
        keep: the setting keep_replaced.
        expired: the old row had expired: its file is gone, and its history with it.
    """
    if expired:
        return Retired(False, [old.pointer, *(it.pointer for it in kept)])
    # A uuid that was deleted and created again begins a new line; generations of two lines cannot be compared.
    line = read if read is not None and read.created_at == old.created_at else None
    alone = line is not None and line.pointer == old.pointer
    stays = keep and old.pointer.version_id is not None and (alone or not same_key(old.pointer, new))
    gone = [] if stays else [old.pointer]
    if not alone:
        # Others committed since the request looked: what they committed may lie above the new version.
        gone += [
            it.pointer
            for it in kept
            if same_key(it.pointer, new)
            and (line is None or (it.generation > line.generation and it.pointer != line.pointer))
        ]
    return Retired(stays, gone)


def strays(
    listed: Sequence[Pointer], live: Pointer | None, named: Collection[Pointer], *, keep_replaced: bool
) -> list[Pointer]:
    """Find the versions of one key that nobody wants.

    Above the row's version lie uploads that died before their commit, and copies that somebody made in the store
    behind the service's back: they must go, or else a prune takes the row's version for an old one. What lies below
    it was replaced, and leaves with a prune or with its file.

    Args:
        listed: all versions of the key, newest first.
        live: the version that a row names; None when no row names this key.
        named: versions that something else names: a file's history, an archive, the removal queue.
        keep_replaced: the setting.
    """
    candidates = listed
    if live is not None and keep_replaced:
        # A listing that does not show the row's version says nothing about the others.
        candidates = listed[: listed.index(live)] if live in listed else ()
    return [it for it in candidates if it != live and it not in named]


def _pointer(row: Any) -> Pointer:
    return Pointer(row["store"], row["bucket"], row["identifier"], row["version_id"])


async def history(connection: Any, uuid: str) -> list[Kept]:
    """Read the replaced versions of a file, the latest first."""
    rows = await connection.fetch("SELECT * FROM replaced_versions WHERE uuid = $1 ORDER BY generation DESC", uuid)
    return [
        Kept(row["generation"], _pointer(row), row["checksum"], row["size"], row["mime_type"], row["filename"])
        for row in rows
    ]


async def remember(connection: Any, old: Attachment) -> None:
    """Note that a version stays although the row moves on."""
    where = old.pointer
    await connection.execute(
        f"INSERT INTO replaced_versions (uuid, generation, {_NAMES}, checksum, size, mime_type, filename) "  # noqa: S608
        "VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)",
        old.uuid,
        old.generation,
        where.store,
        where.bucket,
        where.identifier,
        where.version_id,
        old.checksum,
        old.size,
        old.mime_type,
        old.filename,
    )


async def forget(connection: Any, uuids: Sequence[str]) -> list[Pointer]:
    """Take the history of files away, whose rows go in the same transaction.

    Returns:
        The versions, which the caller hands to the removal queue or to an archive.
    """
    rows = await connection.fetch(
        f"DELETE FROM replaced_versions WHERE uuid = ANY($1) RETURNING {_NAMES}",  # noqa: S608
        list(uuids),
    )
    return [_pointer(row) for row in rows]


async def drop(connection: Any, uuid: str, pointers: Sequence[Pointer]) -> None:
    """Strike versions out of a file's history."""
    await connection.execute(
        "DELETE FROM replaced_versions WHERE uuid = $1 AND version_id = ANY($2)",
        uuid,
        [it.version_id for it in pointers if it.version_id is not None],
    )
