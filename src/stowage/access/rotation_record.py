"""The record of a site's rotations: a small file on the controller with ids and moments, no secret."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from stowage import errors
from stowage.access.rotation_plan import Entry


def read_record(path: Path) -> dict[str, Entry]:
    """Return the rotations by user; none when there is no file.

    Raises:
        BadInputError: The file holds something else.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(user): Entry(
                str(one["new"]),
                str(one["old"]),
                datetime.fromisoformat(one["switched"]) if one["switched"] else None,
            )
            for user, one in told["users"].items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.BadInputError(
            f"{path} is no record of rotations: {type(error).__name__}",
            f"rm {path}: then old keys are removed without waiting for the links that they signed",
        ) from None


def write_record(path: Path, entries: Mapping[str, Entry]) -> None:
    """Replace the file in one step, readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    users = {
        user: {"new": one.new, "old": one.old, "switched": one.switched.isoformat() if one.switched else None}
        for user, one in sorted(entries.items())
    }
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".rotation-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"users": users}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
