"""How a plan is cut into units, and what the second look lets through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from stowage.s3.prune_file import Candidate
from stowage.s3.prune_plan import PruneRules, plan_key
from stowage.s3.prune_recheck import Outcome, confirm, to_units
from stowage.s3.versions import Version

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def history(count: int) -> list[Version]:
    return [Version("k", f"v{n}", n == 0, False, 10, NOW - timedelta(days=n + 1), position=n) for n in range(count)]


def planned(rows: list[Version], rules: PruneRules) -> list[Candidate]:
    return [Candidate.of(decision) for decision in plan_key(rows, rules, NOW) if decision.delete]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 30), max_size=30), st.integers(1, 40))
def test_units_keep_order_hold_whole_keys_and_stay_below_the_size_unless_one_key_is_larger(
    counts: list[int], size: int
) -> None:
    candidates = [
        Candidate(f"k{number:02d}", str(version), 1, 0, False, "", "delete", "", count, number * 100 + version)
        for number, count in enumerate(counts)
        for version in range(count)
    ]
    units = list(to_units(iter(candidates), size=size))
    assert [candidate for unit in units for candidate in unit.candidates] == candidates
    assert all(len(unit.candidates) <= size or len(unit.by_key()) == 1 for unit in units)
    keys = [key for unit in units for key in unit.by_key()]
    assert len(keys) == len(set(keys)) == len(counts)
    for before, after in pairwise(units):
        assert after.after_key == before.candidates[-1].key


def test_an_unchanged_key_is_confirmed_whole() -> None:
    rules = PruneRules(keep_last=1)
    rows = history(4)
    go, rest = confirm(planned(rows, rules), rows, rules, NOW)
    assert ([one.version_id for one in go], rest) == (["v2", "v3"], [])


def test_what_is_gone_current_rewritten_or_protected_now_does_not_go() -> None:
    rules = PruneRules(keep_last=1)
    rows = history(6)
    plan = planned(rows, rules)
    assert [one.version_id for one in plan] == ["v2", "v3", "v4", "v5"]
    fresh = [
        rows[2]._replace(is_latest=True),
        rows[3],
        rows[4]._replace(last_modified=rows[4].last_modified + timedelta(seconds=1)),
    ]
    go, rest = confirm(plan, fresh, rules, NOW)
    assert go == []
    assert {one.candidate.version_id: one.outcome for one in rest} == {
        "v2": Outcome.SKIPPED,
        "v3": Outcome.SKIPPED,
        "v4": Outcome.SKIPPED,
        "v5": Outcome.GONE,
    }


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 8), st.integers(0, 3), st.data())
def test_a_second_look_that_lost_rows_only_deletes_less(count: int, keep: int, data: st.DataObject) -> None:
    rules = PruneRules(keep_last=keep)
    rows = history(count)
    seen = data.draw(st.sets(st.integers(0, count - 1)))
    go, rest = confirm(planned(rows, rules), [rows[n] for n in sorted(seen)], rules, NOW)
    assert {one.version_id for one in go} <= {one.version_id for one in planned(rows, rules)}
    assert len(go) + len(rest) == len(planned(rows, rules))
    assert all(int(one.version_id[1:]) in seen for one in go)


def test_waiting_does_not_widen_a_plan() -> None:
    rules = PruneRules(older_than=timedelta(days=2))
    rows = history(4)
    plan = planned(rows, rules)
    assert [one.version_id for one in plan] == ["v2", "v3"]
    everything = [Candidate.of(decision) for decision in plan_key(rows, PruneRules(), NOW) if decision.delete]
    go, rest = confirm(everything, rows, rules, NOW)
    assert [one.version_id for one in go] == ["v2", "v3"]
    assert [one.detail for one in rest] == ["kept: replaced 1 d ago"]


def test_a_hundred_thousand_versions_of_one_key_are_one_unit_looked_at_once() -> None:
    rules = PruneRules(keep_last=5)
    rows = [Version("k", f"v{n}", n == 0, False, 1, NOW - timedelta(seconds=n), position=n) for n in range(100_000)]
    plan = planned(rows, rules)
    (unit,) = to_units(iter(plan))
    assert len(unit.candidates) == 99_994
    go, rest = confirm(unit.candidates, rows, rules, NOW)
    assert (len(go), rest) == (99_994, [])
