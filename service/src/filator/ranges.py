"""HTTP ranges and conditions (RFC 9110, sections 13 and 14) over a file whose ETag is its sha256."""

from __future__ import annotations

import re
from urllib.parse import quote

MAX_RANGES = 16
_SPEC = re.compile(r"(\d{0,18})-(\d{0,18})")


class Unsatisfiable(Exception):
    """No range lies within the file: 416."""


def parse_range(header: str | None, size: int) -> list[tuple[int, int]] | None:
    """Read a Range header.

    Args:
        header: its value.
        size: bytes of the file.

    Returns:
        Half-open ranges [start, end), or None when the whole file is to be sent: no header, another unit, a malformed
        one, or more than 16 ranges (RFC 9110 14.2 lets a server ignore what looks like an attack). No byte is in two
        of them.

    Raises:
        Unsatisfiable: well formed, but nothing of it is in the file.
    """
    if header is None:
        return None
    unit, _, text = header.partition("=")
    specs = [part.strip() for part in text.split(",") if part.strip()]
    if unit.strip().lower() != "bytes" or not specs or len(specs) > MAX_RANGES:
        return None
    found: list[tuple[int, int]] = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None or spec == "-":
            return None
        first, last = match[1], match[2]
        if first == "":
            length = int(last)
            if length and size:
                found.append((max(0, size - length), size))
            continue
        start = int(first)
        if last != "" and int(last) < start:
            return None
        if start < size:
            found.append((start, size if last == "" else min(size, int(last) + 1)))
    if not found:
        raise Unsatisfiable
    return _apart(found)


def _apart(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that overlap: `0-,0-,0-` would make one request cost many files. Others keep their order."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined if len(joined) < len(ranges) else ranges


def _tags(header: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in header.split(",")]


def matches(header: str | None, etag: str) -> bool:
    """Say whether an If-None-Match or If-Match header names this ETag (with its quotes)."""
    return header is not None and (header.strip() == "*" or etag in _tags(header))


def disposition(filename: str) -> str:
    """Write `attachment; filename=...` after RFC 6266; the client's name never goes in raw."""
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in filename)
    text = f'attachment; filename="{plain}"'
    if plain != filename:
        text += f"; filename*=UTF-8''{quote(filename.encode('utf-8', 'replace'), safe='')}"
    return text
