"""The service with a hand on the brake: a PUT that meets the file `hold` waits behind its object until `go` appears."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from filator.app import create_app
from filator.database import Rows

__all__ = ["create_app"]

_HOME = Path(os.environ["TMPDIR"])
_save = Rows.save


async def _waiting(self: Rows, *args: Any, **options: Any) -> Any:
    if (_HOME / "hold").exists():
        while not (_HOME / "go").exists():
            await asyncio.sleep(0.02)
    return await _save(self, *args, **options)


Rows.save = _waiting  # type: ignore[method-assign]
