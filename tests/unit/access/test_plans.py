"""Users, versions and the empty store: the pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowage import errors
from stowage.access.capability import OLDEST, RUSTFS_SINCE, parsed_version, rustfs_capabilities
from stowage.access.connect import DRIVERS, assume_empty, connect
from stowage.access.driver_rustfs import _version, unwrapped_info
from stowage.access.model import AccessKey, Credentials, User, new_credentials
from stowage.access.reconcile import WantedUser, checked_name, plan_user
from stowage.s3.connection import S3Settings

policies = st.frozensets(st.sampled_from(["a", "b", "c", "d"]))


@given(policies, policies)
def test_exact_ends_with_the_wanted_policies_and_at_least_with_both(has: frozenset[str], wants: frozenset[str]) -> None:
    for exact, after in ((True, wants), (False, wants | has)):
        found = plan_user(User("u", policies=has), WantedUser("u", policies=wants, exact=exact))
        assert found == [] if after == has else [one.after for one in found] == [sorted(after)]


@given(policies, st.booleans())
def test_a_plan_that_was_carried_out_is_empty_the_next_time(has: frozenset[str], enabled: bool) -> None:
    wanted = WantedUser("u", policies=has, enabled=enabled)
    assert plan_user(User("u", enabled=enabled, policies=has), wanted) == []


def test_what_is_not_declared_is_left_alone() -> None:
    assert plan_user(User("u", enabled=False, policies=frozenset({"x"})), WantedUser("u")) == []


def test_keys_without_their_user_are_named() -> None:
    (found,) = plan_user(None, WantedUser("u"), [AccessKey("K2", "u"), AccessKey("K1", "u")])
    assert found.before == "record lost, keys left: K1, K2"


def test_a_lost_user_that_shall_be_gone_is_still_a_difference() -> None:
    gone = WantedUser("u", present=False)
    assert plan_user(None, gone) == []
    assert plan_user(None, gone, [AccessKey("K1", "u")])[0].before == "record lost, keys left: K1"


@pytest.mark.parametrize("name", ["", "a,b", "a=b", "a b", "inline:x", "a/b", "tab\t"])
def test_names_that_a_store_would_mangle_are_refused(name: str) -> None:
    with pytest.raises(errors.BadInputError):
        checked_name(name, "user")


def test_versions_are_ordered_as_released() -> None:
    released = ["1.0.0-alpha.64", "1.0.0-beta.5", "1.0.0-beta.10", "1.0.0-rc.1", "1.0.0-rc.3", "1.0.0", "1.0.1"]
    parsed = [parsed_version(one) for one in released]
    assert None not in parsed
    assert parsed == sorted(parsed, key=lambda one: one or ())


def test_an_unreadable_version_counts_as_the_oldest() -> None:
    assert rustfs_capabilities("658b8dea") == rustfs_capabilities(OLDEST)
    assert not any(rustfs_capabilities(None).values())
    assert all(rustfs_capabilities("1.0.0").values())


def test_a_capability_begins_with_its_version() -> None:
    for name, since in RUSTFS_SINCE.items():
        assert rustfs_capabilities(f"2026-08-15@{since}")[name]


def test_of_several_tags_in_one_version_the_oldest_is_taken() -> None:
    told = {"servers": [{"version": "2026-05-26T18:49:42Z@1.0.0-beta.10\n1.0.0-beta.5\n1.0.0-rc.3-preview.1"}]}
    assert _version(told) == "1.0.0-beta.5"


def test_the_version_is_found_in_both_forms_of_the_answer() -> None:
    told = {"servers": [{"version": "2026-08-15T00:00:00Z@1.0.0-rc.3"}]}
    assert _version(unwrapped_info(told)) == _version(unwrapped_info({"info": told})) == "1.0.0-rc.3"


def test_an_empty_store_has_nothing_and_takes_nothing() -> None:
    store = assume_empty("rustfs")
    assert (store.users(), store.policies(), store.policy("x"), store.key("x", "y")) == ({}, {}, None, None)
    with pytest.raises(AttributeError):
        store.create_user("x")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_store_that_is_assumed_can_do_what_a_real_one_can(driver: str) -> None:
    real = connect(driver, S3Settings(endpoint="http://x", access_key="a", secret_key="b"))
    assert assume_empty(driver).features == real.features


def test_an_unknown_driver_is_refused_with_those_there_are() -> None:
    with pytest.raises(errors.BadInputError, match="iam, rustfs, minio"):
        connect("ceph", S3Settings(endpoint="http://x"))


def test_a_new_pair_fits_every_store_and_hides_its_secret() -> None:
    pair = new_credentials()
    assert (len(pair.access_key_id), len(pair.secret_access_key)) == (20, 40)
    assert pair.secret_access_key.isalnum()
    assert pair.secret_access_key not in repr(pair)
    assert new_credentials() != pair
    assert "s3cr3t" not in repr(Credentials("id", "s3cr3t"))
