"""s3_notification: a binding that the server accepts must be one that sends, and never one that eats itself."""

from __future__ import annotations

import os
import secrets
from typing import Any

import pytest
from botocore.exceptions import ClientError
from modules import ModuleFailedError, connection, run
from servers import Server
from sink import Sink

from stowage.s3.connection import s3_client

PUT_DELETE = ["put", "delete"]


@pytest.fixture(autouse=True)
def _events_reach_us(request: pytest.FixtureRequest) -> None:
    if "rustfs" not in request.node.name or "STOWAGE_RUSTFS_ENDPOINT" not in os.environ:
        return
    if "STOWAGE_RUSTFS_SINK_PORT" not in os.environ:
        pytest.skip("needs STOWAGE_RUSTFS_SINK_PORT, the loopback port to which that server's target qatlas sends")


@pytest.fixture
def bucket(notifying: Server) -> str:
    name = f"notify-{secrets.token_hex(4)}"
    run("s3_bucket", {**connection(notifying.settings, notifying.driver), "name": name})
    return name


def arn(server: Server, target: str = "qatlas") -> str:
    return f"arn:{'minio' if server.driver == 'minio' else 'rustfs'}:sqs::{target}:webhook"


def options(server: Server, bucket: str, **more: object) -> dict[str, Any]:
    bindings = [{"arn": arn(server), "events": PUT_DELETE}]
    return {**connection(server.settings, server.driver), "name": bucket, "bindings": bindings, **more}


def stored(server: Server, bucket: str) -> list[str]:
    found = s3_client(server.settings).get_bucket_notification_configuration(Bucket=bucket)
    return [one["QueueArn"] for one in found.get("QueueConfigurations", [])]


def test_a_binding_is_made_once_and_an_event_arrives(notifying: Server, bucket: str, sink: Sink) -> None:
    wanted = options(notifying, bucket)
    assert run("s3_notification", wanted, check=True)["changed"]
    assert stored(notifying, bucket) == []
    assert run("s3_notification", wanted)["changed"]
    assert not run("s3_notification", wanted)["changed"]
    s3_client(notifying.settings).put_object(Bucket=bucket, Key="in/a b.txt", Body=b"x")
    event = sink.wait_for(lambda one: one.get("Key") == f"{bucket}/in/a b.txt")
    assert event
    assert event["EventName"] == "s3:ObjectCreated:Put"
    assert event["Records"][0]["userIdentity"]["principalId"] == notifying.settings.access_key


def test_an_upper_case_arn_is_bound_in_lower_case_says_so_and_sends(telling: Server, sink: Sink) -> None:
    name = f"notify-{secrets.token_hex(4)}"
    run("s3_bucket", {**connection(telling.settings, telling.driver), "name": name})
    upper = [{"arn": "arn:rustfs:sqs::QATLAS:webhook", "events": PUT_DELETE}]
    answer = run("s3_notification", options(telling, name, bindings=upper))
    assert "bound in lower case" in str(answer["warnings"])
    assert stored(telling, name) == ["arn:rustfs:sqs::qatlas:webhook"]
    s3_client(telling.settings).put_object(Bucket=name, Key="upper", Body=b"x")
    assert sink.wait_for(lambda one: one.get("Key") == f"{name}/upper")


def test_a_server_takes_the_wrong_case_itself_and_sends_nothing(telling: Server, sink: Sink) -> None:
    """Why the module lower-cases: without it, this is what one gets."""
    name = f"notify-{secrets.token_hex(4)}"
    client = s3_client(telling.settings)
    client.create_bucket(Bucket=name)
    wrong = {"QueueConfigurations": [{"QueueArn": "arn:rustfs:sqs::QATLAS:webhook", "Events": ["s3:ObjectCreated:*"]}]}
    client.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=wrong)  # type: ignore[arg-type]
    client.put_object(Bucket=name, Key="silent", Body=b"x")
    run("s3_notification", options(telling, name))
    client.put_object(Bucket=name, Key="heard", Body=b"x")
    assert sink.wait_for(lambda one: one.get("Key") == f"{name}/heard")
    assert not [one for one in sink.events if one.get("Key") == f"{name}/silent"]


def test_the_bucket_of_the_sink_is_never_bound(notifying: Server, bucket: str) -> None:
    for check in (True, False):
        with pytest.raises(ModuleFailedError, match="for ever") as caught:
            run("s3_notification", options(notifying, bucket, sink_buckets=[bucket]), check=check)
        assert caught.value.answer["kind"] == "refused"
    assert stored(notifying, bucket) == []


def test_an_unknown_target_is_refused_and_nothing_is_stored(notifying: Server, bucket: str) -> None:
    unknown = [{"arn": arn(notifying, "nobody"), "events": PUT_DELETE}]
    with pytest.raises(ModuleFailedError):
        run("s3_notification", options(notifying, bucket, bindings=unknown))
    assert stored(notifying, bucket) == []


def test_a_misspelled_event_is_refused(notifying: Server, bucket: str) -> None:
    wrong = [{"arn": arn(notifying), "events": ["s3:ObjectCreated:Putt"]}]
    with pytest.raises(ModuleFailedError, match="unknown event s3:ObjectCreated:Putt"):
        run("s3_notification", options(notifying, bucket, bindings=wrong))


def test_exact_names_what_is_lost_and_at_least_keeps_it(notifying: Server, bucket: str) -> None:
    foreign = {
        "QueueConfigurations": [
            {
                "QueueArn": arn(notifying),
                "Events": ["s3:ObjectAccessed:Get"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "foreign/"}]}},
            }
        ]
    }
    client = s3_client(notifying.settings)
    client.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=foreign)  # type: ignore[arg-type]
    kept = run("s3_notification", options(notifying, bucket, mode="at_least"))
    assert (len(kept["bindings"]), kept["lost"]) == (2, [])
    exact = run("s3_notification", options(notifying, bucket))
    assert [one["prefix"] for one in exact["lost"]] == ["foreign/"]
    assert "foreign/" in exact["diff"][0]["before"]
    assert not run("s3_notification", options(notifying, bucket))["changed"]


def put_rules(server: Server, bucket: str, **lists: list[dict[str, Any]]) -> None:
    rules: Any = lists
    s3_client(server.settings).put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=rules)


def test_overlapping_rules_are_made_one_and_an_event_is_sent_once(notifying: Server, bucket: str, sink: Sink) -> None:
    inside = {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}}
    narrow = {"QueueArn": arn(notifying), "Events": ["s3:ObjectCreated:*"], "Filter": inside}
    put_rules(notifying, bucket, QueueConfigurations=[narrow])
    wanted = options(notifying, bucket, mode="at_least")
    answer = run("s3_notification", wanted)
    assert (answer["changed"], len(answer["bindings"]), answer["lost"]) == (True, 1, [])
    assert not run("s3_notification", wanted)["changed"]
    client = s3_client(notifying.settings)
    client.put_object(Bucket=bucket, Key="in/a", Body=b"x")
    client.put_object(Bucket=bucket, Key="last", Body=b"x")
    assert sink.wait_for(lambda one: one.get("Key") == f"{bucket}/last")
    assert len([one for one in sink.events if one.get("Key") == f"{bucket}/in/a"]) == 1


def test_rules_of_others_that_rustfs_would_refuse_stay_as_they_are(telling: Server) -> None:
    name = f"notify-{secrets.token_hex(4)}"
    run("s3_bucket", {**connection(telling.settings, telling.driver), "name": name})
    topic = {"TopicArn": "arn:aws:sns:eu-west-1:123456789012:all", "Events": ["s3:ObjectCreated:*"]}
    with pytest.raises(ClientError):
        put_rules(telling, name, TopicConfigurations=[topic])
    wanted = options(telling, name, mode="at_least")
    for check in (True, False):
        with pytest.raises(ModuleFailedError, match=f"rule to {topic['TopicArn']}") as caught:
            run("s3_notification", wanted, check=check)
        assert caught.value.answer["kind"] == "refused"
    found = s3_client(telling.settings).get_bucket_notification_configuration(Bucket=name)
    assert [one["TopicArn"] for one in found["TopicConfigurations"]] == [topic["TopicArn"]]
    answer = run("s3_notification", options(telling, name))
    assert [one["kind"] for one in answer["lost"]] == ["TopicConfigurations"]


def test_a_topic_to_a_target_of_the_server_is_kept_and_not_doubled(telling: Server) -> None:
    name = f"notify-{secrets.token_hex(4)}"
    run("s3_bucket", {**connection(telling.settings, telling.driver), "name": name})
    put_rules(telling, name, TopicConfigurations=[{"TopicArn": arn(telling), "Events": ["s3:ObjectRemoved:*"]}])
    wanted = options(telling, name, mode="at_least")
    assert run("s3_notification", wanted)["changed"]
    assert not run("s3_notification", wanted)["changed"]
    found = s3_client(telling.settings).get_bucket_notification_configuration(Bucket=name)
    assert [one["Events"] for one in found["TopicConfigurations"]] == [["s3:ObjectRemoved:*"]]
    assert [one["Events"] for one in found["QueueConfigurations"]] == [["s3:ObjectCreated:*"]]


def test_a_binding_removed_by_somebody_else_comes_back(notifying: Server, bucket: str) -> None:
    run("s3_notification", options(notifying, bucket))
    client = s3_client(notifying.settings)
    client.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    assert run("s3_notification", options(notifying, bucket), check=True)["changed"]
    assert run("s3_notification", options(notifying, bucket))["changed"]
    assert stored(notifying, bucket) != []


def test_all_bindings_are_taken_away_with_an_empty_list(notifying: Server, bucket: str) -> None:
    run("s3_notification", options(notifying, bucket))
    assert run("s3_notification", options(notifying, bucket, bindings=[]))["changed"]
    assert stored(notifying, bucket) == []
    assert not run("s3_notification", options(notifying, bucket, bindings=[]))["changed"]


def test_an_offline_target_is_refused_unless_allowed(telling: Server) -> None:
    name = f"notify-{secrets.token_hex(4)}"
    run("s3_bucket", {**connection(telling.settings, telling.driver), "name": name})
    dead = [{"arn": arn(telling, "dead"), "events": PUT_DELETE}]
    with pytest.raises(ModuleFailedError, match="is offline"):
        run("s3_notification", options(telling, name, bindings=dead))
    answer = run("s3_notification", options(telling, name, bindings=dead, allow_offline=True))
    assert answer["changed"]
    assert "is offline" in str(answer["warnings"])


def test_the_server_lists_its_targets_with_their_state(telling: Server) -> None:
    answer = run("s3_server_info", connection(telling.settings, telling.driver))
    states = {one["arn"].split(":")[4]: one["status"] for one in answer["targets"]}
    assert states == {"qatlas": "online", "dead": "offline"}
    assert answer["ready"] is True


def test_a_store_without_notifications_says_so(weed: Server) -> None:
    name = f"notify-{secrets.token_hex(4)}"
    run("s3_bucket", {**connection(weed.settings, "iam"), "name": name})
    with pytest.raises(ModuleFailedError, match="no bucket notifications"):
        run("s3_notification", options(weed, name))
