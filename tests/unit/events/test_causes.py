"""A binding that swallows events is named, with what mends it."""

from __future__ import annotations

import pytest

from stowage import errors
from stowage.access.model import Target
from stowage.events.bindings import Binding
from stowage.events.causes import bucket_causes, sink_causes
from stowage.events.trace import TraceAge, age_limit, seconds_of

ARN = "arn:rustfs:sqs::qatlas:webhook"
ONLINE = [Target(ARN, "online")]
GOOD = Binding(ARN, ("s3:ObjectCreated:*",))
KEY = "stowage-canary/x"


def causes(bindings: list[Binding], targets: list[Target] | None = ONLINE) -> str:
    return "; ".join(cause.what for cause in bucket_causes("files", KEY, bindings, targets))


def test_a_good_binding_has_no_fault_even_beside_a_bad_one() -> None:
    assert causes([GOOD]) == ""
    assert causes([Binding("arn:rustfs:sqs::QATLAS:webhook", GOOD.events), GOOD]) == ""
    assert causes([GOOD], None) == ""


@pytest.mark.parametrize(
    ("bindings", "targets", "said"),
    [
        ([], ONLINE, "bound to no target"),
        ([Binding("arn:rustfs:sqs::QATLAS:webhook", GOOD.events)], ONLINE, f"in lower case: {ARN}"),
        ([Binding("arn:rustfs:sqs::other:webhook", GOOD.events)], ONLINE, f"does not have (it has: {ARN})"),
        ([GOOD], [], "are notifications switched on?"),
        ([Binding(ARN, ("s3:ObjectRemoved:*",))], ONLINE, "bound without put"),
        ([Binding(ARN, GOOD.events, prefix="in/")], ONLINE, "prefix 'in/'"),
        ([GOOD], [Target(ARN, "offline")], "is offline"),
    ],
)
def test_each_way_of_swallowing_events_is_named(bindings: list[Binding], targets: list[Target], said: str) -> None:
    assert said in causes(bindings, targets)


def test_an_offline_target_may_come_back_and_the_others_will_not() -> None:
    offline = bucket_causes("files", KEY, [GOOD], [Target(ARN, "offline")])
    assert [cause.certain for cause in offline] == [False]
    assert all(cause.certain for cause in bucket_causes("files", KEY, [], ONLINE))


@pytest.mark.parametrize(
    ("age", "others", "said"),
    [
        (TraceAge("k", 5, 60), True, "the fault is in this binding"),
        (TraceAge("", None, 60), False, "nothing was ever written"),
        (TraceAge("k", 61, 60), False, "uploads are stuck"),
        (TraceAge("k", 59, 60), False, "does it post elsewhere?"),
    ],
)
def test_the_sink_is_judged_by_its_newest_object(age: TraceAge, others: bool, said: str) -> None:
    assert said in sink_causes("s3-events", age, others_arrived=others)[0].what


def test_the_age_may_reach_heartbeat_and_upload_time_and_two_turns_of_the_timer() -> None:
    assert age_limit(300, 60) == 300 + 60 + 2 * 10
    assert age_limit(5, 6) == 5 + 6 + 2 * 6
    assert age_limit(300, 3600) == 300 + 3600 + 2 * 60


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1m", 60), ("2h", 7200), (" 1D ", 86400)])
def test_a_duration_is_read_as_fluent_bit_takes_it(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "1.5m", "1 m", "m", "-1s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(errors.BadInputError, match="right: 60s"):
        seconds_of(text)
