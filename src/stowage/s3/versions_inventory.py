"""What keeps the room: old versions summed up by prefix and by age, from a stream of histories."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from stowage.s3.prune_plan import newest_first
from stowage.s3.versions import History

DAY = 86400
# Upper bounds in seconds since a version was replaced; the last column has none.
AGES = {"<1d": DAY, "<1w": 7 * DAY, "<30d": 30 * DAY, "<90d": 90 * DAY, "<1y": 365 * DAY, ">=1y": None}


@dataclass
class Room:
    """What lies under one prefix.

    Args:
        prefix: The prefix; empty for the sum.
        keys: Keys, deleted ones included.
        live_keys: Keys that have a current object.
        live_bytes: Bytes of current objects.
        old_versions: Noncurrent versions that hold bytes.
        old_bytes: Bytes of those.
        markers: Delete markers, current or not.
        old_bytes_by_age: Bytes by the time since they were replaced.
    """

    prefix: str
    keys: int = 0
    live_keys: int = 0
    live_bytes: int = 0
    old_versions: int = 0
    old_bytes: int = 0
    markers: int = 0
    old_bytes_by_age: dict[str, int] = field(default_factory=lambda: dict.fromkeys(AGES, 0))


class Inventory:
    """Sums up histories; its size is that of the number of prefixes, not of keys.

    Args:
        depth: Parts of a key, cut at ``/``, that make its prefix; 0 for the sum only.
        now: The clock, with time zone.
    """

    def __init__(self, depth: int, now: datetime) -> None:
        self.total = Room("")
        self._depth = depth
        self._now = now
        self._rooms: dict[str, Room] = {}

    def add(self, history: History) -> None:
        """Count one key."""
        prefix = prefix_of(history[0].key, self._depth)
        room = self._rooms.setdefault(prefix, Room(prefix))
        rows = newest_first(history)
        for one in (room, self.total):
            one.keys += 1
        replaced = self._now
        for row in rows:
            age = (self._now - replaced).total_seconds()
            column = next(name for name, limit in AGES.items() if limit is None or age < limit)
            for one in (room, self.total):
                if row.is_marker:
                    one.markers += 1
                elif row.is_latest:
                    one.live_keys += 1
                    one.live_bytes += row.size
                else:
                    one.old_versions += 1
                    one.old_bytes += row.size
                    one.old_bytes_by_age[column] += row.size
            replaced = row.last_modified

    def rooms(self) -> list[Room]:
        """By prefix, what holds most old bytes first."""
        return sorted(self._rooms.values(), key=lambda room: (-room.old_bytes, -room.old_versions, room.prefix))


def prefix_of(key: str, depth: int) -> str:
    """The first ``depth`` folders of a key with their slash: ``a/b/`` of ``a/b/c/d`` for 2.

    Args:
        key: Object name.
        depth: Number of folders, 0 or more.
    """
    parts = key.split("/")[:-1][:depth]
    return "".join(f"{part}/" for part in parts)
