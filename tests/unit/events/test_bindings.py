"""ARNs and notification bindings: the pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from stowage import errors
from stowage.access.model import Target
from stowage.events.bindings import (
    EVENT_NAMES,
    Binding,
    Mode,
    binding,
    check_no_loop,
    check_storable,
    check_targets,
    document,
    normal_arn,
    parsed,
)
from stowage.events.merge import covered, merged, plan_bindings, spread

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


def sent(some: list[Binding], event: str, key: str) -> list[str]:
    """The targets of an event, one for each rule that fits."""
    return sorted(
        one.arn
        for one in some
        if event in spread(one.events) and key.startswith(one.prefix) and key.endswith(one.suffix)
    )


KEYS = ("a", "a.pdf", "in/a", "in/a.pdf", "in/deep/a.pdf")
CONCRETE = sorted(one for one in EVENT_NAMES if not one.endswith("*"))


def planned(current: list[Binding], wanted: list[Binding], mode: Mode) -> list[Binding]:
    """What is stored; overlaps that can not be merged are refused, and then there is nothing to look at."""
    try:
        after, _ = plan_bindings(current, wanted, mode)
    except errors.BadInputError:
        reject()
    return after


@given(bindings, bindings)
def test_exact_sends_what_was_asked_for_and_once(current: list[Binding], wanted: list[Binding]) -> None:
    after = planned(current, wanted, "exact")
    for event in CONCRETE:
        for key in KEYS:
            assert sent(after, event, key) == sorted(set(sent(wanted, event, key)))
    assert plan_bindings(after, wanted, "exact")[1] == []


@given(bindings, bindings)
def test_at_least_takes_nothing_away_and_adds_no_double(current: list[Binding], wanted: list[Binding]) -> None:
    after = planned(current, wanted, "at_least")
    for event in CONCRETE:
        for key in KEYS:
            has, asked, gets = (sent(some, event, key) for some in (current, wanted, after))
            assert set(gets) == set(has) | set(asked)
            assert all(gets.count(arn) <= max(1, has.count(arn)) for arn in gets)
    assert plan_bindings(after, wanted, "at_least")[1] == []
    assert all(covered(one, after) for one in [*current, *wanted])


@pytest.mark.parametrize(
    ("some", "one"),
    [
        ([(["put"], ""), (["put"], "")], [("s3:ObjectCreated:*", "")]),
        ([(["put"], ""), (["s3:ObjectCreated:Put"], "")], [("s3:ObjectCreated:*", "")]),
        ([(["put"], ""), (["put"], "in/")], [("s3:ObjectCreated:*", "")]),
        (
            [(["put"], ""), (["s3:ObjectCreated:Copy", "delete"], "in/")],
            [("s3:ObjectCreated:*", ""), ("s3:ObjectRemoved:*", "in/")],
        ),
    ],
    ids=["twice", "wildcard", "narrower", "part"],
)
def test_overlapping_rules_become_one(some: list[tuple[list[str], str]], one: list[tuple[str, str]]) -> None:
    found = merged([binding(ARN, events, prefix) for events, prefix in some])
    assert [(*each.events, each.prefix) for each in found] == one


@pytest.mark.parametrize(
    "pair",
    [
        [binding(ARN, ["put"], "in/"), binding(ARN, ["put"], "", ".pdf")],
        [binding(ARN, ["s3:ObjectCreated:Put"]), binding(ARN, ["put"], "in/")],
    ],
    ids=["crossing", "wildcard inside"],
)
def test_an_overlap_that_can_not_be_cut_out_is_refused_unless_it_was_there(pair: list[Binding]) -> None:
    with pytest.raises(errors.BadInputError, match="may be sent twice"):
        plan_bindings([], pair, "exact")
    with pytest.raises(errors.BadInputError, match="may be sent twice"):
        plan_bindings(pair[:1], pair[1:], "at_least")
    more = binding("arn:rustfs:sqs::other:webhook", ["put"])
    assert plan_bindings(pair, [more], "at_least")[0] == sorted([*pair, more])


FOREIGN = {
    "QueueConfigurations": [
        {"Id": "q", "QueueArn": "arn:aws:sqs:eu-west-1:123456789012:jobs", "Events": ["s3:ObjectCreated:*"]}
    ],
    "TopicConfigurations": [
        {"Id": "t", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:all", "Events": ["s3:Future:*"]}
    ],
    "LambdaFunctionConfigurations": [
        {
            "Id": "l",
            "LambdaFunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
            "Events": ["s3:ObjectRemoved:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "in/"}]}},
        }
    ],
}


def test_at_least_writes_rules_of_others_back_as_they_were() -> None:
    after, differences = plan_bindings(parsed(FOREIGN), [binding(ARN, ["put"])], "at_least")
    assert differences
    made = document(after)
    ours = [one for one in made["QueueConfigurations"] if one["QueueArn"] == ARN]
    assert ours == [{"QueueArn": ARN, "Events": ["s3:ObjectCreated:*"]}]
    made["QueueConfigurations"].remove(ours[0])
    assert made == FOREIGN


def test_a_topic_that_sends_to_our_target_is_not_doubled() -> None:
    there = parsed({"TopicConfigurations": [{"TopicArn": ARN, "Events": ["s3:ObjectCreated:*"]}]})
    assert plan_bindings(there, [binding(ARN, ["put"], "in/")], "at_least") == (there, [])


@pytest.mark.parametrize("arn", ["arn:aws:sns:eu-west-1:1:t", "arn:minio:sqs::qatlas:webhook", "arn:rustfs:bad"])
def test_a_rule_that_the_server_would_refuse_is_not_written_back(arn: str) -> None:
    with pytest.raises(errors.RefusedError, match=f"rule to {arn}"):
        check_storable("b", [Binding(arn, ("s3:ObjectCreated:*",))], "rustfs")
    check_storable("b", [Binding("arn:rustfs:sqs:us-east-1:QATLAS:webhook", ("s3:ObjectCreated:*",))], "rustfs")


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
