"""Section 4 of the contract: export, then delete exactly what was exported."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import socket
import subprocess
import time
import zipfile
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
import servers
from conftest import MakeSite, Site, s3_entry, sql
from test_files import get, post, put
from test_sweeps import sweep, versions

from filator.client import Client
from filator.commandline import Failed


def age(site: Site, *uuids: str) -> None:
    sql(
        site,
        "UPDATE attachments SET created_at = '2022-01-01', updated_at = '2022-01-01' WHERE uuid = ANY($1)",
        list(uuids),
    )


def begin(site: Site, date: str | None = "20220901") -> dict[str, Any]:
    answer = requests.post(f"{site.url}/attachments/archive/tx", data={"date": date} if date else {}, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def fetch(site: Site, tx: dict[str, Any], **params: str) -> zipfile.ZipFile:
    answer = requests.get(f"{site.url}/attachments/archive/{tx['uuid']}", params=params, timeout=60)
    assert answer.status_code == 200, answer.text
    return zipfile.ZipFile(io.BytesIO(answer.content))


def rows(archive: zipfile.ZipFile) -> list[dict[str, Any]]:
    names = [name for name in archive.namelist() if name.startswith("attachments/")]
    return [json.loads(line) for name in names for line in archive.read(name).splitlines()]


def close(site: Site, tx: dict[str, Any], **params: str) -> requests.Response:
    return requests.delete(f"{site.url}/attachments/archive/{tx['uuid']}", params=params, timeout=60)


@pytest.fixture
def both(make_site: MakeSite) -> Site:
    """Files in S3 (writable) and in the database."""
    return make_site(
        lambda weed, name: [s3_entry(weed, name), {"name": "db", "type": "db"}], FILATOR_GC_GRACE_SECONDS="0"
    )


def test_the_transaction_has_the_contracts_form(make_site: MakeSite) -> None:
    site = make_site("db")
    tx = begin(site)
    assert list(tx) == ["uuid", "ctx", "commit", "created_at", "updated_at"]
    assert re.fullmatch("[0-9a-f]{64}", tx["uuid"])
    assert (tx["ctx"], tx["commit"]) == ({"date": "2022-09-01T00:00:00+03:00"}, None)
    default = datetime.fromisoformat(begin(site, None)["ctx"]["date"])
    assert 88 <= (datetime.now(default.tzinfo) - default).days <= 93
    assert (default.hour, default.minute) == (0, 0)
    for bad in ("20990101", "2022-09-01", "yesterday"):
        answer = requests.post(f"{site.url}/attachments/archive/tx", params={"date": bad}, timeout=10)
        assert answer.status_code == 422
    missing = requests.get(f"{site.url}/attachments/archive/{'0' * 64}", timeout=10)
    assert (missing.status_code, missing.json()["msg"]) == (404, "Not found")


def test_files_of_db_leave_with_their_bytes_and_newer_ones_stay(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site("db")
    data = os.urandom(3_000_000)
    old, empty, new = post(site, data, "big.bin"), post(site, b"", "empty.txt"), post(site, b"new")
    age(site, old["uuid"], empty["uuid"])
    tx = begin(site)
    early = close(site, tx)
    assert (early.status_code, "Download" in early.json()["msg"]) == (409, True)
    answer = requests.post(f"{site.url}/attachments/archive/{tx['uuid']}", timeout=60)
    assert answer.headers["content-disposition"] == 'attachment; filename="attachments_le2022-09-01T00:00:00+03:00.zip"'
    path = tmp_path / "a.zip"
    path.write_bytes(answer.content)
    assert subprocess.run(["unzip", "-tq", path], check=False, capture_output=True).returncode == 0
    archive = zipfile.ZipFile(path)
    assert {row["uuid"] for row in rows(archive)} == {old["uuid"], empty["uuid"]}
    assert archive.read(f"blobs/{old['uuid']}") == data
    for name in archive.namelist():
        for entry in archive.read(name).decode().splitlines() if name.startswith("manifest/") else []:
            digest, _, member = entry.partition("  ")
            assert hashlib.sha256(archive.read(member)).hexdigest() == digest
    done = close(site, tx, message="vault 7")
    assert (done.json()["commit"], done.json()["ctx"]["count"]) == ("vault 7", 2)
    assert close(site, tx).json() == done.json()
    assert get(site, old["uuid"]).status_code == 404
    assert get(site, new["uuid"]).content == b"new"
    assert sql(site, "SELECT DISTINCT attachment_id FROM attachment_blobs") == [(new["uuid"],)]


def test_a_file_replaced_after_the_transaction_was_opened_is_not_deleted(make_site: MakeSite) -> None:
    site = make_site("db")
    one, two = post(site, b"one"), post(site, b"two")
    age(site, one["uuid"], two["uuid"])
    tx = begin(site)
    put(site, two["uuid"], b"changed")
    assert [row["uuid"] for row in rows(fetch(site, tx))] == [one["uuid"]]
    assert close(site, tx).json()["ctx"]["count"] == 1
    assert get(site, two["uuid"]).content == b"changed"


def test_s3_objects_are_listed_and_stay(both: Site) -> None:
    item = post(both, b"in s3")
    age(both, item["uuid"])
    tx = begin(both)
    archive = fetch(both, tx)
    [row] = rows(archive)
    assert (row["bucket"], row["identifier_in_store"], row["size"]) == (both.bucket, item["identifier_in_store"], 5)
    assert [row["version_id"]] == versions(both)
    assert not [name for name in archive.namelist() if name.startswith("blobs/")]
    assert close(both, tx, objects="delete").status_code == 409
    assert close(both, tx).json()["ctx"]["count"] == 1
    time.sleep(1.1)
    assert sweep(both, "orphans", FILATOR_ORPHAN_GRACE_SECONDS="1")["orphans"]["queued"] == 0
    assert [row["version_id"]] == versions(both)


def test_s3_objects_can_be_included_and_deleted(both: Site) -> None:
    item = post(both, b"in s3")
    age(both, item["uuid"])
    tx = begin(both)
    assert fetch(both, tx, objects="include").read(f"blobs/{item['uuid']}") == b"in s3"
    assert close(both, tx, objects="delete").status_code == 200
    sweep(both, "collect")
    assert versions(both) == []


def test_a_download_that_was_cut_does_not_allow_the_deletion(make_site: MakeSite) -> None:
    site = make_site("db")
    item = post(site, os.urandom(30_000_000))
    age(site, item["uuid"])
    tx = begin(site)
    with socket.create_connection(("127.0.0.1", site.app.port)) as sock:
        sock.sendall(f"GET /attachments/archive/{tx['uuid']} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert sock.recv(1000)
    servers.wait_for(lambda: "client gone" in site.app.log.read_text(), "the end of the request")
    assert close(site, tx).status_code == 409


def test_lost_bytes_break_the_download_off(both: Site) -> None:
    item = post(both, b"soon lost")
    age(both, item["uuid"])
    both.s3.delete_object(Bucket=both.bucket, Key=item["identifier_in_store"], VersionId=versions(both)[0])
    tx = begin(both)
    with pytest.raises(requests.RequestException):
        fetch(both, tx, objects="include")
    assert close(both, tx).status_code == 409


def test_the_commands_create_download_search_and_commit(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site("db")
    item = post(site, b"find me", "Report-2021.txt", data={"metadata[owner]": "anna"})
    age(site, item["uuid"])

    def run(*arguments: str, code: int = 0) -> str:
        done = site.app.run("archive", *arguments, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout

    url = ("--url", site.url)
    uuid = run("create", "20220901", *url).strip()
    assert run("commit", uuid, "--yes", "--unproven", *url, code=1) == ""
    got = json.loads(run("download", uuid, "-o", str(tmp_path), "--json", *url))
    assert (got["files"], got["blobs"]) == (1, 1)
    for wanted in (
        ("--uuid", item["uuid"][:8]),
        ("--filename", "report"),
        ("--checksum", item["checksum"]),
        ("--metadata", "owner=anna"),
    ):
        assert json.loads(run("search", got["file"], "--json", *wanted))["uuid"] == item["uuid"]
    assert run("search", got["file"], "--filename", "absent", code=1) == ""
    run("search", got["file"], "--uuid", item["uuid"], "--extract", str(tmp_path / "out"))
    assert next((tmp_path / "out").iterdir()).read_bytes() == b"find me"
    assert json.loads(run("commit", uuid, got["file"], "--yes", "--json", "-m", "kept", *url))["ctx"]["count"] == 1


def test_what_a_command_cannot_do_is_said_in_one_line(make_site: MakeSite) -> None:
    site = make_site("db")
    dead = f"http://127.0.0.1:{servers.free_port()}"
    for url, token, code, words in (
        ("ftp://x", "", 2, "--url ftp://x: must be an address"),
        ("http://[::1", "", 2, "--url http://[::1: must be an address"),
        ("http://a b", "", 2, "--url http://a b: must be an address"),
        (site.url, "cut\n", 2, "FILATOR_TOKEN holds a character"),
        (site.url, "ключ", 2, "FILATOR_TOKEN holds a character"),
        (dead, "", 69, f"{dead} does not answer ([Errno 111] Connection refused); is `filator serve` running there?"),
        (site.url, "", 1, "the service answered 404: Not found"),
    ):
        done = site.app.run(
            "archive", "commit", "A" * 64, "--yes", "--unproven", "--url", url, check=False, FILATOR_TOKEN=token
        )
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.startswith(f"filator: {words}")
        assert len(done.stderr.splitlines()) == 1
    bad = site.app.run("archive", "commit", "../etc/passwd", "--yes", "--url", site.url, check=False)
    assert (bad.returncode, "that `filator archive create` printed" in bad.stderr) == (2, True)
    with pytest.raises(Failed, match="is no file service: its answer is no JSON"):
        Client(f"{site.url}/metrics?").call("GET", "")


class BreaksOff(BaseHTTPRequestHandler):
    """Announces more than it sends, in a way that only shows at the end."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-disposition", 'attachment; filename="a.zip"')
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nhello\r\n")
        self.close_connection = True

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def test_a_download_that_breaks_off_leaves_nothing_and_says_so(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site("db", start=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), BreaksOff) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        done = site.app.run("archive", "download", "a" * 64, "-o", str(tmp_path), "--url", url, check=False)
        server.shutdown()
    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert "the download broke off after" in done.stderr
    assert "Traceback" not in done.stderr


def asked(site: Site, **request: Any) -> requests.Response:
    return requests.post(f"{site.url}/attachments/archive/tx", timeout=10, **request)


def test_a_transaction_takes_its_date_from_everywhere_or_says_why_not(make_site: MakeSite) -> None:
    site = make_site("db")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for request in (
        {"params": {"date": "20220901"}},
        {"data": {"date": "20220901"}},
        {"files": {"date": (None, "20220901")}},
        {"json": {"date": "20220901"}},
        {"json": {"date": 20220901}},
        {"data": '{"date": "20220901"}', "headers": {"Content-Type": "Application/JSON; charset=utf-8"}},
        {"params": {"date": "20220901"}, "json": {"date": "20220901"}},
        {"params": {"date": "20220901"}, "data": "", "headers": form},
        {"params": {"date": "20220901"}, "json": {"date": None}},
    ):
        answer = asked(site, **request)
        assert (answer.status_code, answer.json()["ctx"]) == (200, {"date": "2022-09-01T00:00:00+03:00"}), request
    before = sql(site, "SELECT count(*) FROM archive_txs")
    for status, words, request in (
        (422, "given twice", {"params": {"date": "20220901"}, "data": {"date": "20220902"}}),
        (422, "given twice", {"params": [("date", "20220901"), ("date", "20220902")]}),
        (422, "cannot be read", {"params": {"date": ""}}),
        (422, "cannot be read", {"params": {"date": "2022 9 1"}}),
        (422, "cannot be read", {"params": {"date": "2022090\N{FULLWIDTH DIGIT ONE}"}}),
        (422, "calendar", {"params": {"date": "00010101"}}),
        (422, "'until' is unknown here; known: date", {"params": {"until": "20220901"}}),
        (422, "'Date' is unknown", {"data": {"Date": "20220901"}}),
        (422, "is unknown", {"data": '{"date": "20220901"}', "headers": form}),
        (422, "must be text", {"json": {"date": ["20220901"]}}),
        (422, "must be text", {"json": {"date": True}}),
        (400, "must be an object", {"json": ["20220901"]}),
        (400, "JSON object", {"data": '{"date"', "headers": {"Content-Type": "application/json"}}),
        (400, "JSON object", {"data": "[" * 60000, "headers": {"Content-Type": "application/json"}}),
        (415, "text/plain", {"data": "date=20220901", "headers": {"Content-Type": "text/plain"}}),
    ):
        answer = asked(site, **request)
        assert (answer.status_code, words in answer.json()["msg"]) == (status, True), (request, answer.text)
    assert sql(site, "SELECT count(*) FROM archive_txs") == before


def test_an_archive_over_http_1_0_is_refused(make_site: MakeSite) -> None:
    site = make_site("db")
    tx = begin(site)
    with socket.create_connection(("127.0.0.1", site.app.port)) as sock:
        sock.sendall(f"GET /attachments/archive/{tx['uuid']} HTTP/1.0\r\n\r\n".encode())
        head = sock.makefile("rb").readline()
    assert b" 505 " in head
    assert close(site, tx).status_code == 409


def test_files_that_leave_at_the_end_of_time(make_site: MakeSite) -> None:
    site = make_site("db")
    for late in (
        "9999-12-31T23:59:59Z",
        "9999-12-31 23:59:59",
        "9999-12-31T23:59:59-12:00",
    ):
        answer = requests.post(f"{site.url}/attachments", files={"body": b"x"}, data={"delete_at": late}, timeout=10)
        assert (answer.status_code, "lies beyond 9999-12-30" in answer.json()["msg"]) == (422, True), late
    early = requests.post(
        f"{site.url}/attachments", files={"body": b"x"}, data={"delete_at": "0001-01-01T00:00:00+14:00"}, timeout=10
    )
    assert (early.status_code, "passed" in early.json()["msg"]) == (422, True)
    assert post(site, b"x", data={"delete_at": "9999-12-30T12:00:00Z"})["delete_at"] == "9999-12-30T15:00:00.000+03:00"
    item = post(site, b"from before")
    age(site, item["uuid"])
    sql(site, "UPDATE attachments SET delete_at = '9999-12-31T23:59:59Z' WHERE uuid = $1", item["uuid"])
    described = requests.get(f"{site.url}/attachments/{item['uuid']}.json", timeout=10).json()
    assert described["delete_at"] == "9999-12-31T23:59:59.000+00:00"
    tx = begin(site)
    [row] = rows(fetch(site, tx))
    assert row["delete_at"] == "9999-12-31T23:59:59.000+00:00"
    assert close(site, tx).json()["ctx"]["count"] == 1


def test_unreadable_files_are_listed_and_left(both: Site, tmp_path: Path) -> None:
    lost, whole = post(both, b"soon lost", "lost.txt"), post(both, b"whole")
    age(both, lost["uuid"], whole["uuid"])
    [version] = both.s3.list_object_versions(Bucket=both.bucket, Prefix=lost["identifier_in_store"])["Versions"]
    both.s3.delete_object(Bucket=both.bucket, Key=lost["identifier_in_store"], VersionId=version["VersionId"])
    tx = both.app.run("archive", "create", "20220901", "--url", both.url).stdout.strip()
    options = ["-o", str(tmp_path), "--objects", "include", "--url", both.url]
    broken = both.app.run("archive", "download", tx, *options, check=False)
    assert (broken.returncode, "--skip-unreadable" in broken.stderr) == (1, True)
    got = both.app.run("archive", "download", tx, "--skip-unreadable", "--json", *options)
    told = json.loads(got.stdout)
    assert (told["files"], told["unreadable"]) == (1, 1)
    assert "NOT in the ZIP" in got.stderr
    archive = zipfile.ZipFile(told["file"])
    [row] = rows(archive)
    assert row["uuid"] == whole["uuid"]
    unreadable = json.loads(archive.read("unreadable/000001.jsonl"))
    assert (unreadable["uuid"], unreadable["filename"], bool(unreadable["reason"])) == (lost["uuid"], "lost.txt", True)
    listed = b"".join(archive.read(name) for name in archive.namelist() if name.startswith("manifest/")).decode()
    digest = hashlib.sha256(archive.read("unreadable/000001.jsonl")).hexdigest()
    assert f"{digest}  unreadable/000001.jsonl" in listed
    done = both.app.run("archive", "commit", tx, told["file"], "--yes", "--json", "--url", both.url)
    ctx = json.loads(done.stdout)["ctx"]
    assert (ctx["count"], ctx["left"]["unreadable"]) == (1, 1)
    assert "not deleted: 1 unreadable" in done.stderr
    assert sql(both, "SELECT uuid FROM attachments") == [(lost["uuid"],)]


def test_damaged_bytes_in_the_database_are_unreadable_too(make_site: MakeSite) -> None:
    site = make_site("db")
    items = [post(site, data) for data in (b"damaged", b"shorter", b"gone", b"whole")]
    age(site, *(it["uuid"] for it in items))
    change = "UPDATE attachment_blobs SET blob = $2 WHERE attachment_id = $1"
    sql(site, change, items[0]["uuid"], b"DAMAGED")
    sql(site, change, items[1]["uuid"], b"short")
    sql(site, "DELETE FROM attachment_blobs WHERE attachment_id = $1", items[2]["uuid"])
    tx = begin(site)
    with pytest.raises(requests.RequestException):
        fetch(site, tx)
    archive = fetch(site, tx, unreadable="skip")
    assert [row["uuid"] for row in rows(archive)] == [items[3]["uuid"]]
    assert close(site, tx).json()["ctx"]["left"]["unreadable"] == 3
    assert len(sql(site, "SELECT 1 FROM attachments")) == 3


def test_the_digest_of_the_zip_decides_which_rows_may_go(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site("db")
    one, two = post(site, b"one"), post(site, b"two")
    age(site, one["uuid"], two["uuid"])
    tx = begin(site)
    url = f"{site.url}/attachments/archive/{tx['uuid']}"
    first = requests.get(url, timeout=60).content
    put(site, two["uuid"], b"changed")
    second = requests.get(url, timeout=60).content
    cut = tmp_path / "cut.zip"
    cut.write_bytes(first[:-1])
    answer = close(site, tx, sha256=hashlib.sha256(first[:-1]).hexdigest())
    assert (answer.status_code, "is not what was sent" in answer.json()["msg"]) == (409, True)
    assert close(site, tx, sha256="abc").status_code == 422
    run = ("archive", "commit", tx["uuid"])
    for arguments, code, words in (
        ((), 2, "name the ZIP that was downloaded"),
        (("--sha256", "0" * 64, "--unproven"), 2, "name the ZIP that was downloaded"),
        ((str(cut),), 1, "the service answered 409: No complete download of this transaction has that sha256"),
    ):
        done = site.app.run(*run, *arguments, "--yes", "--url", site.url, check=False)
        assert (done.returncode, done.stdout, done.stderr.startswith(f"filator: {words}")) == (code, "", True)
    assert len(sql(site, "SELECT 1 FROM attachments")) == 2
    whole = tmp_path / "first.zip"
    whole.write_bytes(first)
    done = site.app.run(*run, str(whole), "--yes", "--json", "--url", site.url)
    ctx = json.loads(done.stdout)["ctx"]
    assert (ctx["count"], ctx["left"]["changed"]) == (1, 1)
    assert ctx["archive"]["sha256"] == hashlib.sha256(first).hexdigest()
    assert get(site, two["uuid"]).content == b"changed"
    assert close(site, tx).json()["ctx"] == ctx
    assert close(site, tx, sha256=hashlib.sha256(second).hexdigest()).status_code == 409


def test_what_search_cannot_extract_is_one_line_each(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site("db")
    long = post(site, b"long name", "🙂" * 60 + ".tar.gz")
    bad = post(site, b"damaged in the vault", "bad.txt")
    age(site, long["uuid"], bad["uuid"])
    tx = begin(site)
    data = requests.get(f"{site.url}/attachments/archive/{tx['uuid']}", timeout=60).content
    archive = tmp_path / "a.zip"
    archive.write_bytes(data.replace(b"damaged in the vault", b"DAMAGED in the vault"))
    out = tmp_path / "out"
    done = site.app.run("archive", "search", str(archive), "--extract", str(out), check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 2)
    assert re.fullmatch(rf"filator: .*a.zip: the bytes of {bad['uuid']} cannot be extracted: .*\n", done.stderr)
    [written] = out.iterdir()
    assert (written.read_bytes(), written.suffix) == (b"long name", ".gz")
    archive.write_bytes(data[: len(data) // 2])
    half = site.app.run("archive", "search", str(archive), check=False)
    assert (half.returncode, half.stdout) == (1, "")
    assert re.fullmatch(r"filator: .*a.zip cannot be read: .*\n", half.stderr)
    nowhere = site.app.run("archive", "search", str(archive), "--extract", f"{archive}/x", check=False)
    assert (nowhere.returncode, len(nowhere.stderr.splitlines())) == (1, 1)


def test_the_lists_of_an_archive_that_nobody_commits_go_all_at_once(make_site: MakeSite) -> None:
    site = make_site("db", FILATOR_ARCHIVE_LIST_DAYS="5")
    item = post(site, b"old")
    age(site, item["uuid"])
    tx = begin(site)
    fetch(site, tx)
    fetch(site, tx)
    last = "(SELECT max(id) FROM archive_downloads)"
    old = f"UPDATE archive_downloads SET beat_at = now() - interval '6 days' WHERE id %s {last}"
    sql(site, old % "<")
    assert sweep(site, "archives")["archives"] == {"finished": 0, "forgotten": 0}
    assert len(sql(site, "SELECT 1 FROM archive_downloads")) == 2
    sql(site, old % "=")
    assert sweep(site, "archives")["archives"] == {"finished": 0, "forgotten": 1}
    assert sql(site, "SELECT 1 FROM archive_downloads UNION ALL SELECT 1 FROM archive_rows") == []
    assert close(site, tx).status_code == 409
    fetch(site, tx)
    assert close(site, tx).json()["ctx"]["count"] == 1
