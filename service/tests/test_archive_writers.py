"""A commit deletes what its ZIP holds, as the ZIP holds it, whatever writers did before, between and behind."""

from __future__ import annotations

import os
import time

import pytest
import requests
from conftest import MakeSite, Site, sql
from slow import SlowPut
from test_archive import age, begin, close, fetch, rows
from test_files import get, post, put
from test_sweeps import expire, sweep, versions


@pytest.fixture(scope="module", params=["db", "s3"])
def place(request: pytest.FixtureRequest, make_site: MakeSite) -> Site:
    return make_site(request.param, FILATOR_GC_GRACE_SECONDS="0")


def begun(site: Site, uuid: str, data: bytes) -> SlowPut:
    """Begin a PUT, and wait until the service has looked at the row that it will replace."""
    slow = SlowPut(site, uuid, data)
    time.sleep(0.5)
    return slow


@pytest.mark.parametrize("size", [20, 11_000_000], ids=["small", "large"])
@pytest.mark.parametrize("download", ["before", "behind"])
def test_a_put_that_ends_behind_the_zip_is_not_deleted(place: Site, size: int, download: str) -> None:
    item, other = post(place, b"old"), post(place, b"other")
    age(place, item["uuid"], other["uuid"])
    new = os.urandom(size)
    slow = begun(place, item["uuid"], new)
    tx = begin(place)
    archive = fetch(place, tx) if download == "before" else None
    status, _answer = slow.finish()
    assert status == 200
    archive = archive or fetch(place, tx)
    done = close(place, tx).json()["ctx"]
    if download == "before":
        assert done["left"] == {"changed": 1, "gone": 0, "unreadable": 0, "uuids": [item["uuid"]]}
    else:
        assert [row["uuid"] for row in rows(archive)] == [other["uuid"]]
    assert get(place, item["uuid"]).content == new
    assert get(place, other["uuid"]).status_code == 404
    sql(place, "DELETE FROM attachments")


def test_a_post_that_began_before_the_date_and_ends_behind_the_zip_is_not_deleted(place: Site) -> None:
    item = post(place, b"old")
    age(place, item["uuid"])
    tx = begin(place)
    fetch(place, tx)
    late = post(place, b"began before midnight, ended behind the ZIP")
    age(place, late["uuid"])
    assert close(place, tx).json()["ctx"]["count"] == 1
    assert get(place, late["uuid"]).status_code == 200
    sql(place, "DELETE FROM attachments")


def test_a_file_that_was_deleted_and_written_anew_is_another_one(place: Site) -> None:
    item = post(place, b"old")
    age(place, item["uuid"])
    tx = begin(place)
    fetch(place, tx)
    assert requests.delete(f"{place.url}/attachments/{item['uuid']}", timeout=10).status_code == 204
    assert put(place, item["uuid"], b"written anew").status_code == 201
    # As if all of it had taken place before the date: neither generation nor times tell the two apart.
    age(place, item["uuid"])
    done = close(place, tx).json()["ctx"]
    assert (done["count"], done["left"]["changed"]) == (0, 1)
    assert get(place, item["uuid"]).content == b"written anew"
    sql(place, "DELETE FROM attachments")


def test_a_put_of_the_same_bytes_keeps_the_file(place: Site) -> None:
    item = post(place, b"same")
    age(place, item["uuid"])
    tx = begin(place)
    fetch(place, tx)
    assert put(place, item["uuid"], b"same", data={"delete_at": "never"}).status_code == 200
    assert close(place, tx).json()["ctx"]["count"] == 0
    assert get(place, item["uuid"]).content == b"same"
    sql(place, "DELETE FROM attachments")


def test_of_two_zips_only_what_both_hold_is_deleted(place: Site) -> None:
    item, other = post(place, b"old"), post(place, b"other")
    age(place, item["uuid"], other["uuid"])
    slow = begun(place, item["uuid"], b"new bytes, in the second ZIP only")
    tx = begin(place)
    first = fetch(place, tx)
    slow.finish()
    age(place, item["uuid"])
    second = fetch(place, tx)
    assert len(rows(first)) == len(rows(second)) == 2
    done = close(place, tx).json()["ctx"]
    assert (done["count"], done["left"]["changed"]) == (1, 1)
    assert get(place, item["uuid"]).content == b"new bytes, in the second ZIP only"
    sql(place, "DELETE FROM attachments")


def test_files_that_went_by_themselves_are_counted_as_gone(place: Site) -> None:
    items = [post(place, b"x") for _ in range(3)]
    age(place, *(it["uuid"] for it in items))
    tx = begin(place)
    fetch(place, tx)
    requests.delete(f"{place.url}/attachments/{items[0]['uuid']}", timeout=10)
    expire(place, items[1]["uuid"])
    sweep(place, "expire")
    done = close(place, tx, message="m").json()
    assert (done["ctx"]["count"], done["ctx"]["left"]["gone"], done["commit"]) == (1, 2, "m")
    assert sql(place, "SELECT 1 FROM archive_downloads UNION SELECT 1 FROM archive_rows") == []


def test_a_zip_from_before_the_lists_must_be_downloaded_again(place: Site) -> None:
    item = post(place, b"x")
    age(place, item["uuid"])
    tx = begin(place)
    fetch(place, tx)
    sql(place, "DELETE FROM archive_downloads WHERE archive_uuid = $1", tx["uuid"])
    assert close(place, tx).status_code == 409
    assert get(place, item["uuid"]).status_code == 200
    sql(place, "DELETE FROM attachments")


def test_objects_that_a_commit_deletes_stay_for_running_readers(make_site: MakeSite) -> None:
    site = make_site("s3", FILATOR_GC_GRACE_SECONDS="300")
    item = post(site, b"being read")
    age(site, item["uuid"])
    tx = begin(site)
    fetch(site, tx, objects="include")
    assert close(site, tx, objects="delete").status_code == 200
    assert sweep(site, "collect")["collect"]["removed"] == 0
    assert len(versions(site)) == 1


def test_a_file_that_expires_during_a_slow_put_does_not_take_the_new_bytes_along(place: Site) -> None:
    item = post(place, b"about to expire")
    slow = begun(place, item["uuid"], b"written meanwhile")
    expire(place, item["uuid"])
    status, answer = slow.finish()
    assert (status, answer["delete_at"]) == (201, None)
    assert sweep(place, "expire")["expire"]["expired"] == 0
    assert get(place, item["uuid"]).content == b"written meanwhile"
    sql(place, "DELETE FROM attachments")
