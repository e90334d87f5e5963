"""The planner: what the older tool documents, what this project demands, and properties over arbitrary listings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stowage.errors import BadInputError
from stowage.s3.bucket_rules import BucketRules
from stowage.s3.prune_plan import Decision, PruneRules, Why, parse_age, plan_prune
from stowage.s3.versions import Version

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def row(key: str, version: str, when: datetime, *, latest: bool = False, marker: bool = False, at: int = 0) -> Version:
    return Version(key, version, latest, marker, 0 if marker else 10, when, position=at)


def gone(listing: list[Version], rules: PruneRules, now: datetime = NOW) -> list[tuple[str, str]]:
    return [(d.version.key, d.version.version_id) for d in plan_prune(listing, rules, now) if d.delete]


def fate(listing: list[Version], rules: PruneRules, version: str) -> Decision:
    return next(d for d in plan_prune(listing, rules, NOW) if d.version.version_id == version)


# --- what the older tool documents, case by case (facts/qatlasd.md 3.2) -------------------------------------------


def like_the_original(older_than: timedelta | None = None, keep_last: int = 0) -> PruneRules:
    return PruneRules(
        older_than=older_than,
        keep_last=keep_last,
        age_basis="own",
        keep_last_scope="eligible",
        include_last_copy=True,
    )


def test_original_never_latest() -> None:
    listing = [
        row("k", "current", datetime(2025, 1, 1, tzinfo=UTC), latest=True),
        row("k", "old", datetime(2025, 6, 1, tzinfo=UTC)),
    ]
    assert gone(listing, like_the_original(timedelta(hours=1))) == [("k", "old")]


def test_original_no_filters_takes_every_noncurrent_version() -> None:
    listing = [row("k", "c", ago(1), latest=True), row("k", "b", ago(2)), row("k", "a", ago(3))]
    assert gone(listing, like_the_original()) == [("k", "b"), ("k", "a")]


def test_original_age_filter() -> None:
    listing = [row("k", "c", ago(0), latest=True), row("k", "week", ago(7)), row("k", "months", ago(120))]
    assert gone(listing, like_the_original(30 * DAY)) == [("k", "months")]


def test_original_keep_last_per_key() -> None:
    listing = [row("A", "now", ago(0), latest=True)] + [row("A", f"y{year}", ago(365 * year)) for year in range(1, 6)]
    listing += [row("B", "now", ago(0), latest=True), row("B", "y1", ago(365))]
    assert gone(listing, like_the_original(keep_last=2)) == [("A", "y3"), ("A", "y4"), ("A", "y5")]


def test_original_filters_compose() -> None:
    listing = [row("A", "now", ago(0), latest=True)] + [row("A", f"y{year}", ago(365 * year)) for year in range(1, 6)]
    assert gone(listing, like_the_original(30 * DAY, 2)) == [("A", "y3"), ("A", "y4"), ("A", "y5")]


def test_original_output_order() -> None:
    listing = [
        row("B", "b1", ago(5)),
        row("A", "a1", ago(5)),
        row("A", "current", ago(0), latest=True),
        row("B", "current", ago(0), latest=True),
        row("A", "a2", ago(4)),
    ]
    assert gone(listing, like_the_original()) == [("A", "a2"), ("A", "a1"), ("B", "b1")]


def test_original_latest_delete_marker_stays() -> None:
    listing = [row("k", "marker", ago(1), latest=True, marker=True), row("k", "data", ago(2))]
    assert gone(listing, like_the_original()) == [("k", "data")]


def test_seed_wording_and_eligible_ranking_differ_as_documented() -> None:
    listing = [row("k", "now", ago(0), latest=True)]
    listing += [row("k", f"young{n}", ago(n)) for n in range(1, 6)]
    listing += [row("k", f"old{n}", ago(100 + n)) for n in range(3)]
    literal = PruneRules(older_than=90 * DAY, keep_last=5, age_basis="own")
    assert gone(listing, literal) == [("k", "old0"), ("k", "old1"), ("k", "old2")]
    assert gone(listing, like_the_original(90 * DAY, 5)) == []


# --- what this project demands --------------------------------------------------------------------------------------


def test_age_counts_from_the_replacement_not_from_the_birth() -> None:
    listing = [row("k", "new", ago(3), latest=True), row("k", "old", ago(400))]
    decision = fate(listing, PruneRules(older_than=30 * DAY), "old")
    assert decision.why is Why.YOUNG
    assert decision.reason == "kept: replaced 3 d ago"


def test_a_version_exactly_as_old_as_the_limit_goes() -> None:
    listing = [row("k", "new", ago(30), latest=True), row("k", "old", ago(31))]
    assert gone(listing, PruneRules(older_than=30 * DAY)) == [("k", "old")]
    assert gone(listing, PruneRules(older_than=30 * DAY + timedelta(seconds=1))) == []


def test_last_data_version_under_a_marker_is_kept_unless_asked_for_by_name() -> None:
    listing = [
        row("k", "marker", ago(100), latest=True, marker=True),
        row("k", "last", ago(200)),
        row("k", "older", ago(300)),
    ]
    assert gone(listing, PruneRules()) == [("k", "older")]
    assert fate(listing, PruneRules(), "last").reason == "kept: last data version under a delete marker"
    assert gone(listing, PruneRules(include_last_copy=True)) == [("k", "last"), ("k", "older")]


def test_noncurrent_delete_marker_counts_in_keep_last_and_may_go() -> None:
    listing = [
        row("k", "c", ago(0), latest=True),
        row("k", "m2", ago(1), marker=True),
        row("k", "d", ago(2)),
        row("k", "m1", ago(3), marker=True),
    ]
    assert gone(listing, PruneRules(keep_last=2)) == [("k", "m1")]
    assert fate(listing, PruneRules(keep_last=2), "d").reason == "kept: among the 2 newest"


def test_keep_last_equal_to_the_group_keeps_all_of_it() -> None:
    listing = [row("k", "c", ago(0), latest=True), row("k", "b", ago(1)), row("k", "a", ago(2))]
    assert gone(listing, PruneRules(keep_last=2)) == []


def test_equal_times_are_ranked_in_listing_order() -> None:
    listing = [row("k", "c", ago(9), latest=True, at=0)]
    listing += [row("k", f"v{at}", ago(9), at=at) for at in range(1, 5)]
    assert gone(list(reversed(listing)), PruneRules(keep_last=2)) == [("k", "v3"), ("k", "v4")]


def test_the_current_version_is_the_newest_of_equal_times_wherever_it_is_listed() -> None:
    listing = [row("k", "old", ago(9), at=0), row("k", "current", ago(9), latest=True, at=1)]
    assert gone(listing, PruneRules(older_than=DAY)) == [("k", "old")]


def test_a_null_version_is_an_ordinary_member() -> None:
    listing = [row("k", "c", ago(0), latest=True), row("k", "null", ago(50))]
    assert gone(listing, PruneRules()) == [("k", "null")]


def test_a_key_of_delete_markers_only_keeps_the_current_one() -> None:
    listing = [row("k", f"m{n}", ago(n), latest=n == 0, marker=True) for n in range(3)]
    assert gone(listing, PruneRules()) == [("k", "m1"), ("k", "m2")]


def test_empty_listing_gives_an_empty_plan() -> None:
    assert plan_prune([], PruneRules(), NOW) == []


def test_a_key_without_a_current_row_or_with_two_is_left_alone() -> None:
    none = [row("k", "b", ago(1)), row("k", "a", ago(2))]
    two = [row("k", "b", ago(1), latest=True), row("k", "a", ago(2), latest=True), row("k", "z", ago(3))]
    assert gone(none, PruneRules()) == gone(two, PruneRules()) == []
    assert "shows 2 current versions" in fate(two, PruneRules(), "z").reason


def test_a_garbled_key_is_left_alone() -> None:
    listing = [row("ctl\ufffdx", "b", ago(1), latest=True), row("ctl\ufffdx", "a", ago(2))]
    assert gone(listing, PruneRules()) == []
    assert fate(listing, PruneRules(), "a").why is Why.GARBLED


def test_a_version_newer_than_the_current_one_has_no_known_age_and_stays() -> None:
    listing = [row("k", "current", ago(100), latest=True), row("k", "stray", ago(50))]
    assert fate(listing, PruneRules(older_than=DAY), "stray").why is Why.NO_SUCCESSOR


# --- durations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("15m", 900),
        ("2h", 7200),
        ("1d", 86400),
        ("7d", 604800),
        ("2w", 1209600),
        ("1y", 31536000),
        ("0.5d", 43200),
        ("1h30m", 5400),
        (" 1.5h ", 5400),
        ("500ms", 0.5),
    ],
)
def test_durations_of_the_original_are_read(text: str, seconds: float) -> None:
    assert parse_age(text).total_seconds() == seconds


@pytest.mark.parametrize(
    "text",
    ["", "3banana", "30q", "1d12h", "30D", "5", "0", "0d", "0s", "-30d", "infd", "nand", "1e9d", "d", "9" * 30 + "y"],
)
def test_traps_of_the_original_grammar_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadInputError) as caught:
        parse_age(text)
    assert caught.value.hint


# --- properties ---------------------------------------------------------------------------------------------------

moments = st.integers(0, 400).map(ago)
rules_strategy = st.builds(
    PruneRules,
    older_than=st.none() | st.integers(1, 300).map(lambda days: timedelta(days=days)),
    keep_last=st.integers(0, 4),
    age_basis=st.sampled_from(["noncurrent", "own"]),
    keep_last_scope=st.sampled_from(["all", "eligible"]),
    include_last_copy=st.booleans(),
)


@st.composite
def listings(draw: st.DrawFn, *, sane_clocks: bool = False) -> list[Version]:
    """Keys with exactly one current row each; the current row need not be the newest unless clocks are sane."""
    found: list[Version] = []
    for key in draw(st.lists(st.sampled_from(["a", "a/b", "a-", "b"]), max_size=3, unique=True)):
        members = draw(st.lists(st.tuples(moments, st.booleans()), min_size=1, max_size=8))
        if sane_clocks:
            members.sort(reverse=True)
        latest = 0 if sane_clocks else draw(st.integers(0, len(members) - 1))
        for number, (when, marker) in enumerate(members):
            found.append(row(key, f"v{number}", when, latest=number == latest, marker=marker, at=len(found)))
    return found


many = settings(max_examples=300, deadline=None)


@many
@given(listings(), rules_strategy)
def test_current_versions_and_current_markers_never_go(listing: list[Version], rules: PruneRules) -> None:
    assert not [d for d in plan_prune(listing, rules, NOW) if d.delete and d.version.is_latest]


@many
@given(listings(), rules_strategy)
def test_the_last_data_version_never_goes_unless_asked_for(listing: list[Version], rules: PruneRules) -> None:
    left = {(v.key, v.version_id) for v in listing} - set(gone(listing, rules))
    for key in {v.key for v in listing if not v.is_marker}:
        data = {(v.key, v.version_id) for v in listing if v.key == key and not v.is_marker}
        assert data & left or rules.include_last_copy


@many
@given(listings(sane_clocks=True), rules_strategy)
def test_what_goes_satisfies_both_filters_by_an_independent_count(listing: list[Version], rules: PruneRules) -> None:
    replaced = {}
    for newer, older in pairwise(listing):
        if newer.key == older.key:
            replaced[older.key, older.version_id] = newer.last_modified
    for decision in plan_prune(listing, rules, NOW):
        if not decision.delete:
            continue
        version = decision.version
        since = version.last_modified if rules.age_basis == "own" else replaced[version.key, version.version_id]
        assert rules.older_than is None or NOW - since >= rules.older_than
        newer_ones = [v for v in listing if v.key == version.key and not v.is_latest and v.position < version.position]
        assert len(newer_ones) >= rules.keep_last


@many
@given(listings(), rules_strategy, st.data())
def test_rows_lost_by_the_listing_never_add_a_deletion(
    listing: list[Version], rules: PruneRules, data: st.DataObject
) -> None:
    kept = data.draw(st.sets(st.integers(0, max(0, len(listing) - 1))))
    partial = [version for number, version in enumerate(listing) if number in kept]
    assert set(gone(partial, rules)) <= set(gone(listing, rules))


@many
@given(listings(), rules_strategy, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_pages_is_irrelevant(listing: list[Version], rules: PruneRules, dice: object) -> None:
    shuffled = list(listing)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_prune(shuffled, rules, NOW) == plan_prune(listing, rules, NOW)


@many
@given(listings(), rules_strategy, st.data())
def test_a_plan_made_after_a_crash_holds_exactly_what_was_left_to_do(
    listing: list[Version], rules: PruneRules, data: st.DataObject
) -> None:
    planned = gone(listing, rules)
    done = set(data.draw(st.lists(st.sampled_from(planned)))) if planned else set()
    left = [version for version in listing if (version.key, version.version_id) not in done]
    assert set(gone(left, rules)) == set(planned) - done


@many
@given(listings(), rules_strategy, st.integers(0, 400))
def test_time_alone_never_takes_a_deletion_back(listing: list[Version], rules: PruneRules, days: int) -> None:
    if rules.keep_last_scope == "eligible" and rules.keep_last:
        return  # ranks among the eligible grow with time, so there it does by design of the older tool
    assert set(gone(listing, rules)) <= set(gone(listing, rules, NOW + timedelta(days=days)))


@many
@given(listings(), rules_strategy)
def test_every_row_gets_exactly_one_decision_with_a_reason(listing: list[Version], rules: PruneRules) -> None:
    decisions = plan_prune(listing, rules, NOW)
    assert sorted(d.version for d in decisions) == sorted(listing)
    assert all(d.reason.startswith("goes: " if d.delete else "kept: ") for d in decisions)


@pytest.mark.parametrize("bad", [{"keep_last": -1}, {"older_than": timedelta(0)}, {"age_basis": "x"}])
def test_rules_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(BadInputError):
        PruneRules(**bad)  # type: ignore[arg-type]


# --- what stands with the bucket ----------------------------------------------------------------------------------


def test_a_version_replaced_a_minute_ago_stays_in_a_bucket_that_wants_14_days_however_old_its_bytes_are() -> None:
    listing = [row("k", "new", NOW - timedelta(seconds=54), latest=True), row("k", "old", ago(365), at=1)]
    own = BucketRules(bucket="filator", older_than=14 * DAY)
    for asked in (like_the_original(14 * DAY), PruneRules(older_than=DAY, age_basis="own"), PruneRules(all_old=True)):
        assert gone(listing, own.at_least(asked)) == []


def test_a_stored_plan_that_counted_from_the_birth_is_not_what_the_bucket_wants() -> None:
    own = BucketRules(bucket="filator", older_than=14 * DAY)
    (wanted,) = own.missing_in(PruneRules(older_than=90 * DAY, age_basis="own"))
    assert "counted from the replacement" in wanted
    assert own.missing_in(own.at_least(PruneRules(older_than=90 * DAY, age_basis="own"))) == []


@many
@given(listings(), rules_strategy, st.none() | st.integers(1, 300).map(lambda days: days * DAY), st.integers(0, 4))
def test_what_goes_by_both_the_caller_and_the_bucket_goes_by_each(
    listing: list[Version], asked: PruneRules, older_than: timedelta | None, keep_last: int
) -> None:
    own = BucketRules(bucket="b", older_than=older_than, keep_last=keep_last)
    alone = PruneRules(older_than=older_than, keep_last=keep_last, include_last_copy=True)
    assert set(gone(listing, own.at_least(asked))) <= set(gone(listing, asked)) & set(gone(listing, alone))
