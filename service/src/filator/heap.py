"""Memory that was freed goes back to the system: the C library keeps what lies below anything still in use."""

from __future__ import annotations

import asyncio
import ctypes

_SOON = 1.0
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def trim_soon() -> None:
    """Give free memory back once the requests that just ended have let go of theirs; does nothing without glibc."""
    if _trim is not None:
        asyncio.get_running_loop().call_later(_SOON, _trim, 0)
