"""What must change about a bucket: the pure decision, and its name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowage import errors
from stowage.s3.buckets import Bucket, WantedBucket, checked_name, plan_bucket

states = st.sampled_from(["enabled", "suspended", "never"])


@given(states)
def test_versioning_is_only_ever_switched_on(state: str) -> None:
    assert plan_bucket(Bucket("bbb", state), WantedBucket("bbb")) == []
    found = plan_bucket(Bucket("bbb", state), WantedBucket("bbb", versioned=True))
    assert [one.after for one in found] == ([] if state == "enabled" else ["enabled"])


def test_a_missing_bucket_is_made_with_everything_at_once() -> None:
    wanted = WantedBucket("bbb", versioned=True, object_lock=True, quota=5)
    assert [one.field for one in plan_bucket(None, wanted)] == ["bucket", "object_lock", "versioning", "quota"]


@pytest.mark.parametrize(("has", "wants", "differs"), [(None, 0, False), (5, 5, False), (5, 0, True), (None, 5, True)])
def test_no_quota_and_a_quota_of_zero_are_the_same(has: int | None, wants: int, differs: bool) -> None:
    assert bool(plan_bucket(Bucket("bbb", quota=has), WantedBucket("bbb", quota=wants))) is differs


def test_a_store_without_versioning_is_refused_unless_it_is_not_required() -> None:
    there = Bucket("bbb", "unsupported")
    with pytest.raises(errors.RefusedError, match="no versioning"):
        plan_bucket(there, WantedBucket("bbb", versioned=True))
    assert plan_bucket(there, WantedBucket("bbb", versioned=True, versioning_required=False)) == []


@pytest.mark.parametrize("good", ["abc", "a-b.c", "123", "qatlas-s3-events", "a" * 63])
def test_good_names_pass(good: str) -> None:
    assert checked_name(good) == good


@pytest.mark.parametrize("bad", ["", "ab", "a" * 64, "A-b", "a_b", "-ab", "ab-", "a..b", "a.-b", "1.2.3.4", "minio"])
def test_bad_names_are_refused(bad: str) -> None:
    with pytest.raises(errors.BadInputError, match="bucket name"):
        checked_name(bad)


@pytest.mark.parametrize(
    ("has", "wants", "differs"),
    [
        ("relaxed", "strict", True),
        ("inherited", "strict", True),
        ("strict", "strict", False),
        ("relaxed", None, False),
        (None, "strict", False),  # a server without the setting: a warning, no difference that would never end
    ],
)
def test_durability_differs_only_where_the_server_has_it_and_says_otherwise(
    has: str | None, wants: str | None, differs: bool
) -> None:
    assert bool(plan_bucket(Bucket("bbb", durability=has), WantedBucket("bbb", durability=wants))) is differs
