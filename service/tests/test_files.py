"""Sections 2 and 3 of the contract, over HTTP, on every storage type."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import servers
from conftest import MakeSite, Site, sql

FIELDS = [
    "uuid",
    "checksum",
    "created_at",
    "tags",
    "metadata",
    "delete_at",
    "mime_type",
    "filename",
    "store",
    "identifier_in_store",
]
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+03:00")


def post(site: Site, content: bytes, name: str = "data.txt", **more: object) -> dict:
    answer = requests.post(f"{site.url}/attachments", files={"body": (name, content)}, timeout=60, **more)  # type: ignore[arg-type]
    assert answer.status_code == 201, answer.text
    return answer.json()


def put(site: Site, uuid: str, content: bytes, name: str = "data.txt", **more: object) -> requests.Response:
    return requests.put(f"{site.url}/attachments/{uuid}", files={"body": (name, content)}, timeout=60, **more)  # type: ignore[arg-type]


def get(site: Site, uuid: str, **headers: str) -> requests.Response:
    return requests.get(f"{site.url}/attachments/{uuid}", headers=headers, timeout=60, allow_redirects=False)


@pytest.mark.parametrize("size", [0, 1, 4096, 1 << 20, (1 << 20) + 1, 9 << 20, (24 << 20) + 77])
def test_bytes_come_back_as_they_were_sent(site: Site, size: int) -> None:
    data = os.urandom(size)
    item = post(site, data, "random.bin")
    assert item["checksum"] == hashlib.sha256(data).hexdigest()
    answer = get(site, item["uuid"])
    assert answer.status_code == 200
    assert answer.content == data
    assert answer.headers["content-length"] == str(size)


@pytest.mark.parametrize("check", ["crc32", "sha256"])
@pytest.mark.parametrize("size", [100, (3 << 20) + 5])
def test_bytes_that_changed_in_the_store_never_come_whole(make_site: MakeSite, check: str, size: int) -> None:
    site = make_site("db", FILATOR_VERIFY_READS=check)
    uuid = post(site, os.urandom(size))["uuid"]
    sql(site, "UPDATE attachment_blobs SET blob = set_byte(blob, 9, 255 - get_byte(blob, 9)) WHERE seq = 0")
    if size < 1 << 20:
        assert get(site, uuid).status_code == 503
    else:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            get(site, uuid)
    # The line is written behind the answer.
    servers.wait_for(lambda: "gave other bytes than were acknowledged" in site.app.log.read_text(), "the log", 10)


def test_a_file_from_before_crc32_is_checked_by_its_sha256(make_site: MakeSite) -> None:
    site = make_site("db")
    data = os.urandom(5000)
    uuid = post(site, data)["uuid"]
    sql(site, "UPDATE attachments SET crc32 = NULL")
    assert get(site, uuid).content == data
    sql(site, "UPDATE attachment_blobs SET blob = set_byte(blob, 9, 255 - get_byte(blob, 9))")
    assert get(site, uuid).status_code == 503


@pytest.mark.parametrize("tail", [0, 1, 8192, 1 << 14, (1 << 14) + 1])
def test_the_last_bytes_of_a_download_arrive_however_few_they_are(s3_site: Site, tail: int) -> None:
    data = os.urandom((2 << 20) + tail)
    uuid = post(s3_site, data)["uuid"]
    for _ in range(5):
        assert get(s3_site, uuid).content == data


def test_uploads_at_once_each_get_their_own_row(s3_site: Site) -> None:
    bodies = [secrets.token_bytes(100 + number) for number in range(60)]
    with ThreadPoolExecutor(20) as pool:
        items = list(pool.map(lambda body: post(s3_site, body), bodies))
    assert len({item["uuid"] for item in items}) == len(bodies)
    assert [get(s3_site, item["uuid"]).content for item in items] == bodies


def test_description_has_the_fields_in_order_and_times_with_milliseconds_and_offset(site: Site) -> None:
    item = post(
        site, b"hello", data={"metadata[Owner]": "me"}, headers={"X-METADATA-Topic": "t", "X_METADATA_Under": "u"}
    )
    assert list(item) == FIELDS
    assert re.fullmatch(r"[0-9a-f]{64}", item["uuid"])
    assert STAMP.fullmatch(item["created_at"])
    assert STAMP.fullmatch(item["delete_at"])
    lifetime = datetime.fromisoformat(item["delete_at"]) - datetime.fromisoformat(item["created_at"])
    assert lifetime == timedelta(days=1)
    assert item["metadata"] == {"owner": "me", "topic": "t", "under": "u"}
    assert (item["tags"], item["mime_type"], item["filename"]) == ([], "text/plain", "data.txt")
    answer = requests.get(f"{site.url}/attachments/{item['uuid']}.json", timeout=10)
    assert answer.json() == item
    assert list(answer.json()) == FIELDS


def test_unknown_files_are_not_found_in_the_contracts_words(site: Site) -> None:
    for path in (secrets.token_hex(32), secrets.token_hex(32) + ".json", "nonsense"):
        answer = get(site, path)
        assert answer.status_code == 404
        assert answer.json() == {"status": "error", "msg": "Not found"}


def test_put_creates_without_expiry_and_then_replaces(site: Site) -> None:
    uuid = secrets.token_hex(32)
    made = put(site, uuid, b"first", "one.txt")
    assert made.status_code == 201
    assert made.json()["delete_at"] is None
    changed = put(site, uuid, b"%PDF-1.7 second", "two.pdf")
    assert changed.status_code == 200
    item = changed.json()
    assert (item["uuid"], item["filename"], item["mime_type"]) == (uuid, "two.pdf", "application/pdf")
    assert item["created_at"] == made.json()["created_at"]
    assert get(site, uuid).content == b"%PDF-1.7 second"


def test_put_keeps_delete_at_and_metadata_unless_given(site: Site) -> None:
    item = post(site, b"a", data={"metadata[k]": "v", "delete_at": "2099-04-04 23:22:32"})
    assert item["delete_at"] == "2099-04-04T23:22:32.000+03:00"
    kept = put(site, item["uuid"], b"b").json()
    assert (kept["delete_at"], kept["metadata"]) == (item["delete_at"], {"k": "v"})
    changed = put(site, item["uuid"], b"c", data={"delete_at": "never", "metadata[k]": "w"}).json()
    assert (changed["delete_at"], changed["metadata"]) == (None, {"k": "w"})


def test_identical_put_writes_no_new_bytes(site: Site) -> None:
    for size in (10, 10 << 20):
        data = os.urandom(size)
        item = post(site, data)
        before = _everything(site)
        again = put(site, item["uuid"], data, "other.txt")
        assert again.status_code == 200
        assert again.json()["identifier_in_store"] == item["identifier_in_store"]
        assert again.json()["filename"] == "other.txt"
        assert _everything(site) == before
        assert get(site, item["uuid"]).content == data


def _everything(site: Site) -> int:
    """Count object versions (or nothing for the other storages)."""
    answer = site.s3.list_object_versions(Bucket=site.bucket)
    return len(answer.get("Versions", [])) + len(answer.get("DeleteMarkers", []))


def test_parallel_puts_of_one_uuid_leave_one_whole_file(site: Site) -> None:
    uuid = secrets.token_hex(32)
    bodies = [bytes([number]) * (200_000 + number) for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        codes = [answer.status_code for answer in pool.map(lambda body: put(site, uuid, body), bodies)]
    assert set(codes) <= {200, 201}
    assert get(site, uuid).content in bodies


def test_delete_removes_once(site: Site) -> None:
    item = post(site, b"gone soon")
    url = f"{site.url}/attachments/{item['uuid']}"
    assert requests.delete(url, timeout=10).status_code == 204
    assert requests.delete(url, timeout=10).status_code == 404
    assert get(site, item["uuid"]).status_code == 404


def test_expected_sha256_is_held_to(site: Site) -> None:
    for size in (100, 10 << 20):
        data = os.urandom(size)
        good = hashlib.sha256(data).hexdigest()
        post(site, data, params={"expected_sha256": good})
        post(site, data, data={"expected_sha256": good.upper()})
        before = _everything(site)
        answer = requests.post(
            f"{site.url}/attachments", params={"expected_sha256": "0" * 64}, files={"body": data}, timeout=30
        )
        assert answer.status_code == 422
        assert good in answer.json()["msg"]
        assert _everything(site) == before


def test_head_etag_and_conditions(site: Site) -> None:
    item = post(site, b"0123456789")
    etag = f'"{item["checksum"]}"'
    head = requests.head(f"{site.url}/attachments/{item['uuid']}", timeout=10)
    assert (head.status_code, head.headers["etag"], head.headers["content-length"]) == (200, etag, "10")
    assert head.content == b""
    assert get(site, item["uuid"], **{"If-None-Match": etag}).status_code == 304
    assert get(site, item["uuid"], **{"If-None-Match": f'"x", W/{etag}'}).status_code == 304
    assert get(site, item["uuid"], **{"If-None-Match": '"x"'}).status_code == 200
    assert get(site, item["uuid"], **{"If-Match": '"x"'}).status_code == 412


def test_ranges(site: Site) -> None:
    data = os.urandom((3 << 20) + 5)
    item = post(site, data)
    etag = f'"{item["checksum"]}"'
    for text, part in {
        "bytes=0-0": data[:1],
        "bytes=1048570-1048580": data[1048570:1048581],
        "bytes=3145728-": data[3145728:],
        "bytes=-7": data[-7:],
        "bytes=0-99999999": data,
    }.items():
        answer = get(site, item["uuid"], Range=text)
        assert answer.status_code == 206, text
        assert answer.content == part, text
        start = len(data) - len(part) if text.endswith("-7") else int(re.findall(r"\d+", text)[0])
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/{len(data)}"
    assert get(site, item["uuid"], Range=f"bytes={len(data)}-").status_code == 416
    assert get(site, item["uuid"], Range="bytes=2-1").content == data
    assert get(site, item["uuid"], Range="bytes=0-3", **{"If-Range": etag}).content == data[:4]
    assert get(site, item["uuid"], Range="bytes=0-3", **{"If-Range": '"old"'}).content == data


def test_several_ranges_come_as_multipart(site: Site) -> None:
    item = post(site, b"0123456789")
    answer = get(site, item["uuid"], Range="bytes=0-1,4-5,-1")
    assert answer.status_code == 206
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", answer.headers["content-type"])
    assert boundary
    assert answer.headers["content-length"] == str(len(answer.content))
    parts = answer.content.split(f"--{boundary[1]}".encode())
    assert [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts[1:-1]] == [b"01", b"45", b"9"]


def test_browsers_must_not_run_what_was_uploaded(site: Site) -> None:
    item = post(site, b"<html><script>alert(1)</script>", 'ev"il\u2603.html')
    answer = get(site, item["uuid"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment; filename=\"ev_il_.html\"; filename*=UTF-8''")
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"delete_at": "2001-01-01 00:00:00"}, "passed"),
        ({"delete_at": "tomorrow"}, "cannot be read"),
        ({"delete_at": "0001-01-01T00:00:00+23:00"}, "delete_at"),
        ({"delete_at": "9999-12-31T23:59:59-23:00"}, "delete_at"),
        ({"metadata[k]": "x" * 5000}, "longer"),
        ({"metadata[k]": "a\x00b"}, "NUL"),
        ({f"metadata[k{number}]": "v" for number in range(65)}, "At most 64"),
        ({"store_prefix": "../../etc"}, "store_prefix"),
        ({"expected_sha256": "abc"}, "64 hex"),
    ],
)
def test_wrong_fields_are_refused_and_leave_nothing(site: Site, fields: dict[str, str], word: str) -> None:
    before = _everything(site)
    answer = requests.post(f"{site.url}/attachments", files={"body": b"x"}, data=fields, timeout=10)
    assert answer.status_code == 422
    assert answer.json()["status"] == "error"
    assert word in answer.json()["msg"]
    assert _everything(site) == before


def test_missing_or_doubled_body_and_bad_uuid_are_refused(site: Site) -> None:
    answer = requests.post(f"{site.url}/attachments", files={"other": b"x"}, timeout=10)
    assert (answer.status_code, "body" in answer.json()["msg"]) == (422, True)
    twice = requests.post(f"{site.url}/attachments", files=[("body", b"x"), ("body", b"y")], timeout=10)
    assert twice.status_code == 422
    assert put(site, "abc", b"x").status_code == 422


@pytest.mark.parametrize("size", [10, 12 << 20])
def test_a_body_that_ends_early_is_never_acknowledged(site: Site, size: int) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="body"; filename="a"\r\n\r\n' + b"x" * size
    before = _everything(site)
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for cut in (body, body + b"\r\n--b", body + b"\r\n--b-"):
        answer = requests.post(f"{site.url}/attachments", data=cut, headers=headers, timeout=30)
        assert answer.status_code == 400, answer.text
    answer = requests.post(f"{site.url}/attachments", data=iter([body]), headers=headers, timeout=30)
    assert answer.status_code == 400
    plain = requests.post(f"{site.url}/attachments", data=b"plain", timeout=10)
    assert plain.status_code == 400
    assert _everything(site) == before


def test_key_holds_prefix_date_and_time_of_creation(s3_site: Site) -> None:
    item = post(s3_site, b"x")
    created = datetime.fromisoformat(item["created_at"])
    assert item["identifier_in_store"] == f"files-{created:%Y-%m-%d/%H-%M}/{item['uuid']}"
    other = post(s3_site, b"x", data={"store_prefix": "mine"})
    assert other["identifier_in_store"].startswith(f"mine-{created:%Y-%m-%d}/")
    late = requests.post(
        f"{s3_site.url}/attachments", files=[("body", ("a", b"x")), ("store_prefix", (None, "late"))], timeout=10
    )
    assert late.json()["identifier_in_store"].startswith("late-")
    head = s3_site.s3.get_object(Bucket=s3_site.bucket, Key=item["identifier_in_store"])
    assert head["Body"].read() == b"x"


def test_a_prefix_behind_a_large_file_still_decides_the_key(make_site: MakeSite) -> None:
    data = os.urandom(20 << 20)
    parts = [("body", ("a", data)), ("store_prefix", (None, "late"))]
    for kind, code in (("s3", 201), ("db", 201), ("local", 422)):
        site = make_site(kind, FILATOR_GC_GRACE_SECONDS="0")
        answer = requests.post(f"{site.url}/attachments", files=parts, timeout=60)
        assert answer.status_code == code, answer.text
        if code == 201:
            assert get(site, answer.json()["uuid"]).content == data
        if kind == "s3":
            assert answer.json()["identifier_in_store"].startswith("late-")
            site.app.run("sweep", "collect")
            assert _everything(site) == 1


def test_versioning_is_enabled_at_start(s3_site: Site) -> None:
    assert s3_site.s3.get_bucket_versioning(Bucket=s3_site.bucket)["Status"] == "Enabled"


def test_put_makes_a_new_version_under_the_same_key(s3_site: Site) -> None:
    item = post(s3_site, b"one")
    changed = put(s3_site, item["uuid"], b"two").json()
    assert changed["identifier_in_store"] == item["identifier_in_store"]
    listed = s3_site.s3.list_object_versions(Bucket=s3_site.bucket, Prefix=item["identifier_in_store"])
    assert len(listed["Versions"]) == 2


def test_redirect_is_signed_for_the_edge_that_was_asked(s3_site: Site) -> None:
    item = post(s3_site, b"x", "näme.txt")
    answer = requests.get(
        f"{s3_site.url}/attachments/{item['uuid']}", params={"redirect": 1}, timeout=10, allow_redirects=False
    )
    assert answer.status_code == 307
    parts = urlsplit(answer.headers["location"])
    assert parts.netloc == "files.example.org:9000"
    assert parts.path == f"/{s3_site.bucket}/{item['identifier_in_store']}"
    query = parse_qs(parts.query)
    assert "AWS4-HMAC-SHA256" in query["X-Amz-Algorithm"]
    assert query["response-content-disposition"][0].startswith("attachment")
    assert query["versionId"]


@pytest.mark.parametrize(
    ("said", "host"),
    [
        ("https://s3.north.example.org", "s3.north.example.org"),
        ("https://198.51.100.7:9443", "198.51.100.7:9443"),
        ("https://S3.North.example.org/", "s3.north.example.org"),
        ("https://evil.example", "files.example.org:9000"),
        ("https://s3.north.example.org.evil.example", "files.example.org:9000"),
        ("nonsense", "files.example.org:9000"),
        ("https://me:geheim@s3.example.org", "files.example.org:9000"),
    ],
)
def test_redirect_is_signed_for_the_endpoint_that_the_edge_names(make_site, said, host) -> None:
    site = make_site(
        FILATOR_PUBLIC_ENDPOINT_HEADER="X-Stowage-S3-Endpoint",
        FILATOR_EDGE_ENDPOINTS='["https://s3.north.example.org", "https://198.51.100.7:9443"]',
    )
    url = f"{site.url}/attachments/{post(site, b'x')['uuid']}"
    answer = requests.get(
        url, params={"redirect": 1}, headers={"X-Stowage-S3-Endpoint": said}, timeout=10, allow_redirects=False
    )
    assert urlsplit(answer.headers["location"]).netloc == host


def test_a_header_about_endpoints_is_not_believed_unless_the_service_is_told_to(s3_site: Site) -> None:
    url = f"{s3_site.url}/attachments/{post(s3_site, b'x')['uuid']}"
    answer = requests.get(
        url,
        params={"redirect": 1},
        headers={"X-Stowage-S3-Endpoint": "https://evil.example"},
        timeout=10,
        allow_redirects=False,
    )
    assert urlsplit(answer.headers["location"]).netloc == "files.example.org:9000"


def test_a_host_that_looks_like_an_endpoint_is_not_signed_for(s3_site: Site) -> None:
    url = f"{s3_site.url}/attachments/{post(s3_site, b'x')['uuid']}?redirect=1"
    answer = requests.get(url, headers={"Host": "https://evil.example"}, timeout=10, allow_redirects=False)
    assert "evil.example" not in answer.headers.get("location", "")


def test_redirect_without_a_public_endpoint_gives_the_bytes(make_site) -> None:
    site = make_site("db")
    item = post(site, b"bytes")
    answer = requests.get(f"{site.url}/attachments/{item['uuid']}", params={"redirect": "1"}, timeout=10)
    assert (answer.status_code, answer.content) == (200, b"bytes")


def test_curl_and_wget_examples_of_the_contract(site: Site, sample: Path, tmp_path: Path) -> None:
    def run(*command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    made = run(
        "curl",
        "-sS",
        "-F",
        f"body=@{sample}",
        "-F",
        "delete_at=never",
        "-H",
        "X-METADATA-A: b",
        f"{site.url}/attachments",
    )
    uuid = re.search(r'"uuid":"([0-9a-f]{64})"', made)
    assert uuid
    url = f"{site.url}/attachments/{uuid[1]}"
    assert run("curl", "-sS", url) == sample.read_text()
    assert '"filename":"data.txt"' in run("curl", "-sS", f"{url}.json")
    run("wget", "-q", "--content-disposition", "-P", str(tmp_path / "got"), url)
    assert (tmp_path / "got" / "data.txt").read_bytes() == sample.read_bytes()
    assert '"uuid":"' + uuid[1] in run("curl", "-sS", "-X", "PUT", "-F", f"body=@{sample}", url)
