"""What the file service's database says about the versions of its buckets: the file that ``filator rows`` writes.

A listing of the store alone can not tell a version that was a file once from an upload that died before its row was
written. Ranked together, the dead upload would be kept as the newest old version and the real predecessor would go.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from stowage import errors
from stowage.s3.prune_plan import Decision, PruneRules, Why, newest_first, plan_key
from stowage.s3.versions_xml import Version

FORMAT = 1
MOST_AGE = timedelta(hours=24)
CURRENT = "current"
REPLACED = "replaced"


@dataclass
class ServiceRows:
    """Which versions of a bucket the rows of the file service name, and as what.

    Args:
        bucket: Bucket name.
        taken_at: When the rows were read.
        states: By key, by version id: ``current``, ``replaced``, or another word for what the service still needs.
    """

    bucket: str
    taken_at: datetime
    states: dict[str, dict[str, str]] = field(default_factory=dict)

    def decide(self, history: list[Version], rules: PruneRules, now: datetime) -> list[Decision]:
        """Decide about every version of one key, as ``plan_key`` does, but by what the rows say.

        Current is what a row points to. Only versions that a row names as replaced are ranked and may go: one that no
        row names is an upload under way or a dead one, and the service's own sweep decides about it.

        Args:
            history: All rows of the listing of one key, in any order.
            rules: What may go.
            now: The clock, with time zone.

        Returns:
            One decision per row, newest first.
        """
        states = self.states.get(history[0].key, {})
        named = [
            row._replace(is_latest=states[row.version_id] == CURRENT)
            for row in history
            if not row.is_marker and states.get(row.version_id) in (CURRENT, REPLACED)
        ]
        decided = {decision.version.version_id: decision for decision in plan_key(named, rules, now)} if named else {}
        answer = []
        for row in newest_first(history):
            made = decided.get(row.version_id)
            if made is None:
                state = states.get(row.version_id)
                reason = (
                    f"kept: {state} in the file service"
                    if state
                    else "kept: no row of the file service names it; filator sweep orphans decides about it"
                )
                age = (now - row.last_modified).total_seconds()
                made = Decision(row, Why.NOT_REPLACED, reason, age, len(history))
            answer.append(made._replace(version=row, siblings=len(history)))
        return answer


def read_service_rows(path: Path, bucket: str, now: datetime) -> ServiceRows:
    """Read the rows of one bucket out of the file that ``filator rows`` wrote.

    Args:
        path: The file.
        bucket: Only rows of this bucket are taken.
        now: The clock, with time zone.

    Raises:
        BadInputError: It can not be read, is no such file, was cut short, is older than a day, or names no version of
            the bucket.
    """
    again = f"make a new one on the service's host: filator rows --out {path}"
    try:
        with path.open(encoding="utf-8") as file:
            head: dict[str, Any] = json.loads(next(file))
            if head["filator_rows"] != FORMAT:
                raise errors.BadInputError(f"{path} has format {head['filator_rows']}, known is {FORMAT}", again)
            rows = ServiceRows(bucket, datetime.fromisoformat(head["taken_at"]))
            count, whole = 0, False
            for text in file:
                row = json.loads(text)
                if "rows" in row:
                    whole = row["rows"] == count
                    continue
                count += 1
                if row["bucket"] == bucket:
                    rows.states.setdefault(row["key"], {})[row["version_id"]] = row["state"]
    except OSError as error:
        raise errors.BadInputError(f"service rows {path} can not be read: {error.strerror}", again) from None
    except (ValueError, KeyError, TypeError, StopIteration):
        raise errors.BadInputError(f"{path} is not what filator rows writes", again) from None
    if not whole:
        raise errors.BadInputError(f"{path} was cut short: its last line does not count what stands above it", again)
    if now - rows.taken_at > MOST_AGE:
        raise errors.BadInputError(f"{path} is of {rows.taken_at.isoformat()}, more than a day old", again)
    if not rows.states:
        raise errors.BadInputError(f"{path} names no version of bucket {bucket}: is it of the service of this bucket?")
    return rows
