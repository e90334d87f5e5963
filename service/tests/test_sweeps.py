"""Background work on a live store: what is removed, what is left alone."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from typing import Any

import pytest
import requests
import servers
from conftest import MakeSite, Site, sql
from test_files import get, post, put


def sweep(site: Site, *names: str, **extra: str) -> dict[str, Any]:
    return json.loads(site.app.run("sweep", "--json", *names, **extra).stdout)


def versions(site: Site) -> list[str]:
    return [it["VersionId"] for it in site.s3.list_object_versions(Bucket=site.bucket).get("Versions", [])]


def expire(site: Site, uuid: str) -> None:
    sql(site, "UPDATE attachments SET delete_at = now() - interval '1 second' WHERE uuid = $1", uuid)


def test_expired_files_are_not_found_at_once_and_removed_by_the_sweep(site: Site) -> None:
    item, other = post(site, b"short life"), post(site, b"long life")
    expire(site, item["uuid"])
    assert get(site, item["uuid"]).status_code == 404
    assert get(site, f"{item['uuid']}.json").status_code == 404
    assert sweep(site, "expire")["expire"]["expired"] >= 1
    assert sql(site, "SELECT 1 FROM attachments WHERE uuid = $1", item["uuid"]) == []
    assert sql(site, "SELECT 1 FROM attachment_blobs WHERE id = $1", item["identifier_in_store"]) == []
    assert get(site, other["uuid"]).content == b"long life"


def test_a_put_on_an_expired_uuid_creates(site: Site) -> None:
    item = post(site, b"old")
    expire(site, item["uuid"])
    again = put(site, item["uuid"], b"new")
    assert again.status_code == 201
    assert again.json()["delete_at"] is None
    sweep(site, "expire")
    sweep(site, "collect")
    assert get(site, item["uuid"]).content == b"new"


def test_replaced_and_deleted_bytes_are_collected_and_the_current_ones_stay(site: Site) -> None:
    item = post(site, b"one")
    put(site, item["uuid"], b"two")
    gone = post(site, b"gone")
    requests.delete(f"{site.url}/attachments/{gone['uuid']}", timeout=10)
    # A replaced S3 version stays (test_replaced.py).
    assert sweep(site, "collect")["collect"]["removed"] >= (1 if item["store"] == "s3" else 2)
    assert get(site, item["uuid"]).content == b"two"
    assert sql(site, "SELECT 1 FROM blob_gc") == []


def test_collected_versions_free_the_store_without_delete_markers(s3_site: Site) -> None:
    before = set(versions(s3_site))
    item = post(s3_site, b"one")
    put(s3_site, item["uuid"], b"two")
    requests.delete(f"{s3_site.url}/attachments/{item['uuid']}", timeout=10)
    sweep(s3_site, "collect")
    assert set(versions(s3_site)) <= before
    assert "DeleteMarkers" not in s3_site.s3.list_object_versions(Bucket=s3_site.bucket)


def test_an_entry_that_a_row_still_points_to_is_dropped_not_obeyed(s3_site: Site) -> None:
    item = post(s3_site, b"precious")
    sql(
        s3_site,
        "INSERT INTO blob_gc (store, bucket, identifier, version_id, not_before) "
        "SELECT store, bucket, identifier_in_store, version_id, now() - interval '1 hour' "
        "FROM attachments WHERE uuid = $1",
        item["uuid"],
    )
    assert sweep(s3_site, "collect")["collect"]["kept"] == 1
    assert get(s3_site, item["uuid"]).content == b"precious"


def test_orphans_are_collected_after_the_grace_period_only(make_site: MakeSite) -> None:
    site = make_site("s3", FILATOR_GC_GRACE_SECONDS="0")
    kept = post(site, b"kept")
    lost = post(site, b"row lost")
    sql(site, "DELETE FROM attachments WHERE uuid = $1", lost["uuid"])
    site.s3.put_object(Bucket=site.bucket, Key="somebody/else.txt", Body=b"not ours")
    assert sweep(site, "orphans")["orphans"]["queued"] == 0
    time.sleep(1.1)
    done = sweep(site, "orphans", FILATOR_ORPHAN_GRACE_SECONDS="1")
    assert done["orphans"]["queued"] == 1
    sweep(site, "collect")
    keys = {it["Key"] for it in site.s3.list_object_versions(Bucket=site.bucket)["Versions"]}
    assert keys == {kept["identifier_in_store"], "somebody/else.txt"}


def test_a_store_full_of_orphans_is_taken_for_a_lost_database(make_site: MakeSite) -> None:
    site = make_site("s3")
    for _ in range(101):
        post(site, b"x")
    sql(site, "DELETE FROM attachments")
    time.sleep(1.1)
    short = {"FILATOR_ORPHAN_GRACE_SECONDS": "1"}
    assert sweep(site, "orphans", **short)["orphans"] == {"seen": 101, "orphans": 101, "queued": 0}
    forced = site.app.run("sweep", "orphans", "--force", "--json", **short)
    assert json.loads(forced.stdout)["orphans"]["queued"] == 101


def test_an_intent_of_a_dead_process_is_cleared_with_its_parts(make_site: MakeSite) -> None:
    site = make_site("s3")
    key = f"files-2026-01-01/00-00/{secrets.token_hex(32)}"
    upload = site.s3.create_multipart_upload(Bucket=site.bucket, Key=key)
    site.s3.upload_part(Bucket=site.bucket, Key=key, UploadId=upload["UploadId"], PartNumber=1, Body=b"x" * 1000)
    written = site.s3.put_object(Bucket=site.bucket, Key=key, Body=b"completed, never acknowledged")
    sql(
        site,
        "INSERT INTO upload_intents VALUES ($1, $2, 's3', $3, $4, now() - interval '1 day', now() - interval '1 day')",
        secrets.token_hex(16),
        key[-64:],
        site.bucket,
        key,
    )
    time.sleep(1.1)
    done = sweep(site, "intents", FILATOR_INTENT_GRACE_SECONDS="1")
    assert done["intents"] == {"intents": 1, "discarded": 1}
    sweep(site, "collect")
    assert written["VersionId"] not in versions(site)
    assert not site.s3.list_multipart_uploads(Bucket=site.bucket).get("Uploads")


def test_a_killed_workers_job_is_taken_up_by_another(make_site: MakeSite, redis: servers.Redis) -> None:
    site = make_site("db", FILATOR_GC_GRACE_SECONDS="0")
    command = [str(servers.VENV_BIN / "filator"), "worker"]
    first = subprocess.Popen(command, env=site.app.env, stderr=subprocess.DEVNULL)
    time.sleep(3)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    item = post(site, b"x")
    expire(site, item["uuid"])
    with site.app.log.open("ab") as log:
        second = subprocess.Popen(command, env=site.app.env, stderr=log)
    try:
        gone = "SELECT 1 FROM attachments WHERE uuid = $1"
        servers.wait_for(lambda: sql(site, gone, item["uuid"]) == [], "the sweep by cron", 100)
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(30) == 0


@pytest.mark.parametrize("count", [3])
def test_several_sweepers_at_once_remove_each_file_once(make_site: MakeSite, count: int) -> None:
    site = make_site("s3")
    for _ in range(60):
        expire(site, post(site, b"x")["uuid"])
    command = [str(servers.VENV_BIN / "filator"), "sweep", "expire", "--json"]
    running = [subprocess.Popen(command, env=site.app.env, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    done = [json.loads(process.communicate(timeout=60)[0])["expire"]["expired"] for process in running]
    assert sum(done) == 60
    assert versions(site) == []
