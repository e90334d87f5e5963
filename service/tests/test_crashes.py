"""docs/durability.md, point by point: the process is killed there, then the promises are checked.

No acknowledged file is lost, nothing half written is visible, and the sweeps remove what was left behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
import servers
from conftest import MakeSite, Site, sql
from test_archive import age, begin, fetch
from test_files import get, post, put
from test_sweeps import expire, sweep, versions

SMALL, LARGE = b"small", os.urandom(21 << 20)
SHORT = {"FILATOR_ORPHAN_GRACE_SECONDS": "1", "FILATOR_INTENT_GRACE_SECONDS": "1", "FILATOR_GC_GRACE_SECONDS": "0"}


def crashing(make_site: MakeSite, kind: str, point: str) -> Site:
    site = make_site(kind, app="crash_app:create_app", start=False, FILATOR_GC_GRACE_SECONDS="0")
    site.app.env["CRASH_AT"] = point
    site.app.start(migrate=False)
    return site


def restart(site: Site) -> None:
    assert site.app.process is not None
    site.app.process.wait(20)
    assert site.app.process.returncode == -9
    del site.app.env["CRASH_AT"]
    site.app.start(migrate=False)


def clean(site: Site) -> None:
    time.sleep(1.2)
    sweep(site, **SHORT)


@pytest.mark.parametrize(
    ("kind", "point", "data"),
    [
        ("s3", "before-object", SMALL),
        ("s3", "after-object", SMALL),
        ("s3", "after-intent", LARGE),
        ("s3", "mid-stream", LARGE),
        ("s3", "after-object", LARGE),
        ("s3", "before-commit", LARGE),
        ("db", "db-row", LARGE),
        ("db", "before-commit", LARGE),
        ("local", "after-object", SMALL),
        ("local", "mid-stream", LARGE),
    ],
)
def test_an_upload_that_was_not_acknowledged_leaves_nothing(
    make_site: MakeSite, kind: str, point: str, data: bytes
) -> None:
    site = crashing(make_site, kind, point)
    with pytest.raises(requests.RequestException):
        post(site, data)
    restart(site)
    assert sql(site, "SELECT 1 FROM attachments") == []
    assert sql(site, "SELECT 1 FROM attachment_blobs") == []
    if kind == "s3":
        clean(site)
        assert versions(site) == []
        assert not site.s3.list_multipart_uploads(Bucket=site.bucket).get("Uploads")
        assert sql(site, "SELECT 1 FROM upload_intents") == []
    item = post(site, data)
    assert get(site, item["uuid"]).content == data


@pytest.mark.parametrize("kind", ["s3", "db"])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_a_commit_whose_answer_was_lost_is_a_whole_file(make_site: MakeSite, kind: str, data: bytes) -> None:
    site = crashing(make_site, kind, "after-commit")
    uuid = secrets.token_hex(32)
    with pytest.raises(requests.RequestException):
        put(site, uuid, data)
    restart(site)
    clean(site)
    assert get(site, uuid).content == data
    again = put(site, uuid, data)
    assert again.status_code == 200


@pytest.mark.parametrize("kind", ["s3", "db"])
@pytest.mark.parametrize("point", ["after-object", "before-commit"])
def test_a_killed_replacement_leaves_the_old_file(make_site: MakeSite, kind: str, point: str) -> None:
    if kind == "db" and point == "after-object":
        point = "db-row"
    site = make_site(kind, start=False, app="crash_app:create_app", FILATOR_GC_GRACE_SECONDS="0")
    site.app.start(migrate=False)
    item = post(site, b"the old bytes")
    site.app.stop()
    site.app.env["CRASH_AT"] = point
    site.app.start(migrate=False)
    with pytest.raises(requests.RequestException):
        put(site, item["uuid"], LARGE)
    restart(site)
    clean(site)
    assert get(site, item["uuid"]).content == b"the old bytes"
    assert requests.get(f"{site.url}/attachments/{item['uuid']}.json", timeout=10).json() == item
    if kind == "s3":
        assert len(versions(site)) == 1


def _crashing_command(site: Site, point: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "crash_app.py"), *arguments],
        env={**site.app.env, "CRASH_AT": point},
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == -9, done.stderr


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("point", ["after-intent", "after-object", "before-commit"])
def test_a_replacement_that_died_is_removed_from_above_the_files_version(
    make_site: MakeSite, point: str, data: bytes
) -> None:
    site = make_site("s3", start=False, app="crash_app:create_app", FILATOR_GC_GRACE_SECONDS="0")
    site.app.start(migrate=False)
    item = post(site, b"first")
    put(site, item["uuid"], b"second")
    kept = versions(site)
    site.app.stop()
    site.app.env["CRASH_AT"] = point
    site.app.start(migrate=False)
    with pytest.raises(requests.RequestException):
        put(site, item["uuid"], data)
    restart(site)
    time.sleep(1.2)
    sweep(site, "intents", **SHORT)
    sweep(site, "collect", **SHORT)
    assert versions(site) == kept
    [(named,)] = sql(site, "SELECT version_id FROM attachments")
    assert named == kept[0]
    assert get(site, item["uuid"]).content == b"second"
    assert sql(site, "SELECT 1 FROM upload_intents") == []


def test_expiry_killed_with_a_history_takes_it_along_next_time(make_site: MakeSite) -> None:
    site = make_site("s3", FILATOR_GC_GRACE_SECONDS="0")
    item = post(site, b"one")
    put(site, item["uuid"], b"two")
    put(site, item["uuid"], b"three")
    expire(site, item["uuid"])
    _crashing_command(site, "expire-after-objects", "sweep", "expire")
    assert len(versions(site)) == 2
    time.sleep(1.2)
    assert sweep(site, "orphans", **SHORT)["orphans"]["queued"] == 0
    assert sweep(site, "expire")["expire"] == {"expired": 1, "failed": 0}
    _crashing_command(site, "collect-after-objects", "sweep", "collect")
    assert versions(site) == []
    assert sweep(site, "collect")["collect"]["removed"] == 2
    assert sql(site, "SELECT 1 FROM replaced_versions UNION SELECT 1 FROM blob_gc") == []


def test_expiry_killed_between_object_and_row_finishes_next_time(make_site: MakeSite) -> None:
    site = make_site("s3")
    item, kept = post(site, b"x"), post(site, b"kept")
    expire(site, item["uuid"])
    _crashing_command(site, "expire-after-objects", "sweep", "expire")
    assert get(site, item["uuid"]).status_code == 404
    assert sweep(site, "expire")["expire"] == {"expired": 1, "failed": 0}
    assert len(versions(site)) == 1
    assert get(site, kept["uuid"]).content == b"kept"


def test_collection_killed_between_object_and_entry_finishes_next_time(make_site: MakeSite) -> None:
    site = make_site("s3", FILATOR_GC_GRACE_SECONDS="0", FILATOR_KEEP_REPLACED="false")
    item = post(site, b"one")
    put(site, item["uuid"], b"two")
    _crashing_command(site, "collect-after-objects", "sweep", "collect")
    assert sweep(site, "collect")["collect"]["removed"] == 1
    assert get(site, item["uuid"]).content == b"two"


@pytest.mark.parametrize("point", ["archive-committing", "archive-batch"])
def test_an_archive_deletion_goes_on_where_it_was_killed(make_site: MakeSite, point: str) -> None:
    site = make_site("db", app="crash_app:create_app", start=False)
    site.app.start(migrate=False)
    uuids = [post(site, b"x")["uuid"] for _ in range(5)]
    age(site, *uuids)
    kept = post(site, b"kept")
    tx = begin(site)
    fetch(site, tx)
    site.app.stop()
    site.app.env["CRASH_AT"] = point
    site.app.start(migrate=False)
    url = f"{site.url}/attachments/archive/{tx['uuid']}"
    with contextlib.suppress(requests.RequestException):
        requests.delete(url, params={"message": "m"}, timeout=20)
    restart(site)
    done = requests.delete(url, timeout=20).json()
    assert (done["ctx"]["count"], done["commit"]) == (5, "m")
    assert sql(site, "SELECT uuid FROM attachments") == [(kept["uuid"],)]


@pytest.mark.parametrize("point", ["archive-listed", "archive-noted"])
def test_a_killed_download_allows_no_deletion_of_what_did_not_arrive(make_site: MakeSite, point: str) -> None:
    site = make_site("db", app="crash_app:create_app", start=False)
    site.app.start(migrate=False)
    item = post(site, b"x")
    age(site, item["uuid"])
    tx = begin(site)
    site.app.stop()
    site.app.env["CRASH_AT"] = point
    site.app.start(migrate=False)
    url = f"{site.url}/attachments/archive/{tx['uuid']}"
    with requests.get(url, stream=True, timeout=20) as answer, pytest.raises(requests.RequestException):
        _ = answer.content
    restart(site)
    assert requests.delete(url, params={"sha256": "0" * 64}, timeout=20).status_code == 409
    if point == "archive-listed":
        assert requests.delete(url, timeout=20).status_code == 409
    assert get(site, item["uuid"]).content == b"x"
    whole = requests.get(url, timeout=20).content
    sha256 = hashlib.sha256(whole).hexdigest()
    assert requests.delete(url, params={"sha256": sha256}, timeout=20).json()["ctx"]["count"] == 1


def test_uploads_wait_out_a_restart_of_the_database_or_say_so(make_site: MakeSite) -> None:
    postgres = servers.Postgres()
    with servers.running(postgres):
        site = make_site("s3", start=False)
        site.app.env["FILATOR_DATABASE_URL"] = postgres.create("restart")
        site.app.start()
        item = post(site, b"before")
        postgres.kill()
        answer = requests.post(f"{site.url}/attachments", files={"body": b"during"}, timeout=60)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert requests.get(f"{site.url}/readyz", timeout=20).status_code == 503
        postgres.start()
        assert get(site, item["uuid"]).content == b"before"
        post(site, b"after")
        site.app.close()
