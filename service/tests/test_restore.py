"""`filator versions` and `filator restore`, as an operator runs them."""

from __future__ import annotations

import json
import os
from subprocess import CompletedProcess
from typing import Any

import pytest
import servers
from conftest import MakeSite, Site, s3_entry, sql
from test_files import get, post, put
from test_replaced import bodies, everything, latest, named, replaced


@pytest.fixture(scope="module")
def place(make_site: MakeSite) -> Site:
    return make_site("s3", FILATOR_GC_GRACE_SECONDS="0")


def listed(site: Site, uuid: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(site.app.run("versions", uuid, "--json").stdout)["versions"]
    return found


def refused(done: CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("filator: ")]
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize("size", [0, 5, 20 << 20])
def test_an_overwritten_file_comes_back_byte_for_byte(make_site: MakeSite, size: int) -> None:
    site = make_site("s3", FILATOR_GC_GRACE_SECONDS="0")
    data = os.urandom(size)
    item = post(site, data, "the good one.pdf", data={"metadata[owner]": "anna", "delete_at": "2099-01-01 00:00:00"})
    put(site, item["uuid"], b"wrong", "wrong.txt")
    dry = site.app.run("restore", item["uuid"], "--dry-run")
    assert dry.stdout.startswith("would restore")
    assert get(site, item["uuid"]).content == b"wrong"
    done = json.loads(site.app.run("restore", item["uuid"], "--json").stdout)
    assert (done["changed"], done["checksum"]) == (True, item["checksum"])
    assert get(site, item["uuid"]).content == data
    assert json.loads(get(site, f"{item['uuid']}.json").text) == item
    again = site.app.run("restore", item["uuid"])
    assert again.stdout.startswith("already")
    everything(site)
    assert bodies(site) == [data, b"wrong", data]
    assert latest(site, item["identifier_in_store"]) == named(site, item["uuid"])


def test_the_list_says_which_version_is_what(place: Site) -> None:
    item = replaced(place, b"one", b"three")
    place.s3.put_object(Bucket=place.bucket, Key=item["identifier_in_store"], Body=b"stray")
    rows = listed(place, item["uuid"])
    assert [(it["state"], it["size"]) for it in rows] == [("unrecorded", 5), ("current", 5), ("replaced", 3)]
    assert rows[1]["version_id"] == named(place, item["uuid"])
    assert (rows[2]["checksum"], rows[2]["filename"], rows[0]["checksum"]) == (item["checksum"], "data.txt", None)
    table = place.app.run("versions", item["uuid"]).stdout.splitlines()
    assert len(table) == 4
    assert all(it["version_id"] in line for it, line in zip(rows, table[1:], strict=True))
    done = place.app.run("restore", item["uuid"], "--version-id", rows[0]["version_id"])
    assert done.stdout.startswith("restored")
    assert get(place, item["uuid"]).content == b"stray"


def test_a_named_version_comes_back_and_the_file_keeps_its_key(place: Site) -> None:
    item = post(place, b"one", data={"store_prefix": "mine/own"})
    for body in (b"two", b"three"):
        put(place, item["uuid"], body, data={"store_prefix": "mine/own"})
    first = listed(place, item["uuid"])[-1]["version_id"]
    assert place.app.run("restore", item["uuid"], "--version-id", first).stdout.startswith("restored")
    assert get(place, item["uuid"]).content == b"one"
    assert json.loads(get(place, f"{item['uuid']}.json").text)["identifier_in_store"] == item["identifier_in_store"]
    assert place.app.run("restore", item["uuid"], "--version-id", first).stdout.startswith("already")
    assert [it["state"] for it in listed(place, item["uuid"])] == ["current", "replaced", "replaced", "replaced"]


def test_what_cannot_be_restored_is_said_in_one_line(place: Site, make_site: MakeSite) -> None:
    run = place.app.run
    single = post(place, b"only one")["uuid"]
    refused(run("restore", single, check=False), 1, "no version before")
    refused(run("restore", single, "--version-id", "nonsense", check=False), 1, "'nonsense'", "filator versions")
    for command in ("versions", "restore"):
        refused(run(command, "0" * 64, check=False), 1, "there is no file")
        bad = run(command, "../etc/passwd", check=False)
        assert (bad.returncode, "64 hex" in bad.stderr, "Traceback" in bad.stderr) == (2, True, False)
    item = replaced(place, b"one", b"two")
    dead = f"http://127.0.0.1:{servers.free_port()}"
    refused(run("restore", item["uuid"], "--url", dead, check=False), 69, dead, "filator serve")
    refused(run("restore", item["uuid"], "--url", "ftp://x", check=False), 2, "http://")
    refused(run("restore", item["uuid"], "--url", place.s3.meta.endpoint_url, check=False), 1, "answered")
    assert get(place, item["uuid"]).content == b"two"
    gone = listed(place, item["uuid"])[1]
    place.s3.delete_object(Bucket=place.bucket, Key=gone["identifier_in_store"], VersionId=gone["version_id"])
    refused(run("restore", item["uuid"], check=False), 1, "no version before")
    db = make_site("db")
    refused(db.app.run("restore", post(db, b"x")["uuid"], check=False), 1, "storage db")
    assert sql(place, "SELECT 1 FROM upload_intents") == []


def test_a_storage_without_versions_is_named(make_site: MakeSite) -> None:
    site = make_site(lambda weed, name: [s3_entry(weed, name, name="plain", versioning=False)])
    item = replaced(site, b"one", b"two")
    refused(site.app.run("versions", item["uuid"], check=False), 1, "storage plain", "its bucket keeps none")


def test_the_token_of_the_client_is_sent_and_the_service_still_refuses_it(place: Site, make_site: MakeSite) -> None:
    made = place.app.run("token", "anna")
    secret, line = made.stderr.strip(), made.stdout
    site = make_site("s3", start=False)
    tokens = site.app.home / "tokens"
    tokens.write_text(line)
    site.app.env["FILATOR_TOKENS_FILE"] = str(tokens)
    site.app.start(migrate=False)
    auth = {"Authorization": f"Bearer {secret}"}
    item = post(site, b"one", headers=auth)
    put(site, item["uuid"], b"two", headers=auth)
    refused(site.app.run("restore", item["uuid"], check=False), 1, "answered 401")
    assert site.app.run("restore", item["uuid"], FILATOR_TOKEN=secret).stdout.startswith("restored")
    assert get(site, item["uuid"], **auth).content == b"one"
    assert site.app.run("check", check=False, FILATOR_TOKEN=secret).returncode == 78
