"""Which keys a rotation makes, keeps and removes: pure decisions over ids and a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stowage import errors
from stowage.access.rotation_plan import Entry, Held, faults, needs_new_key, strangers
from stowage.access.rotation_record import read_record, write_record

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
DAY = 86400
ids = st.sampled_from(["A", "B", "C", "D"])
moments = st.none() | st.integers(-3 * DAY, 3 * DAY).map(lambda seconds: NOW + timedelta(seconds=seconds))
entries = st.none() | st.builds(Entry, new=ids, old=ids, switched=moments)
helds = st.builds(
    Held,
    user=st.just("filator"),
    vault_id=ids | st.just(""),
    listed=st.dictionaries(ids, st.booleans()),
    entry=entries,
    link_seconds=st.sampled_from([0, 60, DAY]),
)


def held(vault: str, *listed: str, entry: Entry | None = None, links: int = DAY) -> Held:
    return Held("filator", vault, dict.fromkeys(listed, True), entry, links)


@given(helds)
def test_of_a_leaked_key_nothing_is_left_but_what_the_vault_names(one: Held) -> None:
    assert set(one.listed) - strangers(one, NOW, at_once=True) <= {one.vault_id}


@given(helds)
def test_at_most_the_key_before_it_lives_on_beside_the_vaults(one: Held) -> None:
    kept = set(one.listed) - strangers(one, NOW, at_once=False) - {one.vault_id}
    assert kept <= ({one.entry.old} if one.entry and one.entry.new == one.vault_id else set())


@given(helds)
def test_the_key_of_the_vault_never_goes(one: Held) -> None:
    assert one.vault_id not in strangers(one, NOW, at_once=True) | strangers(one, NOW, at_once=False)


@given(helds)
def test_a_leaked_key_always_gets_a_successor(one: Held) -> None:
    assert needs_new_key(one, NOW, at_once=True)


def test_a_key_that_a_thief_made_does_not_pass_for_an_interrupted_rotation() -> None:
    """Two keys were taken for one: the leaked one stayed in the vault and the run reported success."""
    seen = held("LEAKED", "LEAKED", "THIEF")
    assert needs_new_key(seen, NOW, at_once=False)
    assert strangers(seen, NOW, at_once=False) == {"THIEF"}


def test_an_interrupted_rotation_goes_on_with_the_key_that_it_made() -> None:
    entry = Entry("NEW", "OLD", None)
    assert not needs_new_key(held("NEW", "OLD", "NEW", entry=entry), NOW, at_once=False)


def test_a_key_that_was_made_and_never_came_into_the_vault_is_a_stranger() -> None:
    seen = held("OLD", "OLD", "LOST", entry=Entry("LOST", "OLD", None))
    assert needs_new_key(seen, NOW, at_once=False)
    assert strangers(seen, NOW, at_once=False) == {"LOST"}


@pytest.mark.parametrize(("after", "goes"), [(0, False), (DAY - 1, False), (DAY, True), (DAY + 1, True)])
def test_an_old_key_lives_exactly_as_long_as_its_links(after: int, goes: bool) -> None:
    seen = held("NEW", "OLD", "NEW", entry=Entry("NEW", "OLD", NOW))
    clock = NOW + timedelta(seconds=after)
    assert ("OLD" in strangers(seen, clock, at_once=False)) is goes
    # And no third key is made before it went.
    assert needs_new_key(seen, clock, at_once=False) is goes


def test_an_old_key_that_signs_no_links_goes_at_once() -> None:
    seen = held("NEW", "OLD", "NEW", entry=Entry("NEW", "OLD", None), links=0)
    assert strangers(seen, NOW, at_once=False) == {"OLD"}


def test_a_working_key_that_nobody_knows_is_a_fault_named_with_its_cure() -> None:
    (line,) = faults(held("MINE", "MINE", "THIEF"), NOW)
    assert "key THIEF works and is not the vault's" in line
    assert "-e rotate_now=true" in line


def test_an_old_key_is_a_fault_only_once_its_links_have_died() -> None:
    seen = held("NEW", "OLD", "NEW", entry=Entry("NEW", "OLD", NOW))
    assert faults(seen, NOW) == []
    (line,) = faults(seen, NOW + timedelta(days=2))
    assert "has outlived the links" in line
    assert "retire_keys.yml" in line


def test_a_key_that_is_off_lets_nobody_in() -> None:
    assert faults(Held("u", "MINE", {"MINE": True, "OFF": False}, None, 0), NOW) == []
    (line,) = faults(Held("u", "MINE", {"MINE": False}, None, 0), NOW)
    assert "no working key MINE" in line


@settings(deadline=None)  # it writes files
@given(st.dictionaries(st.text(min_size=1), st.builds(Entry, new=st.text(), old=st.text(), switched=moments)))
def test_a_record_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, users: dict[str, Entry]) -> None:
    path = tmp_path_factory.mktemp("record") / "deep" / "rotation.json"
    assert read_record(path) == {}
    write_record(path, users)
    assert read_record(path) == users
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["rotation.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"users": {"a": 1}}', '{"users": {"a": {"new": "x"}}}'])
def test_a_record_that_is_none_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rotation.json"
    path.write_text(text)
    with pytest.raises(errors.BadInputError, match=r"is no record of rotations") as caught:
        read_record(path)
    assert f"rm {path}" in str(caught.value.hint)
