"""Version listings of live servers: complete, in order, and believed only as far as they deserve it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from versioned import stored, versioned_bucket, write_versions

from stowage.errors import RefusedError
from stowage.s3.prune import PlanRequest, carry_out, make_plan
from stowage.s3.prune_plan import PruneRules, newest_first
from stowage.s3.restore import plan_prefix_restore
from stowage.s3.versions import Listing, list_key, list_pages
from stowage.s3.versions_xml import RUSTFS


@pytest.fixture(scope="module")
def filled(client: Any) -> tuple[str, dict[str, list[str]]]:
    """30 keys with 7 versions each, half of them deleted in the end."""
    name = versioned_bucket(client)
    ids = write_versions(client, name, [f"f/{number:03d}" for number in range(30)], 7)
    for number in range(0, 30, 2):
        key = f"f/{number:03d}"
        ids[key].append(client.delete_object(Bucket=name, Key=key)["VersionId"])
    return name, ids


@pytest.mark.parametrize("page_size", [1000, 100, 7, 3, 1])
def test_every_row_comes_once_newest_first_at_any_page_size(
    client: Any, filled: tuple[str, dict[str, list[str]]], page_size: int
) -> None:
    name, ids = filled
    histories = list(Listing(client, name, page_size=page_size).histories())
    ordered = {rows[0].key: newest_first(rows) for rows in histories}
    assert len(ordered) == len(histories)
    assert {key: [row.version_id for row in rows] for key, rows in ordered.items()} == {
        key: list(reversed(versions)) for key, versions in ids.items()
    }
    assert all([row.is_latest for row in rows] == [True] + [False] * (len(rows) - 1) for rows in ordered.values())
    assert sum(row.is_marker for rows in histories for row in rows) == 15


def test_a_header_alone_turns_no_way_around_on(
    client: Any, filled: tuple[str, dict[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RustFS 1.0.0-rc.3 has beta.5's headers and right pages: the walk by short prefixes lost rows of it."""

    class NoWalk:
        def __init__(self, **_: Any) -> None:
            raise AssertionError("short prefixes on a server that does not say its version")

    monkeypatch.setattr("stowage.s3.versions_xml.product", lambda _: RUSTFS)
    monkeypatch.setattr("stowage.s3.versions.rustfs_version", lambda _: "")
    monkeypatch.setattr("stowage.s3.versions.NarrowListing", NoWalk)
    name, ids = filled
    for page_size in (1000, 7, 1):
        listed = [(rows[0].key, len(rows)) for rows in Listing(client, name, page_size=page_size).histories()]
        assert sorted(listed) == sorted((key, len(versions)) for key, versions in ids.items())


@pytest.mark.parametrize("page_size", [1000, 5, 4, 3])
def test_keys_of_which_only_delete_markers_are_left_come_once_among_the_others(
    client: Any, bucket: str, page_size: int
) -> None:
    """RustFS 1.0.0-beta.5 lists the markers of a page behind all its versions (docs/quirks.md)."""
    names = [f"m/{number}" for number in range(8)]
    ids = write_versions(client, bucket, names, 2)
    for key in names[::2]:
        client.delete_object(Bucket=bucket, Key=key)
        for version in ids[key]:
            client.delete_object(Bucket=bucket, Key=key, VersionId=version)
    listed = [(rows[0].key, len(rows)) for rows in Listing(client, bucket, page_size=page_size).histories()]
    assert sorted(listed) == [(key, 2 if number % 2 else 1) for number, key in enumerate(names)]


def test_rows_agree_with_botos_own_reading(client: Any, filled: tuple[str, dict[str, list[str]]]) -> None:
    name, _ = filled
    theirs = {}
    for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
        for row in page["Versions"]:
            theirs[row["Key"], row["VersionId"]] = (row["IsLatest"], row["Size"], row["LastModified"], row["ETag"])
    ours = {
        (row.key, row.version_id): (row.is_latest, row.size, row.last_modified, f'"{row.etag}"')
        for page in list_pages(client, name)
        for row in page.rows
        if not row.is_marker
    }
    assert ours == theirs


def test_one_key_is_listed_without_its_longer_neighbours(client: Any, bucket: str) -> None:
    ids = write_versions(client, bucket, ["k", "k1", "k10", "k-1", "k.txt", "k/deep"], 3)
    for key, versions in ids.items():
        assert [row.version_id for row in list_key(client, bucket, key)] == list(reversed(versions))
        assert len(list_key(client, bucket, key, expected=3)) == 3
    assert list_key(client, bucket, "missing") == []


def test_plain_calls_through_the_same_client_stay_as_they_are(
    client: Any, filled: tuple[str, dict[str, list[str]]]
) -> None:
    name, _ = filled
    next(iter(Listing(client, name).histories()))
    answer = client.list_object_versions(Bucket=name, MaxKeys=5)
    assert len(answer["Versions"]) + len(answer.get("DeleteMarkers", [])) == 5
    assert answer["Name"] == name


# Each of these lost rows on SeaweedFS 4.48 (facts/s3-servers.md, D1): one name is a prefix of another, and a page
# ends between them.
DEFECT_D1 = {
    "folders": [f"app-1.0/{n:02d}" for n in range(12)] + [f"app/{n:02d}" for n in range(12)] + ["app.d/1", "app.d/2"],
    "flat": ["doc", "doc-1", "doc 2", "doc!", "doc.txt"],
}


@pytest.mark.parametrize("shape", DEFECT_D1)
def test_rows_lost_at_page_boundaries_are_noticed_and_never_cost_a_version_too_many(
    client: Any, bucket: str, tmp_path: Path, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = write_versions(client, bucket, DEFECT_D1[shape], 4)
    monkeypatch.setattr("stowage.s3.prune.Listing", lambda *given: Listing(*given, page_size=10))
    flat = Listing(client, bucket, page_size=10)
    lost = len(ids) - sum(1 for _ in flat.histories())
    assert flat.missing_live_keys() == lost
    plan = make_plan(client, PlanRequest(bucket=bucket, rules=PruneRules(keep_last=1)), tmp_path / "plan.jsonl")
    results = list(carry_out(client, plan))
    assert {result.outcome.value for result in results} <= {"deleted"}
    planned_keys = {candidate.key for candidate in plan.candidates()}
    assert len(planned_keys) + plan.totals.missing_keys == len(ids)
    for key, versions in ids.items():
        left = {row.version_id for row in list_key(client, bucket, key)}
        assert left == set(versions[2:] if key in planned_keys else versions)


def test_folders_that_lose_rows_when_listed_flat_are_complete_when_listed_one_by_one(client: Any, bucket: str) -> None:
    write_versions(client, bucket, DEFECT_D1["folders"], 1)
    walk = Listing(client, bucket, page_size=13)
    assert sum(1 for _ in walk.histories(by_folder=True)) == len(DEFECT_D1["folders"])
    assert walk.missing_live_keys() == 0


def test_restoring_a_prefix_is_refused_when_the_listing_loses_keys(
    client: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_versions(client, bucket, DEFECT_D1["flat"], 4)
    probe = Listing(client, bucket, page_size=3)
    if sum(1 for _ in probe.histories(by_folder=True)) == len(DEFECT_D1["flat"]):
        pytest.skip("needs a server that loses rows; this one does not")
    monkeypatch.setattr("stowage.s3.restore.Listing", lambda *given: Listing(*given, page_size=3))
    with pytest.raises(RefusedError, match="loses"):
        list(plan_prefix_restore(client, bucket, "", datetime.now(UTC)))


def test_a_server_that_drops_the_rest_of_a_key_at_a_page_boundary_is_asked_for_that_key_again(
    client: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault of RustFS before 1.0.0-beta.7 (facts/rustfs.md 3.4), played on the answers of a real server."""
    monkeypatch.setattr("stowage.s3.versions.wants_short_prefixes", lambda *_: False)
    ids = write_versions(client, bucket, ["a", "b", "c"], 5)
    calls = []

    def drop_rest_of_key(params: dict[str, Any], **_: Any) -> None:
        calls.append(dict(params))
        # Starting behind the key instead of behind the version is exactly what that server does.
        params.pop("VersionIdMarker", None)

    client.meta.events.register("provide-client-params.s3.ListObjectVersions", drop_rest_of_key)
    try:
        histories = {rows[0].key: len(rows) for rows in Listing(client, bucket, page_size=3).histories()}
    finally:
        client.meta.events.unregister("provide-client-params.s3.ListObjectVersions", drop_rest_of_key)
    assert any("VersionIdMarker" in call for call in calls)
    # Listed by themselves with pages large enough, all keys are whole again.
    assert histories == {key: len(versions) for key, versions in ids.items()}
    assert {key: len(versions) for key, versions in stored(client, bucket).items()} == histories
