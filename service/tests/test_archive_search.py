"""What `filator archive search --extract` takes out of archives that hold a file more than once. Needs no server."""

from __future__ import annotations

import hashlib
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from filator.archive.commands import archive as command

UUID = "ab" * 32


def row(content: bytes, entry: str = f"blobs/{UUID}") -> dict[str, Any]:
    return {
        "uuid": UUID,
        "checksum": hashlib.sha256(content).hexdigest(),
        "created_at": "2026-01-01T00:00:00.000+00:00",
        "filename": "report.txt",
        "metadata": {},
        "size": len(content),
        "entry": entry,
    }


def write(path: Path, *contents: bytes) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as file:
        warnings.simplefilter("ignore")  # zipfile warns of names that stand twice
        file.writestr("archive.json", "{}")
        for content in contents:
            file.writestr(f"blobs/{UUID}", content)
        file.writestr("attachments/0.jsonl", "".join(json.dumps(row(content)) + "\n" for content in contents))
    return path


def extracted(folder: Path, *archives: Path) -> tuple[int, dict[str, bytes]]:
    done = CliRunner().invoke(command, ["search", *map(str, archives), "--extract", str(folder)])
    return done.exit_code, {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_two_states_of_one_file_in_two_archives_are_both_kept(tmp_path: Path) -> None:
    first, second = write(tmp_path / "1.zip", b"first"), write(tmp_path / "2.zip", b"second")
    mark = hashlib.sha256(b"second").hexdigest()[:8]
    both = {f"{UUID[:12]}-report.txt": b"first", f"{UUID[:12]}-{mark}-report.txt": b"second"}
    assert extracted(tmp_path / "out", first, second) == (0, both)
    # Again, and nothing is written under a third name.
    assert extracted(tmp_path / "out", first, second) == (0, both)


def test_a_file_that_stands_twice_in_one_archive_is_no_damage(tmp_path: Path) -> None:
    code, files = extracted(tmp_path / "out", write(tmp_path / "1.zip", b"before", b"behind"))
    assert code == 0
    assert sorted(files.values()) == [b"before", b"behind"]


@pytest.mark.parametrize("content", [b"", b"x" * 3_000_000])
def test_one_file_is_extracted_as_before(tmp_path: Path, content: bytes) -> None:
    code, files = extracted(tmp_path / "out", write(tmp_path / "1.zip", content))
    assert (code, files) == (0, {f"{UUID[:12]}-report.txt": content})
