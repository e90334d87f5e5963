"""What a program or a colleague does with the file service, through the edges, with curl."""

import dataclasses
import hashlib
import os
from urllib.parse import urlsplit


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_uploaded_at_one_edge_comes_back_at_the_other(first, last, a_file):
    described = first.upload(a_file)
    assert described["checksum"] == sha256(a_file.read_bytes())
    assert described["filename"] == "report 1.bin"
    fetched = last.curl(f"{last.service_url}/attachments/{described['uuid']}", expect=200)
    assert fetched.body == a_file.read_bytes()
    assert fetched.headers["x-content-type-options"] == "nosniff"


def test_the_description_is_the_same_at_every_edge(first, last, a_file):
    described = first.upload(a_file, "-F", "metadata[Owner]=ops")
    again = last.curl(f"{last.service_url}/attachments/{described['uuid']}.json", expect=200)
    assert again.body
    assert described["metadata"] == {"owner": "ops"}
    assert sha256(again.body) == sha256(first.curl(f"{first.service_url}/attachments/{described['uuid']}.json").body)


def test_each_edge_presigns_for_its_own_endpoint_and_the_link_opens(edges, a_file):
    uuid = edges[0].upload(a_file)["uuid"]
    for edge in edges:
        answer = edge.curl(f"{edge.service_url}/attachments/{uuid}?redirect=1", expect=307)
        location = answer.headers["location"]
        # Host and port: a signature made without the port opens nothing on an edge at ip:port.
        assert urlsplit(location).netloc == urlsplit(edge.s3_url).netloc
        assert edge.curl(location, expect=200).body == a_file.read_bytes()


def test_replacing_a_file_is_seen_at_every_edge(first, last, a_file, tmp_path):
    described = first.upload(a_file)
    other = tmp_path / "other.txt"
    other.write_bytes(os.urandom(70_000))
    url = f"/attachments/{described['uuid']}"
    first.curl("-X", "PUT", "-F", f"body=@{other}", f"{first.service_url}{url}", expect=200)
    assert last.curl(f"{last.service_url}{url}", expect=200).body == other.read_bytes()


def test_put_under_a_new_uuid_creates(first, a_file):
    uuid = os.urandom(32).hex()
    first.curl("-X", "PUT", "-F", f"body=@{a_file}", f"{first.service_url}/attachments/{uuid}", expect=201)
    assert first.curl(f"{first.service_url}/attachments/{uuid}", expect=200).body == a_file.read_bytes()


def test_an_unknown_file_is_not_found(first):
    answer = first.curl(f"{first.service_url}/attachments/{'0' * 64}", expect=404)
    assert answer.body == b'{"status":"error","msg":"Not found"}'


def test_strangers_are_refused(edges):
    for edge in edges:
        stranger = dataclasses.replace(edge, token="")
        for method, path in (
            ("POST", "/attachments"),
            ("PUT", f"/attachments/{'0' * 64}"),
            ("DELETE", f"/attachments/{'0' * 64}"),
            ("GET", f"/attachments/{'0' * 64}"),
            ("POST", "/attachments/archive/tx?date=never"),
            ("DELETE", f"/attachments/archive/{'0' * 64}"),
            ("GET", "/"),
            ("GET", "/readyz"),
        ):
            stranger.curl("-X", method, f"{edge.service_url}{path}", expect=401)


def test_a_write_token_operates_nothing(edges):
    for edge in edges:
        edge.curl("-X", "POST", f"{edge.service_url}/attachments/archive/tx?date=never", expect=403)
        edge.curl(f"{edge.service_url}/", expect=403)


def test_metrics_are_not_for_the_outside(edges):
    for edge in edges:
        edge.curl(f"{edge.service_url}/metrics", expect=404)
