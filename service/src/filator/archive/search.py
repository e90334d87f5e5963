"""Finding a file in downloaded archives without unpacking them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def rows(archive: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of an archive, one line of `attachments/*.jsonl` at a time.

    Raises:
        ValueError: the file is no archive of filator.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            names = [name for name in file.namelist() if name.startswith("attachments/")]
            if "archive.json" not in file.namelist():
                raise ValueError(f"{archive} is no archive of filator: archive.json is missing")
            for name in names:
                with file.open(name) as lines:
                    for line in lines:
                        yield json.loads(line)
    except (zipfile.BadZipFile, OSError) as exc:
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
    digest = hashlib.sha256()
    partial = target.with_name(f"{target.name}.part")
    with zipfile.ZipFile(archive) as file, file.open(row["entry"]) as source, partial.open("wb") as sink:
        while block := source.read(1 << 20):
            digest.update(block)
            sink.write(block)
    if digest.hexdigest() != row["checksum"]:
        partial.unlink()
        raise ValueError(f"{archive}: the bytes of {row['uuid']} are damaged")
    partial.replace(target)
