"""Which version becomes current again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowage.errors import BadInputError, NotFoundError
from stowage.s3.restore_plan import Action, parse_moment, step_to_moment, step_to_version
from stowage.s3.versions import Version

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def rows(*kinds: str) -> list[Version]:
    """Newest first, one a day; ``d`` data, ``m`` delete marker. The first is current and a day old."""
    return [
        Version("k", f"v{n}", n == 0, kind == "m", 10, NOW - timedelta(days=n + 1), position=n)
        for n, kind in enumerate(kinds)
    ]


def at(days: float) -> datetime:
    return NOW - timedelta(days=days)


def test_the_version_that_was_current_then_comes_back() -> None:
    step = step_to_moment(rows("d", "d", "d"), at(2.5))
    assert (step.action, step.source.version_id if step.source else None) == (Action.RESTORE, "v2")


def test_a_key_that_has_not_changed_since_is_left_untouched() -> None:
    assert step_to_moment(rows("d", "d"), at(0.5)).action is Action.NOTHING


def test_a_deleted_file_comes_back_and_one_deleted_then_does_not() -> None:
    assert step_to_moment(rows("m", "d"), at(1.5)).action is Action.RESTORE
    assert step_to_moment(rows("m", "m", "d"), at(1.5)).action is Action.NOTHING


def test_a_key_that_did_not_exist_then_is_removed_only_when_asked() -> None:
    assert step_to_moment(rows("d"), at(9)).action is Action.LEAVE
    assert step_to_moment(rows("d"), at(9), remove_newer=True).action is Action.REMOVE
    assert step_to_moment(rows("d", "m", "d"), at(1.5), remove_newer=True).action is Action.REMOVE


def test_a_named_version_comes_back_unless_it_is_missing_current_or_a_marker() -> None:
    history = rows("d", "m", "d")
    assert step_to_version(history, "v2").action is Action.RESTORE
    assert step_to_version(history, "v0").action is Action.NOTHING
    with pytest.raises(BadInputError):
        step_to_version(history, "v1")
    with pytest.raises(NotFoundError, match="no version v9"):
        step_to_version(history, "v9")


@given(st.lists(st.sampled_from("dm"), min_size=1, max_size=8), st.integers(0, 90), st.booleans())
def test_a_restore_never_names_a_marker_or_a_version_written_later(kinds: list[str], tenths: int, remove: bool) -> None:
    moment = at(tenths / 10)
    step = step_to_moment(rows(*kinds), moment, remove_newer=remove)
    if step.source:
        assert not step.source.is_marker
        assert step.source.last_modified <= moment
    assert (step.action is Action.REMOVE) <= remove


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2029-12-31T00:00:00Z", at(1)),
        ("2029-12-31T01:00:00+01:00", at(1)),
        ("2d", at(2)),
        ("36h", at(1.5)),
    ],
)
def test_moments_are_read(text: str, wanted: datetime) -> None:
    assert parse_moment(text, NOW) == wanted


@pytest.mark.parametrize("text", ["yesterday", "2029-12-31T00:00:00", "2031-01-01T00:00:00Z", "", "1e9y", "9999999y"])
def test_moments_without_zone_in_the_future_or_in_words_are_refused(text: str) -> None:
    with pytest.raises(BadInputError) as caught:
        parse_moment(text, NOW)
    assert caught.value.hint
