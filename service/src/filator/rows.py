"""`filator rows`: which versions in the store the rows name, for those who prune its buckets."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from filator.commandline import Failed
from filator.database import open_pool
from filator.settings import Settings
from filator.times import now

FORMAT = 1
# One statement sees one state of the database. What is named twice counts as what comes last.
_STATEMENT = """
    SELECT bucket, identifier, version_id, state FROM (
        SELECT bucket, identifier, version_id, 'replaced' AS state, 1 AS rank FROM replaced_versions
        UNION ALL
        SELECT bucket, identifier_in_store, coalesce(version_id, 'null'), 'current', 2 FROM attachments
            WHERE bucket IS NOT NULL
        UNION ALL
        SELECT bucket, identifier, coalesce(version_id, 'null'), 'archived', 3 FROM kept_objects
            WHERE bucket IS NOT NULL
    ) AS named ORDER BY bucket, identifier, rank
"""


def write_rows(settings: Settings, path: Path) -> int:
    """Write what the rows name: a head, a line for each version, and a tail that counts them.

    Args:
        settings: checked ones.
        path: of the file, which only its owner may read, and which appears when it is whole.

    Returns:
        How many versions it names.

    Raises:
        Failed: the file cannot be written.
        Unavailable: the database cannot be asked.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            count = asyncio.run(_write(settings, file))
        part.replace(path)
    except OSError as exc:
        raise Failed(f"{path} cannot be written: {exc.strerror}") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return count


async def _write(settings: Settings, file: TextIO) -> int:
    def line(content: dict[str, object]) -> None:
        file.write(json.dumps(content, ensure_ascii=False) + "\n")

    pool = await open_pool(settings.database_url.get_secret_value(), size=1, name="filator-rows")
    count = 0
    try:
        async with pool.acquire() as connection, connection.transaction(readonly=True):
            line({"filator_rows": FORMAT, "taken_at": now().isoformat()})
            async for bucket, key, version_id, state in connection.cursor(_STATEMENT):
                line({"bucket": bucket, "key": key, "version_id": version_id, "state": state})
                count += 1
        line({"rows": count})
    finally:
        with suppress(TimeoutError):
            await asyncio.wait_for(pool.close(), 5)
    return count
