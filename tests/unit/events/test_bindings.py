"""ARNs and notification bindings: the pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowage import errors
from stowage.access.model import Target
from stowage.events.bindings import (
    EVENT_NAMES,
    Binding,
    binding,
    check_no_loop,
    check_targets,
    document,
    normal_arn,
    parsed,
    plan_bindings,
)

ARN = "arn:rustfs:sqs::qatlas:webhook"
bindings = st.lists(
    st.builds(
        Binding,
        st.sampled_from([ARN, "arn:rustfs:sqs::other:webhook"]),
        st.lists(st.sampled_from(sorted(EVENT_NAMES)), min_size=1, max_size=3, unique=True).map(
            lambda one: tuple(sorted(one))
        ),
        st.sampled_from(["", "in/"]),
        st.sampled_from(["", ".pdf"]),
    ),
    max_size=4,
    unique=True,
)


@given(bindings)
def test_a_configuration_is_read_as_it_was_written(some: list[Binding]) -> None:
    assert parsed(document(some)) == sorted(some)


@given(bindings, bindings)
def test_exact_ends_with_what_was_asked_for(current: list[Binding], wanted: list[Binding]) -> None:
    after, _ = plan_bindings(current, wanted, "exact")
    assert after == sorted(wanted)
    assert plan_bindings(after, wanted, "exact")[1] == []


@given(bindings, bindings)
def test_at_least_takes_nothing_away(current: list[Binding], wanted: list[Binding]) -> None:
    after, _ = plan_bindings(current, wanted, "at_least")
    assert set(after) == set(current) | set(wanted)
    assert plan_bindings(after, wanted, "at_least")[1] == []


@pytest.mark.parametrize(
    ("given_arn", "expected"),
    [
        ("arn:rustfs:sqs::QATLAS:webhook", ARN),
        ("ARN:RustFS:sqs:us-east-1:Qatlas:Webhook", "arn:rustfs:sqs:us-east-1:qatlas:webhook"),
        ("arn:minio:sqs::QATLAS:webhook", "arn:minio:sqs::QATLAS:webhook"),
    ],
)
def test_only_rustfs_lower_cases(given_arn: str, expected: str) -> None:
    assert normal_arn(given_arn) == expected


@pytest.mark.parametrize(
    "wrong", ["qatlas", "arn:rustfs:sqs:qatlas:webhook", "arn:rustfs:sqs:::webhook", "a:b:c:d:e:f"]
)
def test_what_is_no_arn_is_refused(wrong: str) -> None:
    with pytest.raises(errors.BadInputError, match="is no ARN"):
        normal_arn(wrong)


def test_the_region_names_no_other_target() -> None:
    there = [Binding("arn:rustfs:sqs:us-east-1:qatlas:webhook", ("s3:ObjectCreated:*",))]
    assert plan_bindings(there, [binding(ARN, ["put"])], "exact")[1] == []


def test_a_binding_stored_in_the_wrong_case_is_a_difference() -> None:
    there = [Binding("arn:rustfs:sqs::QATLAS:webhook", ("s3:ObjectCreated:*",))]
    assert plan_bindings(there, [binding(ARN, ["put"])], "exact")[1]


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(errors.BadInputError, match="unknown event s3:ObjectCreate"):
        binding(ARN, ["put", "s3:ObjectCreate"])


def test_a_missing_target_is_refused_with_those_there_are() -> None:
    with pytest.raises(errors.NotFoundError, match="there are: arn:rustfs:sqs::other:webhook"):
        check_targets(
            [binding(ARN, ["put"])],
            [Target("arn:rustfs:sqs::other:webhook", "online")],
            allow_offline=False,
            known=True,
        )


def test_an_offline_target_needs_permission() -> None:
    wanted, there = [binding(ARN, ["put"])], [Target(ARN, "offline")]
    with pytest.raises(errors.RefusedError, match="offline"):
        check_targets(wanted, there, allow_offline=False, known=True)
    assert check_targets(wanted, there, allow_offline=True, known=True)


def test_the_sinks_own_bucket_may_only_be_unbound() -> None:
    with pytest.raises(errors.RefusedError, match="for ever"):
        check_no_loop("events", [binding(ARN, ["put"])], ["events"])
    check_no_loop("events", [], ["events"])
    check_no_loop("assets", [binding(ARN, ["put"])], ["events"])
