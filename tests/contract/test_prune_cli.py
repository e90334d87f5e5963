"""The command against a live server: streams, form, exit status (facts/qatlasd.md 3.3)."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from servers import Server
from versioned import stored, write_versions

from stowage.s3.connection import iam_client, s3_client

STOWAGE = str(Path(sys.executable).with_name("stowage"))


@pytest.fixture(scope="module")
def client(weed: Server) -> Any:
    return s3_client(weed.settings, pool_size=16)


def environment(weed: Server, access_key: str | None = None, secret_key: str | None = None) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "QATLAS_S3_ENDPOINT": weed.settings.endpoint,
        "QATLAS_S3_ACCESS_KEY_ID": str(access_key or weed.settings.access_key),
        "QATLAS_S3_SECRET_ACCESS_KEY": str(secret_key or weed.settings.secret_key),
    }


def stowage(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([STOWAGE, *arguments], env=env, check=False, capture_output=True, text=True)
    assert env["QATLAS_S3_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr
    return done


def test_table_on_stdout_and_everything_else_on_stderr(weed: Server, client: Any, bucket: str) -> None:
    ids = write_versions(client, bucket, ["a", "longer/key"], 2)
    time.sleep(1.1)  # the command may start within half a second, and SeaweedFS tells whole seconds
    env = {**environment(weed), "QATLAS_S3_BUCKET_PDF": bucket}
    done = stowage(env, "prune", "--kind", "pdf", "--older-than", "0.5s", "--keep-last", "0")
    blank = "K" * 10 + "  " + "V" * 32
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["KEY", "VERSION_ID", "SIZE", "AGE", "ACTION"]
    assert lines[0].index("SIZE") == len(blank) + 2
    assert [re.sub(r"  \d+m?\d*s +", "  AGE  ", line) for line in lines[1:]] == [
        f"a           {ids['a'][0]}  3   AGE  DELETE_PLANNED".replace("3   AGE", "3     AGE"),
        f"longer/key  {ids['longer/key'][0]}  12    AGE  DELETE_PLANNED",
    ]
    head = done.stderr.splitlines()
    assert head[0] == f"Bucket    : {weed.settings.endpoint}/{bucket} (kind=pdf)"
    assert head[1] == 'Prefix    : ""'
    assert re.fullmatch(r"Older than: 0s \(versions replaced before \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\)", head[2])
    assert head[3:6] == ["Keep last : (no per-key cap)", "Mode      : dry-run (pass --yes to apply)", "---"]
    assert "candidates: 2 versions, 0.00 MiB total" in head
    assert head[-1] == "dry-run only — pass --yes to delete the listed versions"
    assert done.returncode == 0
    assert sum(map(len, stored(client, bucket).values())) == 4


def test_the_rules_of_the_original_are_options(weed: Server, client: Any, bucket: str) -> None:
    """docs/prune-without-fear.md: the way of `qatlasd storage prune`; the rules themselves are the planner's tests."""

    def planned(*rules: str) -> list[str]:
        done = stowage(environment(weed), "prune", "--bucket", bucket, *rules)
        assert done.returncode == 0, done.stderr
        return [line.split()[0] for line in done.stdout.splitlines() if line.endswith("DELETE_PLANNED")]

    write_versions(client, bucket, ["gone", "kept"], 2)
    client.delete_object(Bucket=bucket, Key="gone")
    assert planned("--keep-last", "0") == ["gone", "kept"]
    assert planned("--keep-last", "0", "--include-last-copy") == ["gone", "gone", "kept"]
    assert planned("--keep-last", "0", "--rules", "qatlasd", "--dry-run") == ["gone", "gone", "kept"]
    time.sleep(6)
    write_versions(client, bucket, ["kept"], 1)
    # What was current until now is old by its own date, and was replaced this moment.
    assert planned("--keep-last", "0", "--older-than", "5s").count("kept") == 1
    assert planned("--keep-last", "0", "--older-than", "5s", "--age-basis", "own").count("kept") == 2
    # The one that is kept is the one just replaced, or the newest of those that are old enough.
    assert planned("--keep-last", "1", "--older-than", "5s").count("kept") == 1
    assert planned("--keep-last", "1", "--older-than", "5s", "--keep-last-scope", "eligible").count("kept") == 0
    as_one = planned("--keep-last", "1", "--older-than", "5s", "--rules", "qatlasd")
    apart = ["--age-basis", "own", "--keep-last-scope", "eligible", "--include-last-copy"]
    assert as_one == planned("--keep-last", "1", "--older-than", "5s", *apart)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--rules", "qatlasd", "--age-basis", "noncurrent"), "--rules qatlasd and --age-basis say different things"),
        (("--yes", "--dry-run"), "--yes deletes and --dry-run does not"),
    ],
)
def test_flags_that_contradict_each_other_are_refused_before_the_store_is_asked(
    flags: tuple[str, ...], line: str
) -> None:
    nowhere = {
        "QATLAS_S3_ENDPOINT": "http://127.0.0.1:1",
        "QATLAS_S3_ACCESS_KEY_ID": "somebody",
        "QATLAS_S3_SECRET_ACCESS_KEY": "not-a-secret",
    }
    done = stowage(nowhere, "prune", "--bucket", "some-bucket", "--all-old", *flags)
    assert done.returncode == 2
    assert done.stderr.startswith(f"stowage: {line}")


def test_applying_prints_a_row_for_each_version_and_a_summary(weed: Server, client: Any, bucket: str) -> None:
    ids = write_versions(client, bucket, ["k"], 3)["k"]
    done = stowage(environment(weed), "prune", "--bucket", bucket, "--all-old", "--yes")
    assert done.stdout.splitlines()[3:] == [f"k @{ids[1]} DELETED", f"k @{ids[0]} DELETED"]
    assert "Mode      : APPLY (--yes set, deletions will execute)" in done.stderr
    assert done.stderr.splitlines()[-2:] == ["---", "deleted: 2, failed: 0, freed: 0.00 MiB"]
    assert done.returncode == 0


def test_json_lines_begin_with_the_five_fields_of_the_older_tool(weed: Server, client: Any, bucket: str) -> None:
    ids = write_versions(client, bucket, ['quo"te\t'], 2)
    dry = stowage(environment(weed), "prune", "--bucket", bucket, "--json")
    (line,) = [json.loads(text) for text in dry.stdout.splitlines()]
    assert list(line)[:5] == ["key", "version_id", "size", "age_seconds", "delete_marker"]
    assert (line["key"], line["version_id"], line["delete_marker"]) == ('quo"te\t', ids['quo"te\t'][0], False)
    done = stowage(environment(weed), "prune", "--bucket", bucket, "--all-old", "--json", "--yes")
    (line,) = [json.loads(text) for text in done.stdout.splitlines()]
    assert line["result"] == "deleted"


def test_no_candidates_prints_the_head_of_the_table_and_says_so(weed: Server, bucket: str) -> None:
    done = stowage(environment(weed), "prune", "--bucket", bucket, "--prefix", "nothing/")
    assert done.stdout == "KEY  VERSION_ID  SIZE  AGE  ACTION\n"
    assert done.stderr.splitlines()[-1] == "no noncurrent versions match the filters; nothing to do"
    assert done.returncode == 0


def test_a_failed_deletion_gives_status_one_and_frees_nothing(weed: Server, client: Any, bucket: str) -> None:
    write_versions(client, bucket, ["k"], 2)
    iam = iam_client(weed.settings)
    iam.create_user(UserName=f"weak-{bucket}")
    iam.put_user_policy(
        UserName=f"weak-{bucket}",
        PolicyName="list",
        PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:ListBucketVersions",'
        f'"s3:GetBucketVersioning","s3:GetBucketTagging","s3:ListBucket"],"Resource":["arn:aws:s3:::{bucket}"]}}]}}',
    )
    pair = iam.create_access_key(UserName=f"weak-{bucket}")["AccessKey"]
    env = environment(weed, pair["AccessKeyId"], pair["SecretAccessKey"])
    done = stowage(env, "prune", "--bucket", bucket, "--all-old", "--yes")
    assert done.returncode == 1
    assert "Access Denied: the key needs s3:DeleteObjectVersion" in done.stderr
    assert done.stderr.splitlines()[-2:] == [
        "deleted: 0, failed: 1, freed: 0.00 MiB",
        "1 versions failed to delete (see above)",
    ]


def test_a_plan_over_the_cap_is_shown_dry_and_refused_with_yes(weed: Server, client: Any, bucket: str) -> None:
    write_versions(client, bucket, ["k"], 5)
    capped = ["prune", "--bucket", bucket, "--all-old", "--max-delete", "3"]
    assert stowage(environment(weed), *capped).returncode == 0
    done = stowage(environment(weed), *capped, "--yes")
    assert (done.returncode, "allowed are 3; nothing was deleted" in done.stderr) == (1, True)
    assert len(stored(client, bucket)["k"]) == 5


def test_many_versions_of_one_key_go_in_several_pages_and_batches(weed: Server, client: Any, bucket: str) -> None:
    write_versions(client, bucket, ["k"], 1)
    for _ in range(2300):
        client.put_object(Bucket=bucket, Key="k", Body=b"x")
    done = stowage(environment(weed), "prune", "--bucket", bucket, "--keep-last", "10", "--yes", "--json")
    assert done.stdout.count('"result": "deleted"') == 2290
    assert len(stored(client, bucket)["k"]) == 11


def test_a_terminal_sees_progress_and_a_pipe_does_not(weed: Server, client: Any, bucket: str) -> None:
    write_versions(client, bucket, ["k"], 3)
    piped = stowage(environment(weed), "prune", "--bucket", bucket)
    assert "\x1b" not in piped.stderr
    assert "listing" not in piped.stderr
    outer, inner = pty.openpty()
    with subprocess.Popen(
        [STOWAGE, "prune", "--bucket", bucket, "--all-old", "--yes"],
        env={**environment(weed), "TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=inner,
    ) as running:
        os.close(inner)
        seen = b""
        while True:
            try:
                chunk = os.read(outer, 4096)
            except OSError:
                break
            if not chunk:
                break
            seen += chunk
    os.close(outer)
    assert running.returncode == 0
    assert b"deleting" in seen
    assert b"\x1b" in seen
