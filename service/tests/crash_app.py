"""The service with a hand on the trigger: SIGKILL at the crash point that CRASH_AT names (docs/durability.md)."""

from __future__ import annotations

import os
import signal

from filator import crashpoints

_AT = os.environ.pop("CRASH_AT", "")


def _reach(point: str) -> None:
    if point == _AT:
        os.kill(os.getpid(), signal.SIGKILL)


# Before the modules that import the name.
crashpoints.reach = _reach

from filator.app import create_app  # noqa: E402
from filator.cli import main  # noqa: E402

__all__ = ["create_app"]

if __name__ == "__main__":
    main()
