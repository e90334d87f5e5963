"""Listing by short prefixes against a model of a server that reads as many keys as a page may have rows."""

from __future__ import annotations

import string
from bisect import bisect_right
from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowage.errors import ServerFaultError
from stowage.s3.versions import to_histories
from stowage.s3.versions_narrow import NarrowListing
from stowage.s3.versions_xml import RUSTFS, Page, Version, product

WRITTEN = datetime(2026, 11, 23, tzinfo=UTC)


class Model:
    """Sorted keys with so many versions each; counts what it had to read."""

    def __init__(self, versions: dict[str, int]) -> None:
        self.versions = dict(sorted(versions.items()))
        self.names = list(self.versions)
        self.keys_read = 0
        self.requests = 0

    def rows(self, key: str) -> list[Version]:
        return [Version(key, f"{key}#{number}", number == 0, False, 1, WRITTEN) for number in range(self.versions[key])]

    def fetch(self, prefix: str, after: str, page_size: int) -> Page:
        start = bisect_right(self.names, after) if after else 0
        read = list(islice((name for name in self.names[start:] if name.startswith(prefix)), page_size + 1))
        self.keys_read += len(read)
        self.requests += 1
        rows = [row for name in read for row in self.rows(name)]
        shown = rows[:page_size]
        more = len(rows) > page_size
        return Page(shown, [], more, shown[-1].key if more else "", shown[-1].version_id if more else "", RUSTFS)

    def listed(self, prefix: str, page_size: int) -> list[tuple[str, int]]:
        listing = NarrowListing(fetch=self.fetch, list_one=self.rows, page_size=page_size)
        return [(rows[0].key, len(rows)) for rows in to_histories(listing.pages(prefix))]


keys = st.text(st.sampled_from("ab/0é\U0010ffff"), min_size=1, max_size=6)


@given(st.dictionaries(keys, st.integers(1, 9), max_size=40), st.sampled_from(["", "a", "ab", "é"]), st.integers(1, 12))
def test_every_key_comes_once_and_whole_and_in_order(versions: dict[str, int], prefix: str, page_size: int) -> None:
    wanted = [(key, count) for key, count in sorted(versions.items()) if key.startswith(prefix)]
    assert Model(versions).listed(prefix, page_size) == wanted


@pytest.mark.parametrize(
    "names",
    [
        [f"k/{number:05d}" for number in range(1000)],
        [f"{letter}{number * 7919 % 65536:04x}" for letter in string.ascii_lowercase[:4] for number in range(250)],
    ],
    ids=["numbers", "hashes"],
)
def test_keys_of_many_versions_are_read_a_few_times_not_twenty(names: list[str]) -> None:
    model = Model(dict.fromkeys(names, 20))
    assert len(model.listed("", 1000)) == 1000
    # Flat pages of 1,000 rows read up to 1,000 keys each, 10,500 in all.
    assert model.keys_read < 5000


def test_keys_of_one_version_cost_hardly_more_requests_than_flat_pages() -> None:
    model = Model({f"k/{number:05d}": 1 for number in range(20_000)})
    assert len(model.listed("", 1000)) == 20_000
    assert model.requests < 3 * 20


def test_a_page_that_says_more_follows_and_shows_nothing_ends_the_listing_with_an_error() -> None:
    def fetch(prefix: str, after: str, page_size: int) -> Page:
        row = Version("key", "1", True, False, 1, WRITTEN)
        return Page([row] if page_size == 1 and not after else [], [], True, "key", "", RUSTFS)

    with pytest.raises(ServerFaultError, match="does not advance"):
        list(NarrowListing(fetch=fetch, list_one=lambda key: [], page_size=10).pages(""))


def test_rustfs_is_known_by_how_it_numbers_its_answers_also_behind_a_proxy() -> None:
    assert product({"x-request-id": "7f73", "server": "nginx"}) == RUSTFS
    assert product({"x-request-id": "7f73", "x-amz-request-id": "18EA", "server": "SeaweedFS"}) == "SeaweedFS"
    assert product({}) == ""
