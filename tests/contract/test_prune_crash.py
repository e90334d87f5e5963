"""Killed at random moments and started again: the planned state is reached, and nothing else is gone."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from servers import Server
from versioned import stored, versioned_bucket, write_versions

from stowage.s3.connection import s3_client
from stowage.s3.prune_file import read_plan

KILLS = 20
STOWAGE = [str(Path(sys.executable).with_name("stowage"))]


@pytest.fixture(scope="module")
def client(weed: Server) -> Any:
    return s3_client(weed.settings, pool_size=16)


def environment(weed: Server) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": weed.settings.endpoint,
        "AWS_ACCESS_KEY_ID": str(weed.settings.access_key),
        "AWS_SECRET_ACCESS_KEY": str(weed.settings.secret_key),
    }


@pytest.mark.parametrize("resume", ["stored plan", "new plan"])
def test_killed_twenty_times_it_still_ends_in_the_planned_state(
    weed: Server, client: Any, tmp_path: Path, resume: str
) -> None:
    bucket = versioned_bucket(client)
    ids = write_versions(client, bucket, [f"k/{number:03d}" for number in range(60)], 25)
    client.delete_object(Bucket=bucket, Key="k/000")
    env, plan = environment(weed), tmp_path / "plan"
    prune = [*STOWAGE, "prune", "--bucket", bucket, "--workers", "2", "--batch-size", "20"]
    subprocess.run([*prune, "--keep-last", "2", "--plan-out", str(plan)], env=env, check=True, capture_output=True)
    planned = {(line.key, line.version_id) for line in read_plan(plan).candidates()}
    wanted = {(key, one) for key, versions in stored(client, bucket).items() for one in versions} - planned
    rules = ["--plan-in", str(plan)] if resume == "stored plan" else ["--keep-last", "2"]
    dice = random.Random(34330255)
    seen = set()
    for number in range(KILLS):
        running = subprocess.Popen(
            [*prune, *rules, "--yes"], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert running.stdout
        if number % 2:
            # At any moment, before and after its start included.
            time.sleep(dice.uniform(0.4, 1.2))
        else:
            # In the middle of deleting, however busy the machine is.
            left = dice.randint(1, 60)
            for line in running.stdout:
                left -= line.endswith(b"DELETED\n")
                if left <= 0:
                    break
        running.kill()
        running.communicate()
        now = {(key, one) for key, versions in stored(client, bucket).items() for one in versions}
        assert wanted <= now
        seen.add(len(now))
    subprocess.run([*prune, *rules, "--yes"], env=env, check=True, capture_output=True)
    assert {(key, one) for key, versions in stored(client, bucket).items() for one in versions} == wanted
    between = {count for count in seen if len(wanted) < count < len(wanted) + len(planned)}
    assert len(between) >= 2, f"the kills hit no run half way: {sorted(seen)}"
    assert len(ids) == 60


def test_a_file_overwritten_all_the_time_loses_nothing_but_what_was_planned(
    weed: Server, client: Any, tmp_path: Path
) -> None:
    bucket = versioned_bucket(client)
    write_versions(client, bucket, ["busy", "calm"], 30)
    env, plan = environment(weed), tmp_path / "plan"
    prune = [*STOWAGE, "prune", "--bucket", bucket]
    subprocess.run([*prune, "--keep-last", "3", "--plan-out", str(plan)], env=env, check=True, capture_output=True)
    planned = {(line.key, line.version_id) for line in read_plan(plan).candidates()}
    before = {(key, one) for key, versions in stored(client, bucket).items() for one in versions}
    running = subprocess.Popen([*prune, "--plan-in", str(plan), "--yes"], env=env, stdout=subprocess.DEVNULL)
    added = []
    while running.poll() is None:
        added.append(("busy", client.put_object(Bucket=bucket, Key="busy", Body=b"new")["VersionId"]))
    assert running.returncode == 0
    after = {(key, one) for key, versions in stored(client, bucket).items() for one in versions}
    assert added
    assert after == (before - planned) | set(added)


def test_interrupted_it_says_what_was_done_and_how_to_go_on(weed: Server, client: Any, tmp_path: Path) -> None:
    bucket = versioned_bucket(client)
    write_versions(client, bucket, [f"k/{number:03d}" for number in range(40)], 20)
    before = sum(map(len, stored(client, bucket).values()))
    prune = [*STOWAGE, "prune", "--bucket", bucket, "--workers", "1", "--batch-size", "10", "--all-old", "--yes"]
    running = subprocess.Popen(prune, env=environment(weed), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout
    for line in running.stdout:
        if line.endswith("DELETED\n"):
            break
    running.send_signal(signal.SIGINT)
    _, said = running.communicate()
    assert running.returncode == 130
    assert "interrupted — run the same command again to go on" in said
    counted = re.search(r"^deleted: (\d+), failed: 0,", said, re.MULTILINE)
    assert counted
    left = sum(map(len, stored(client, bucket).values()))
    assert 40 < left < before
    # Batches under way were finished and not counted; nothing is claimed that did not happen.
    assert before - left >= int(counted[1]) > 0
