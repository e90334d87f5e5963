"""What the outside may not do with the store behind an edge, and what the edge must not do to requests."""

import pytest


def test_the_bucket_is_closed_to_anonymous_requests(edges, site):
    for edge in edges:
        edge.curl(f"{edge.s3_url}/{site['bucket']}", expect=403)
        edge.curl("-X", "DELETE", f"{edge.s3_url}/{site['bucket']}", expect=403)


def refused_by_the_edge_itself(answer):
    """Caddy refuses with an empty body, nginx with its own page; a store would have said why in XML or JSON."""
    return answer.body == b"" or b"<center>nginx</center>" in answer.body


@pytest.mark.parametrize("path", ["/rustfs/admin/v3/info", "/minio/admin/v3/info", "//rustfs/admin/v3/info"])
def test_administration_is_not_offered_outside(edges, path):
    for edge in edges:
        assert refused_by_the_edge_itself(edge.curl("--path-as-is", f"{edge.s3_url}{path}", expect=403))


def test_iam_is_not_offered_outside(edges):
    for edge in edges:
        answer = edge.curl("-d", "Action=ListUsers&Version=2010-05-08", f"{edge.s3_url}/", expect=403)
        assert refused_by_the_edge_itself(answer)


def test_bytes_come_uncompressed_whatever_the_client_accepts(edges, tmp_path):
    plain = tmp_path / "plain.txt"
    plain.write_text("the same line again\n" * 5000)
    uuid = edges[0].upload(plain)["uuid"]
    for edge in edges:
        location = edge.curl(f"{edge.service_url}/attachments/{uuid}?redirect=1", expect=307).headers["location"]
        answer = edge.curl("-H", "Accept-Encoding: gzip", location, expect=200)
        assert "content-encoding" not in answer.headers
        assert answer.body == plain.read_bytes()


def test_a_presigned_link_opens_at_its_own_edge_only(edges, a_file):
    if len(edges) < 2:
        pytest.skip("needs two edges")
    here, there = edges[0], edges[1]
    uuid = here.upload(a_file)["uuid"]
    location = here.curl(f"{here.service_url}/attachments/{uuid}?redirect=1", expect=307).headers["location"]
    elsewhere = location.replace(here.s3_url, there.s3_url)
    assert b"SignatureDoesNotMatch" in there.curl(elsewhere, expect=403).body


def test_which_endpoint_a_link_is_signed_for_is_the_edges_to_say(edges, a_file):
    uuid = edges[0].upload(a_file)["uuid"]
    url = f"/attachments/{uuid}?redirect=1"
    for edge in edges:
        forged = ["-H", "X-Stowage-S3-Endpoint: https://evil.example"]
        location = edge.curl(*forged, f"{edge.service_url}{url}", expect=307).headers["location"]
        assert location.startswith(f"{edge.s3_url}/")
