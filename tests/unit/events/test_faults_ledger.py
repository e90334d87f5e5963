"""The judge of `make faults-trace` finds what it exists to find."""

from __future__ import annotations

from trace_load import Act, Ledger, judge

from stowage.events.normal import Event

PUT: Act = ("KEY1", "files", "a", "put")
DELETE: Act = ("KEY2", "files", "a", "delete")


def event(name: str, principal: str, **more: str) -> Event:
    return Event("files", more.pop("key", "a"), f"s3:{name}", principal, **more)


def ledger(*done: Act, unanswered: tuple[Act, ...] = ()) -> Ledger:
    return Ledger(dict.fromkeys(done, 0.0), set(unanswered))


BOTH = [event("ObjectCreated:Put", "KEY1"), event("ObjectRemoved:DeleteMarkerCreated", "KEY2")]


def test_a_whole_trace_has_no_fault() -> None:
    found = judge(ledger(PUT, DELETE), BOTH)
    assert (found.missing, found.wrong_key, found.copies, found.strange) == ([], [], 0, [])


def test_an_acknowledged_operation_without_an_event_is_missing() -> None:
    assert judge(ledger(PUT, DELETE), BOTH[:1]).missing == [DELETE]


def test_an_event_of_another_key_does_not_count() -> None:
    found = judge(ledger(PUT), [event("ObjectCreated:Put", "ROOT")])
    assert (found.missing, found.wrong_key) == ([], [PUT])


def test_copies_are_counted_and_two_events_of_one_key_are_no_copies() -> None:
    again = event("ObjectCreated:Put", "KEY1", time="later")
    assert judge(ledger(PUT, DELETE), [*BOTH, BOTH[0], again]).copies == 1


def test_an_operation_without_an_answer_may_have_an_event_or_none() -> None:
    assert judge(ledger(unanswered=(PUT,)), []).missing == []
    found = judge(ledger(unanswered=(PUT,)), BOTH[:1])
    assert (found.of_unanswered, found.strange) == (1, [])


def test_an_event_of_what_nobody_sent_is_strange() -> None:
    assert judge(ledger(PUT), [*BOTH[:1], event("ObjectCreated:Put", "KEY1", key="other")]).strange
