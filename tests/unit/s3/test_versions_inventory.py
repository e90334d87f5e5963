"""What keeps the room."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stowage.s3.versions import Version
from stowage.s3.versions_inventory import Inventory, prefix_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def row(key: str, days: float, *, size: int = 10, latest: bool = False, marker: bool = False) -> Version:
    return Version(key, f"{days}", latest, marker, size, NOW - timedelta(days=days))


def test_old_bytes_are_counted_by_the_time_since_they_were_replaced() -> None:
    inventory = Inventory(1, NOW)
    inventory.add([row("a/x", 3, latest=True), row("a/x", 40, size=100), row("a/x", 500, size=1000)])
    inventory.add([row("b/y", 0.5, latest=True, marker=True, size=0), row("b/y", 2000, size=7)])
    by_prefix = {room.prefix: room for room in inventory.rooms()}
    assert {age: size for age, size in by_prefix["a/"].old_bytes_by_age.items() if size} == {"<1w": 100, "<90d": 1000}
    assert {age: size for age, size in by_prefix["b/"].old_bytes_by_age.items() if size} == {"<1d": 7}
    assert (by_prefix["b/"].live_keys, by_prefix["b/"].markers) == (0, 1)
    total = inventory.total
    assert (total.keys, total.live_keys, total.live_bytes, total.old_versions, total.old_bytes) == (2, 1, 10, 3, 1107)


def test_what_holds_most_comes_first() -> None:
    inventory = Inventory(1, NOW)
    for name, size in (("a", 1), ("b", 3), ("c", 2)):
        inventory.add([row(f"{name}/x", 1, latest=True), row(f"{name}/x", 2, size=size)])
    assert [room.prefix for room in inventory.rooms()] == ["b/", "c/", "a/"]


@pytest.mark.parametrize(
    ("key", "depth", "prefix"),
    [("a/b/c", 0, ""), ("a/b/c", 1, "a/"), ("a/b/c", 2, "a/b/"), ("a/b/c", 9, "a/b/"), ("file", 1, ""), ("/x", 1, "/")],
)
def test_a_prefix_is_made_of_folders(key: str, depth: int, prefix: str) -> None:
    assert prefix_of(key, depth) == prefix
