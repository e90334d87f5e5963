"""Replaced versions on a live store: they stay, they go with their file, and the row's version is the current one."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import MakeSite, Site, s3_entry, sql
from test_archive import age, begin, close, fetch
from test_crashes import SHORT
from test_files import get, post, put
from test_sweeps import expire, sweep, versions

DB = {"name": "db", "type": "db"}


@pytest.fixture
def own(make_site: MakeSite) -> Site:
    return make_site("s3", FILATOR_GC_GRACE_SECONDS="0")


def everything(site: Site) -> dict[str, Any]:
    time.sleep(1.2)
    return sweep(site, **SHORT)


def bodies(site: Site) -> list[bytes]:
    """Read all versions of the bucket, of each key the newest first."""
    listed = site.s3.list_object_versions(Bucket=site.bucket).get("Versions", [])
    return [
        site.s3.get_object(Bucket=site.bucket, Key=it["Key"], VersionId=it["VersionId"])["Body"].read() for it in listed
    ]


def named(site: Site, uuid: str) -> str:
    return str(sql(site, "SELECT version_id FROM attachments WHERE uuid = $1", uuid)[0][0])


def latest(site: Site, key: str) -> str:
    return str(site.s3.head_object(Bucket=site.bucket, Key=key)["VersionId"])


def replaced(site: Site, *data: bytes) -> dict[str, Any]:
    item = post(site, data[0])
    for body in data[1:]:
        assert put(site, item["uuid"], body).status_code == 200
    return item


def test_replaced_versions_stay_through_every_sweep(own: Site) -> None:
    item = replaced(own, b"one", b"two", b"three")
    done = everything(own)
    assert (done["collect"]["removed"], done["orphans"]["orphans"]) == (0, 0)
    assert bodies(own) == [b"three", b"two", b"one"]
    assert latest(own, item["identifier_in_store"]) == named(own, item["uuid"])


def test_large_replaced_versions_stay_too(own: Site) -> None:
    data = [bytes([number]) * (9 << 20) for number in range(2)]
    replaced(own, *data)
    everything(own)
    assert bodies(own) == data[::-1]


@pytest.mark.parametrize("way", ["delete", "expire"])
def test_with_its_file_the_history_goes(own: Site, way: str) -> None:
    kept = replaced(own, b"kept one", b"kept two")
    item = replaced(own, b"one", b"two", b"three")
    if way == "delete":
        assert requests.delete(f"{own.url}/attachments/{item['uuid']}", timeout=10).status_code == 204
    else:
        expire(own, item["uuid"])
    done = everything(own)
    assert done["orphans"]["orphans"] == 0
    assert bodies(own) == [b"kept two", b"kept one"]
    assert get(own, kept["uuid"]).content == b"kept two"
    assert sql(own, "SELECT uuid FROM replaced_versions") == [(kept["uuid"],)]
    assert "DeleteMarkers" not in own.s3.list_object_versions(Bucket=own.bucket)


def test_a_put_on_an_expired_file_begins_without_its_history(own: Site) -> None:
    item = replaced(own, b"one", b"two")
    expire(own, item["uuid"])
    assert put(own, item["uuid"], b"another").status_code == 201
    everything(own)
    assert bodies(own) == [b"another"]


def test_without_the_setting_replaced_versions_are_collected(make_site: MakeSite) -> None:
    site = make_site("s3", FILATOR_GC_GRACE_SECONDS="0", FILATOR_KEEP_REPLACED="false")
    replaced(site, b"one", b"two", b"three")
    assert sweep(site, "collect")["collect"]["removed"] == 2
    assert bodies(site) == [b"three"]


def test_the_history_follows_its_file_to_another_key_and_another_storage(make_site: MakeSite) -> None:
    site = make_site(lambda weed, name: [s3_entry(weed, name), DB], FILATOR_GC_GRACE_SECONDS="0")
    item = replaced(site, b"one", b"two")
    assert put(site, item["uuid"], b"three", data={"store_prefix": "mine"}).json()["identifier_in_store"][:4] == "mine"
    site.app.stop()
    entries = site.app.env["STORAGES_CONFIGURATIONS"]
    site.app.env["STORAGES_CONFIGURATIONS"] = entries.replace('"type": "s3"', '"type": "s3", "readonly": true')
    site.app.start(migrate=False)
    assert put(site, item["uuid"], b"four").json()["store"] == "db"
    site.app.stop()
    site.app.env["STORAGES_CONFIGURATIONS"] = entries
    site.app.start(migrate=False)
    everything(site)
    assert sorted(bodies(site)) == [b"one", b"three", b"two"]
    assert get(site, item["uuid"]).content == b"four"
    requests.delete(f"{site.url}/attachments/{item['uuid']}", timeout=10)
    sweep(site, "collect")
    assert versions(site) == []


@pytest.mark.parametrize("objects", ["keep", "delete"])
def test_an_archive_treats_the_history_as_it_treats_the_file(own: Site, objects: str) -> None:
    item = replaced(own, b"one", b"two")
    age(own, item["uuid"])
    tx = begin(own)
    fetch(own, tx, objects="include")
    assert close(own, tx, objects=objects).status_code == 200
    assert everything(own)["orphans"]["orphans"] == 0
    assert bodies(own) == ([] if objects == "delete" else [b"two", b"one"])


def test_a_copy_made_in_the_store_itself_does_not_stay_above_the_files_version(own: Site) -> None:
    item = replaced(own, b"good", b"bad")
    key = item["identifier_in_store"]
    own.s3.put_object(Bucket=own.bucket, Key=key, Body=b"good, put back behind the service's back")
    assert latest(own, key) != named(own, item["uuid"])
    assert everything(own)["orphans"]["queued"] == 1
    assert latest(own, key) == named(own, item["uuid"])
    assert bodies(own) == [b"bad", b"good"]


def test_a_prune_of_the_history_is_no_loss_to_the_file(own: Site) -> None:
    item = replaced(own, b"one", b"two", b"three")
    for version in versions(own)[1:]:
        own.s3.delete_object(Bucket=own.bucket, Key=item["identifier_in_store"], VersionId=version)
    everything(own)
    assert get(own, item["uuid"]).content == b"three"
    requests.delete(f"{own.url}/attachments/{item['uuid']}", timeout=10)
    everything(own)
    assert versions(own) == []
    assert sql(own, "SELECT 1 FROM blob_gc") == []


@pytest.mark.parametrize("first", ["hold", "pass"])
def test_overlapping_puts_leave_the_row_on_the_current_version(make_site: MakeSite, first: str) -> None:
    """One PUT waits between its object and its commit while another one passes it, or writes after it."""
    site = make_site("s3", start=False, app="hold_app:create_app", FILATOR_GC_GRACE_SECONDS="0")
    site.app.start(migrate=False)
    item = replaced(site, b"one", b"two")
    hold = site.app.home / "hold"
    hold.touch()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(put, site, item["uuid"], b"held")
        while len(versions(site)) < 3:
            time.sleep(0.05)
        if first == "pass":
            # Two commits go by: the first of them is a replaced version above the held one.
            hold.unlink()
            for body in (b"passing one", b"passing two"):
                assert put(site, item["uuid"], body).status_code == 200
            (site.app.home / "go").touch()
        else:
            (site.app.home / "go").touch()
        assert held.result().status_code == 200
    assert get(site, item["uuid"]).content == b"held"
    everything(site)
    assert latest(site, item["identifier_in_store"]) == named(site, item["uuid"])
    assert bodies(site) == [b"held", b"two", b"one"]


def test_rows_for_a_prune_name_what_is_a_file_and_what_was(own: Site, tmp_path: Path) -> None:
    item = replaced(own, b"one", b"two", b"three")
    stray = own.s3.put_object(Bucket=own.bucket, Key=item["identifier_in_store"], Body=b"behind its back")["VersionId"]
    path = tmp_path / "rows"
    done = own.app.run("rows", "--out", str(path))
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    head, *lines, tail = map(json.loads, path.read_text().splitlines())
    assert (head["filator_rows"], tail) == (1, {"rows": len(lines)})
    mine = {it["version_id"]: it["state"] for it in lines if it["key"] == item["identifier_in_store"]}
    assert sorted(mine.values()) == ["current", "replaced", "replaced"]
    assert mine[named(own, item["uuid"])] == "current"
    assert stray not in mine
    assert {it["bucket"] for it in lines} == {own.bucket}
    refused = own.app.run("rows", "--out", str(tmp_path / "nowhere" / "rows"), check=False)
    assert (refused.returncode, "cannot be written" in refused.stderr) == (1, True)
