"""The versions of one file: what the store holds of it, and which of them a restore means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from filator.database import Rows
from filator.errors import StorageError
from filator.models import Attachment, Pointer
from filator.replaced import Kept, history, same_key
from filator.storages.base import Listed
from filator.storages.registry import Registry
from filator.storages.s3 import S3Store
from filator.times import now

State = Literal["current", "replaced", "going", "unrecorded"]


class NoVersions(Exception):
    """The versions that were asked for are not to be had; the text is one line for people."""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One version of a file that is in the store.

    Attributes:
        pointer: where it is.
        written: the store's time.
        size: bytes.
        state: `current`: the row points to it; `replaced`: it was the file once; `going`: queued for removal;
            `unrecorded`: no row ever pointed to it, as far as is known: an upload that was not acknowledged, a copy
            made in the store itself, or a version that a restored database no longer remembers.
        generation: of the row, for the current and replaced ones, else -1.
        checksum: sha256 in hex, None when unknown.
        filename: as it was then, None when unknown.
        mime_type: likewise.
    """

    pointer: Pointer
    written: datetime
    size: int
    state: State
    generation: int = -1
    checksum: str | None = None
    filename: str | None = None
    mime_type: str | None = None

    @property
    def version_id(self) -> str:
        """The store's name for it."""
        return self.pointer.version_id or "null"


def merge(
    item: Attachment, kept: Sequence[Kept], listed: Sequence[Listed], going: frozenset[Pointer]
) -> list[FileVersion]:
    """Put what the rows know to what the store lists; versions that are only in the rows were pruned and fall out.

    Args:
        item: the file's row.
        kept: its replaced versions.
        listed: all versions of the keys that `item` and `kept` name, of each key the newest first.
        going: versions queued for removal.

    Returns:
        The current version's key first, of each key the newest first.
    """
    known = {it.pointer: it for it in kept}
    found = []
    for it in listed:
        if it.pointer == item.pointer:
            more = ("current", item.generation, item.checksum, item.filename, item.mime_type)
        elif it.pointer in known:
            old = known[it.pointer]
            more = ("replaced", old.generation, old.checksum, old.filename, old.mime_type)
        else:
            more = ("going" if it.pointer in going else "unrecorded", -1, None, None, None)  # type: ignore[assignment]
        found.append(FileVersion(it.pointer, it.modified, it.size, *more))  # type: ignore[arg-type]
    return sorted(found, key=lambda it: not same_key(it.pointer, item.pointer))


async def gather(rows: Rows, registry: Registry, uuid: str) -> tuple[Attachment, list[FileVersion]]:
    """Read the versions of a file.

    Args:
        rows: the table.
        registry: the storages.
        uuid: 64 hex characters.

    Returns:
        The row, and the versions as `merge` orders them.

    Raises:
        NoVersions: there is no such file, or its storage keeps no versions.
        StorageError: the store cannot be asked.
        Unavailable: the database cannot be asked.
    """
    async with rows.connection() as connection:
        item = await rows.find(uuid)
        if item is None or item.expired(now()):
            raise NoVersions(f"there is no file {uuid}")
        kept = await history(connection, uuid)
        keys = list({(it.store, it.bucket, it.identifier): it for it in (item.pointer, *(k.pointer for k in kept))})
        gone = await connection.fetch(
            "SELECT store, bucket, identifier, version_id FROM blob_gc WHERE identifier = ANY($1)",
            [identifier for _store, _bucket, identifier in keys],
        )
    if item.pointer.version_id is None and not kept:
        try:
            kind = registry.get(item.pointer.store).kind
        except StorageError:
            kind = "not configured"
        why = "its bucket keeps none" if kind == "s3" else f"type {kind} keeps none"
        raise NoVersions(f"the file {uuid} lies in storage {item.pointer.store} without versions: {why}")
    listed: list[Listed] = []
    for name, bucket, identifier in keys:
        try:
            store = registry.get(name)
        except StorageError:
            if name == item.pointer.store:
                raise
            continue
        if isinstance(store, S3Store) and bucket is not None:
            listed += [it for it in await store.versions(bucket, identifier) if it.pointer.identifier == identifier]
    going = frozenset(Pointer(row["store"], row["bucket"], row["identifier"], row["version_id"]) for row in gone)
    return item, merge(item, kept, listed, going)


def choose(item: Attachment, versions: Sequence[FileVersion], wanted: str | None) -> tuple[FileVersion, bool]:
    """Find the version that a restore means.

    Args:
        item: the file's row.
        versions: from `gather`.
        wanted: a version id; None for the one before the current one. When the current bytes came back from further
            down already (a restore ran before), None means those: running it twice must not undo it.

    Returns:
        The version, and whether its bytes are the file's bytes already.

    Raises:
        NoVersions: there is none such.
    """
    if wanted is not None:
        found = next((it for it in versions if it.version_id == wanted), None)
        if found is None:
            raise NoVersions(f"the file has no version {wanted[:80]!r}; `filator versions {item.uuid}` lists them")
        return found, found.state == "current" or (found.checksum, found.size) == (item.checksum, item.size)
    replaced = sorted((it for it in versions if it.state == "replaced"), key=lambda it: -it.generation)
    for it in replaced[1:]:
        if (it.checksum, it.size) == (item.checksum, item.size):
            return it, True
    if not replaced:
        # A database that was restored may have lost the history that the store still has.
        place = next((at for at, it in enumerate(versions) if it.state == "current"), len(versions))
        replaced = [it for it in versions[place + 1 :] if it.state == "unrecorded"]
    if not replaced:
        raise NoVersions("the file has no version before the current one; it was never replaced, or they were pruned")
    return replaced[0], (replaced[0].checksum, replaced[0].size) == (item.checksum, item.size)


def describe(it: FileVersion, iso: Any) -> dict[str, object]:
    """Return a version for `--json`; `iso` turns a time into text."""
    return {
        "version_id": it.version_id,
        "state": it.state,
        "written": iso(it.written),
        "size": it.size,
        "checksum": it.checksum,
        "filename": it.filename,
        "store": it.pointer.store,
        "bucket": it.pointer.bucket,
        "identifier_in_store": it.pointer.identifier,
    }
