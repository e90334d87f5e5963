"""What an edge must not do to requests, done to it on purpose: each is noticed, by either proxy.

Configurations are spoiled where they lie and put back by the same test; that the roles would mend them is shown by the
scenario default.
"""

import json
import os
import re

import boto3
import pytest
import testinfra
from botocore.config import Config
from botocore.exceptions import ClientError

testinfra_hosts = ["edge"]

CONF = {"caddy": "/etc/caddy/Caddyfile", "nginx": "/etc/nginx/nginx.conf"}
# Both lines: SeaweedFS looks at X-Forwarded-Host before Host, RustFS at Host alone (docs/quirks.md).
HOST_WITHOUT_PORT = {
    "caddy": r"s/^\(\t*\)reverse_proxy .*/&\n\1\theader_up Host {host}\n\1\theader_up X-Forwarded-Host {host}/",
    "nginx": "s/Host $http_host;/Host $host;/",
}
HEADERS_DROPPED = {
    "nginx": "s/underscores_in_headers on/underscores_in_headers off/; "
    "s/ignore_invalid_headers off/ignore_invalid_headers on/",
}
COMPRESSED = {
    "caddy": r"s/^\(\t*\)reverse_proxy /\1encode gzip\n&/",
    "nginx": "s/gzip off;/gzip on; gzip_types *; gzip_proxied any; gzip_min_length 1;/",
}


@pytest.fixture
def proxy(host):
    return host.ansible.get_variables().get("edge_proxy", "caddy")


@pytest.fixture
def edge(host, edges):
    name = host.ansible.get_variables()["inventory_hostname"]
    return next(edge for edge in edges if edge.name == name)


@pytest.fixture
def spoil(host, proxy):
    """Change the proxy's configuration by a sed script; put back at the end."""
    path = CONF[proxy]

    def change(scripts):
        host.check_output(
            f"cp -p {path} {path}.good && sed -i '{scripts[proxy]}' {path} && ! cmp -s {path} {path}.good"
        )
        host.check_output(f"systemctl reload {proxy}")
        # The reload of nginx is a signal: the old workers may answer once more.
        host.check_output("sleep 1")

    yield change
    host.check_output(f"! test -e {path}.good || {{ mv {path}.good {path} && systemctl reload {proxy} && sleep 1; }}")


@pytest.fixture
def link(edge, tmp_path):
    """A presigned link of this edge to a file that compresses well, and its bytes."""
    plain = tmp_path / "plain.txt"
    plain.write_text("the same line again\n" * 5000)
    uuid = edge.upload(plain)["uuid"]
    return edge.curl(f"{edge.service_url}/attachments/{uuid}?redirect=1", expect=307).headers[
        "location"
    ], plain.read_bytes()


def test_a_link_opens_and_comes_as_it_was_stored(edge, link):
    answer = edge.curl("-H", "Accept-Encoding: gzip", link[0], expect=200)
    assert answer.body == link[1]
    assert "content-encoding" not in answer.headers


def test_a_link_does_not_open_where_host_loses_its_port(edge, link, spoil):
    if not re.search(r":\d+$", edge.s3_url):
        pytest.skip("needs an edge whose object site has a port of its own")
    spoil(HOST_WITHOUT_PORT)
    assert b"SignatureDoesNotMatch" in edge.curl(link[0], expect=403).body


def test_compression_on_the_way_is_seen_by_the_client(edge, link, spoil):
    spoil(COMPRESSED)
    answer = edge.curl("-H", "Accept-Encoding: gzip", link[0], expect=200)
    assert answer.headers.get("content-encoding") == "gzip"


def test_metadata_of_any_name_passes_with_its_signature(host, edge):
    if edge.address:
        pytest.skip("needs an edge that boto3 can reach by address")
    s3 = client(edge)
    bucket, key = storage()["bucket"], "probes/under_score"
    s3.put_object(Bucket=bucket, Key=key, Body=b"x" * 20_000_000, Metadata={"my_key": "1"})
    try:
        # Caddy writes header names its own way, and SeaweedFS keeps the letters as they came.
        kept = s3.head_object(Bucket=bucket, Key=key)["Metadata"]
        assert {name.lower(): value for name, value in kept.items()} == {"my_key": "1"}
    finally:
        version = s3.head_object(Bucket=bucket, Key=key)["VersionId"]
        s3.delete_object(Bucket=bucket, Key=key, VersionId=version)


def test_a_header_that_is_dropped_on_the_way_breaks_the_signature(edge, proxy, spoil):
    if edge.address or proxy != "nginx":
        pytest.skip("needs an edge with nginx, which can drop headers, that boto3 can reach by address")
    spoil(HEADERS_DROPPED)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client(edge).put_object(Bucket=storage()["bucket"], Key="probes/dropped", Body=b"x", Metadata={"my_key": "1"})


def test_a_key_gets_nothing_that_its_policy_withholds_through_an_edge_either(edge):
    if edge.address:
        pytest.skip("needs an edge that boto3 can reach by address")
    with pytest.raises(ClientError):
        client(edge).create_bucket(Bucket="not-mine")


def storage():
    """The storage of the file service, from the host that runs it."""
    inventory = os.environ["STOWAGE_SITE"]
    key = f"{inventory}/../../../.lab/molecule/edges/ssh_key"
    hub = testinfra.get_host(f"ansible://hub?ansible_inventory={inventory}", ssh_identity_file=key)
    text = hub.file("/etc/filator/filator.env").content_string
    return json.loads(re.search(r"^STORAGES_CONFIGURATIONS='(.+)'$", text, re.MULTILINE)[1])[0]


def client(edge):
    used = storage()
    return boto3.client(
        "s3",
        endpoint_url=edge.s3_url,
        aws_access_key_id=used["access_key"],
        aws_secret_access_key=used["secret_key"],
        region_name=used["region"],
        verify=edge.ca_bundle,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
