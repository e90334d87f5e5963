"""A bucket says what holds for it: who names its versions, and what must be kept. The commands go by it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from modules import ModuleFailedError, connection, run
from test_prune_cli import environment, stowage
from versioned import stored, write_versions

from stowage.s3.bucket_rules import KEEP_LAST, MANAGED_BY, OLDER_THAN, read_bucket_rules

FILE = "files-2026-11-28/09-05/" + "0" * 64


def tag(client: Any, bucket: str, **tags: str) -> None:
    names = {"managed_by": MANAGED_BY, "older_than": OLDER_THAN, "keep_last": KEEP_LAST}
    found = [{"Key": names[name], "Value": value} for name, value in tags.items()]
    client.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": found})


def service_rows(path: Path, bucket: str, states: dict[str, dict[str, str]], *, age: timedelta = timedelta(0)) -> Path:
    lines: list[dict[str, Any]] = [{"filator_rows": 1, "taken_at": (datetime.now(UTC) - age).isoformat()}]
    lines += [
        {"bucket": bucket, "key": key, "version_id": version, "state": state}
        for key, versions in states.items()
        for version, state in versions.items()
    ]
    lines.append({"rows": len(lines) - 1})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def options(store: Any, bucket: str, **more: Any) -> dict[str, Any]:
    return {**connection(store.settings, store.driver), "bucket": bucket, **more}


@pytest.mark.parametrize("marked", ["tag", "shape"])
def test_a_restore_behind_the_file_service_is_refused_by_command_and_module(
    store: Any, client: Any, bucket: str, marked: str
) -> None:
    key = FILE if marked == "shape" else "any/key"
    ids = write_versions(client, bucket, [key], 2)[key]
    if marked == "tag":
        tag(client, bucket, managed_by="filator")
    for arguments in (
        [key, "--version-id", ids[0]],
        [key, "--version-id", ids[0], "--dry-run"],
        ["--prefix", key[:3], "--as-of", "1s", "--remove-newer", "--yes"],
    ):
        if arguments[0] == "--prefix":
            client.put_object(Bucket=bucket, Key=key[:3] + "new" + key[3:], Body=b"x")
            arguments[3] = "1h"
        done = stowage(environment(store), "restore", "--bucket", bucket, *arguments)
        assert done.returncode != 0, done.stdout
        assert "filator restore UUID" in done.stderr
        assert "RESTORED" not in done.stdout
    with pytest.raises(ModuleFailedError, match="filator restore UUID"):
        run("s3_restore", options(store, bucket, key=key, version_id=ids[0]))
    assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == f"{key} 1".encode()
    done = stowage(
        environment(store), "restore", "--bucket", bucket, key, "--version-id", ids[0], "--ignore-bucket-rules"
    )
    assert done.returncode == 0, done.stderr
    assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == f"{key} 0".encode()


def test_without_a_filter_there_is_a_plan_and_nothing_more(
    store: Any, client: Any, bucket: str, tmp_path: Path
) -> None:
    write_versions(client, bucket, ["k"], 4)
    plan = tmp_path / "plan"
    dry = stowage(environment(store), "prune", "--bucket", bucket, "--plan-out", str(plan))
    assert dry.returncode == 0
    assert dry.stdout.count("DELETE_PLANNED") == 3
    assert "it would be refused: without a filter" in dry.stderr
    for arguments in (["--prefix", "k"], ["--keep-last", "0"], ["--plan-in", str(plan)]):
        done = stowage(environment(store), "prune", "--bucket", bucket, "--yes", *arguments)
        assert done.returncode != 0
        assert "without a filter every old version" in done.stderr
    for given in ({}, {"plan_in": str(plan)}):
        with pytest.raises(ModuleFailedError, match="without a filter every old version"):
            run("s3_prune", options(store, bucket, **given))
    foretold = run("s3_prune", options(store, bucket), check=True)
    assert "without a filter" in str(foretold["warnings"])
    assert len(stored(client, bucket)["k"]) == 4
    assert stowage(environment(store), "prune", "--bucket", bucket, "--all-old", "--yes").returncode == 0
    assert len(stored(client, bucket)["k"]) == 1


def test_what_the_tags_want_kept_is_kept_also_from_a_plan_made_before(
    store: Any, client: Any, bucket: str, tmp_path: Path
) -> None:
    write_versions(client, bucket, ["k"], 5)
    plan = tmp_path / "plan"
    stowage(environment(store), "prune", "--bucket", bucket, "--keep-last", "1", "--plan-out", str(plan))
    tag(client, bucket, keep_last="3")
    late = stowage(environment(store), "prune", "--bucket", bucket, "--plan-in", str(plan), "--yes")
    assert late.returncode != 0
    assert "stowage:prune-keep-last 3" in late.stderr
    # The tags are filter enough.
    assert stowage(environment(store), "prune", "--bucket", bucket, "--yes").returncode == 0
    assert len(stored(client, bucket)["k"]) == 4
    tag(client, bucket, older_than="1d")
    assert run("s3_prune", options(store, bucket, keep_last=1))["outcomes"] == {}
    assert len(stored(client, bucket)["k"]) == 4
    ignoring = run("s3_prune", options(store, bucket, keep_last=1, ignore_bucket_rules=True))
    assert ignoring["outcomes"] == {"deleted": 2}


def test_a_tag_with_a_value_that_says_nothing_is_named(store: Any, client: Any, bucket: str) -> None:
    tag(client, bucket, older_than="soon")
    done = stowage(environment(store), "prune", "--bucket", bucket)
    assert (done.returncode, "tag stowage:prune-older-than of bucket" in done.stderr) == (2, True)


@pytest.mark.parametrize("marked", ["tag", "shape"])
def test_in_a_bucket_of_the_file_service_its_rows_say_what_may_go(
    store: Any, client: Any, bucket: str, tmp_path: Path, marked: str
) -> None:
    """A dead upload below the current version was kept as the newest old one, and the real predecessor went."""
    key = FILE if marked == "shape" else "any/key"
    first, second, dead, now, under_way = write_versions(client, bucket, [key], 5)[key]
    if marked == "tag":
        tag(client, bucket, managed_by="filator")
    command = ["prune", "--bucket", bucket, "--keep-last", "1", "--yes"]
    alone = stowage(environment(store), *command)
    assert alone.returncode != 0
    assert "filator rows --out" in alone.stderr
    with pytest.raises(ModuleFailedError, match="filator rows --out"):
        run("s3_prune", options(store, bucket, keep_last=1))
    assert len(stored(client, bucket)[key]) == 5
    states = {key: {first: "replaced", second: "replaced", now: "current"}}
    rows = service_rows(tmp_path / "rows", bucket, states)
    done = stowage(environment(store), *command, "--service-rows", str(rows))
    assert done.returncode == 0, done.stderr
    assert set(stored(client, bucket)[key]) == {second, dead, now, under_way}


def test_rows_that_are_cut_short_old_or_of_another_service_are_refused(
    store: Any, client: Any, bucket: str, tmp_path: Path
) -> None:
    ids = write_versions(client, bucket, [FILE], 2)[FILE]
    states = {FILE: {ids[0]: "replaced", ids[1]: "current"}}
    cut = service_rows(tmp_path / "cut", bucket, states)
    cut.write_text("".join(cut.read_text().splitlines(keepends=True)[:-1]))
    (tmp_path / "other").write_text("key\n")
    for path, said in (
        (cut, "cut short"),
        (tmp_path / "other", "is not what filator rows writes"),
        (tmp_path / "missing", "can not be read"),
        (service_rows(tmp_path / "old", bucket, states, age=timedelta(hours=25)), "more than a day old"),
        (service_rows(tmp_path / "else", "another-bucket", states), "names no version of bucket"),
    ):
        done = stowage(environment(store), "prune", "--bucket", bucket, "--yes", "--service-rows", str(path))
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert len(stored(client, bucket)[FILE]) == 2


def test_the_inventory_says_it_by_module_and_other_tags_stay(store: Any, client: Any, bucket: str) -> None:
    client.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "owner", "Value": "erika"}]})
    own = {**connection(store.settings, store.driver), "name": bucket}
    wanted = {MANAGED_BY: "filator", OLDER_THAN: "14d"}
    foretold = run("s3_bucket", {**own, "tags": wanted}, check=True)
    done = run("s3_bucket", {**own, "tags": wanted})
    again = run("s3_bucket", {**own, "tags": wanted})
    assert (foretold["changed"], done["differences"], again["changed"]) == (True, ["tags"], False)
    rules = read_bucket_rules(client, bucket)
    assert (rules.manager, rules.older_than) == ("filator", timedelta(days=14))
    run("s3_bucket", {**own, "tags": {OLDER_THAN: ""}})
    tags = {one["Key"]: one["Value"] for one in client.get_bucket_tagging(Bucket=bucket)["TagSet"]}
    assert tags == {"owner": "erika", MANAGED_BY: "filator"}
