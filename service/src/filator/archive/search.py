"""Finding a file in downloaded archives without unpacking them."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What zipfile raises for an archive with wrong bytes: in its directory, in an entry's head, in its data, or at its end.
_DAMAGED = (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError, RuntimeError, OSError)
_NEEDED = {"uuid", "checksum", "filename", "metadata", "size", "created_at", "entry"}
# File systems take 255 bytes; five go to `.part`.
_NAME_BYTES = 250


def file_name(uuid: str, filename: str, checksum: str = "") -> str:
    """Make the name under which a file is extracted: cut to what file systems take, its ending kept.

    Args:
        uuid: of the file; its beginning keeps files of one name apart.
        filename: as it was uploaded.
        checksum: sha256 of the bytes; its beginning keeps two states of one file apart.

    >>> file_name("0123456789abcdef", "a/b.txt")
    '0123456789ab-a_b.txt'
    """
    name = re.sub(r"[\x00-\x1f\x7f/\\]", "_", filename).encode("utf-8", "replace").decode()
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending.encode()) > 20:
        stem, dot, ending = name, "", ""
    begin = f"{uuid[:12]}-{checksum[:8]}-" if checksum else f"{uuid[:12]}-"
    room = _NAME_BYTES - len(f"{begin}{dot}{ending}".encode())
    stem = stem.encode()[:room].decode("utf-8", "ignore")
    return f"{begin}{stem}{dot}{ending}"


def place_for(folder: Path, row: dict[str, Any]) -> Path:
    """Say where the bytes of a row go: never over other bytes, such as those of the same file in another archive.

    Args:
        folder: to extract to.
        row: of an archive.
    """
    target = folder / file_name(row["uuid"], row["filename"])
    if target.exists() and _sha256(target) != row["checksum"]:
        return folder / file_name(row["uuid"], row["filename"], row["checksum"])
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _row(line: bytes, name: str) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict) or not row.keys() >= _NEEDED:
        raise ValueError(f"a row of {name} is none of filator's")
    return row


def rows(archive: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of an archive, one line of `attachments/*.jsonl` at a time.

    Raises:
        ValueError: the file is no archive of filator.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            file.getinfo("archive.json")
            for name in [name for name in file.namelist() if name.startswith("attachments/")]:
                with file.open(name) as lines:
                    for line in lines:
                        yield _row(line, name)
    except (*_DAMAGED, ValueError) as exc:
        raise ValueError(f"{archive} cannot be read: {exc}") from exc


def matches(
    row: dict[str, Any], *, uuid: str = "", filename: str = "", checksum: str = "", metadata: dict[str, str]
) -> bool:
    """Say whether a row fits all that is asked: beginnings of uuid and checksum, a part of the filename, metadata."""
    return (
        row["uuid"].startswith(uuid.lower())
        and row["checksum"].startswith(checksum.lower())
        and filename.lower() in row["filename"].lower()
        and all(row["metadata"].get(key.lower()) == value for key, value in metadata.items())
    )


def search(archives: list[Path], **wanted: Any) -> Iterator[dict[str, Any]]:
    """Yield matching rows of several archives, each with the archive it stands in.

    Args:
        archives: ZIP files.
        wanted: the arguments of matches().
    """
    for archive in archives:
        for row in rows(archive):
            if matches(row, **wanted):
                yield {"archive": str(archive), **row}


def extract(archive: Path, row: dict[str, Any], target: Path) -> None:
    """Write the bytes of one row, checked against its sha256.

    Raises:
        ValueError: the archive does not hold them, or they are damaged.
    """
    if row["entry"] is None:
        raise ValueError(
            f"{archive} holds no bytes of {row['uuid']}: they are in storage {row['store']}, bucket {row['bucket']}, "
            f"key {row['identifier_in_store']}, version {row['version_id']}"
        )
    partial = target.with_name(f"{target.name}.part")
    try:
        with zipfile.ZipFile(archive) as file:
            # A file that was deleted and written anew while its archive was made stands there twice under one name.
            entries = [entry for entry in file.infolist() if entry.filename == row["entry"]]
            if not entries:
                raise KeyError(f"there is no entry {row['entry']}")
            for entry in entries:
                if _write(file, entry, partial) == row["checksum"]:
                    partial.replace(target)
                    return
    except _DAMAGED as exc:
        partial.unlink(missing_ok=True)
        raise ValueError(f"{archive}: the bytes of {row['uuid']} cannot be extracted: {exc}") from exc
    partial.unlink()
    raise ValueError(f"{archive}: the bytes of {row['uuid']} are damaged")


def _write(file: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> str:
    digest = hashlib.sha256()
    with file.open(entry) as source, target.open("wb") as sink:
        while block := source.read(1 << 20):
            digest.update(block)
            sink.write(block)
    return digest.hexdigest()
