"""Which bytes a Range header asks for; no server needed."""

from __future__ import annotations

import random

import pytest

from filator.ranges import parse_range

SIZE = 100


@pytest.mark.parametrize(
    ("header", "ranges"),
    [
        ("bytes=" + ",".join(["0-"] * 16), [(0, 100)]),
        ("bytes=0-9,5-14", [(0, 15)]),
        ("bytes=50-59,0-9,55-69", [(0, 10), (50, 70)]),
        ("bytes=-10,95-", [(90, 100)]),
        ("bytes=20-29,0-9", [(20, 30), (0, 10)]),
        ("bytes=0-9,10-19", [(0, 10), (10, 20)]),
        ("bytes=" + ",".join(["0-0"] * 17), None),
    ],
)
def test_ranges_that_overlap_are_joined(header: str, ranges: list[tuple[int, int]] | None) -> None:
    assert parse_range(header, SIZE) == ranges


def test_no_header_makes_a_request_cost_more_than_the_file_and_none_loses_a_byte() -> None:
    dice = random.Random(7)
    for _ in range(2000):
        asked = [sorted((dice.randrange(SIZE), dice.randrange(SIZE))) for _ in range(dice.randint(1, 16))]
        ranges = parse_range("bytes=" + ",".join(f"{first}-{last}" for first, last in asked), SIZE)
        assert ranges is not None
        assert sum(end - start for start, end in ranges) <= SIZE
        wanted = {byte for first, last in asked for byte in range(first, last + 1)}
        assert {byte for start, end in ranges for byte in range(start, end)} == wanted
