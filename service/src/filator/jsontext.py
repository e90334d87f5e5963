"""JSON as it leaves the service."""

from __future__ import annotations

import json

import orjson


def dumps(value: object) -> bytes:
    """Write compact UTF-8; what no UTF-8 can hold (half a surrogate pair) becomes a question mark."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
