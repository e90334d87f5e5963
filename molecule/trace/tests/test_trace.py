"""What the runs left: one good binding, a sink as the role has it, and a proof that an event arrived."""

import json

import pytest

from stowage.s3.connection import S3Settings, s3_client

testinfra_hosts = ["nas"]


@pytest.fixture(scope="module")
def client(host):
    """A client with the root key, as the store's own files have it."""
    keys = [host.file(f"/etc/rustfs/keys/{name}").content_string.strip() for name in ("access_key", "secret_key")]
    return s3_client(S3Settings(endpoint="http://172.29.84.11:9000", access_key=keys[0], secret_key=keys[1]))


def test_the_spoilt_binding_is_in_lower_case_again(client):
    found = client.get_bucket_notification_configuration(Bucket="filator")["QueueConfigurations"]
    assert [one["QueueArn"] for one in found] == ["arn:rustfs:sqs::qatlas:webhook"]


def test_the_bucket_of_the_trace_is_not_bound(client):
    assert not client.get_bucket_notification_configuration(Bucket="s3-events").get("QueueConfigurations")


def test_a_canary_arrived_after_the_drift_was_mended(client):
    proof = json.loads(client.get_object(Bucket="s3-events", Key="stowage-proof.json")["Body"].read())
    assert [one["arn"] for one in proof["filator"]["bindings"]] == ["arn:rustfs:sqs::qatlas:webhook"]


def test_the_sink_tries_for_ever_again(host):
    assert "retry_limit: 1000000" in host.file("/etc/fluent-bit/stowage/stowage.yaml").content_string
