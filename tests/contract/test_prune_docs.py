"""Every command on the pages about pruning, restoring and the command line is run, in the page's order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from modules import ROOT
from servers import Server
from versioned import stored

from stowage.s3.connection import iam_client, s3_client

ADDRESS = "https://nas.example.net:9000"
# What each page's key may do, as the page says.
ALLOWED = {
    "pruner": ["ListBucket", "ListBucketVersions", "GetBucketVersioning", "GetBucketTagging", "DeleteObjectVersion"],
    "restorer": [
        "ListBucket",
        "ListBucketVersions",
        "GetBucketVersioning",
        "GetBucketTagging",
        "GetObject",
        "GetObjectVersion",
        "PutObject",
        "GetObjectTagging",
        "GetObjectVersionTagging",
        "PutObjectTagging",
    ],
    "admin": ["*"],
}


@pytest.fixture
def bucket(weed: Server) -> Any:
    """The bucket that the pages call reports, with a report written nine times."""
    client = s3_client(weed.settings)
    client.create_bucket(Bucket="reports")
    client.put_bucket_versioning(Bucket="reports", VersioningConfiguration={"Status": "Enabled"})
    for number in range(9):
        client.put_object(Bucket="reports", Key="2511/report.pdf", Body=f"version {number}".encode())
    client.put_object(Bucket="reports", Key="2512/other.pdf", Body=b"other")
    time.sleep(2.1)  # so that "one second ago" lies behind all of this
    yield client
    for key, versions in stored(client, "reports").items():
        for version in versions:
            client.delete_object(Bucket="reports", Key=key, VersionId=version)
    client.delete_bucket(Bucket="reports")


def run_page(weed: Server, page: str, role: str, home: Path) -> subprocess.CompletedProcess[str]:
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert blocks
    for action in ALLOWED[role]:
        assert action == "*" or f"s3:{action}" in text, f"{page} does not name s3:{action}"
    iam = iam_client(weed.settings)
    user = f"{role}-{home.name}"
    iam.create_user(UserName=user)
    actions = ",".join(f'"s3:{action}"' for action in ALLOWED[role])
    resources = '"arn:aws:s3:::reports","arn:aws:s3:::reports/*"'
    document = (
        f'{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":[{actions}],"Resource":[{resources}]}}]}}'
    )
    iam.put_user_policy(UserName=user, PolicyName=role, PolicyDocument=document)
    pair = iam.create_access_key(UserName=user)["AccessKey"]
    (home / f"{role}.secret").write_text(pair["SecretAccessKey"])
    script = "\n".join(blocks).replace(ADDRESS, weed.settings.endpoint)
    script = script.replace(f"AWS_ACCESS_KEY_ID={role}", f"AWS_ACCESS_KEY_ID={pair['AccessKeyId']}")
    assert ADDRESS not in script
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        cwd=home,
        env={"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert pair["SecretAccessKey"] not in done.stdout + done.stderr
    return done


def test_prune_without_fear(weed: Server, bucket: Any, tmp_path: Path) -> None:
    done = run_page(weed, "prune-without-fear.md", "pruner", tmp_path)
    assert "DELETE_PLANNED" in done.stdout
    assert "kept: among the 5 newest" in done.stdout
    assert "deleted: 3, failed: 0, freed: 0.00 MiB" in done.stderr
    assert len(stored(bucket, "reports")["2511/report.pdf"]) == 6
    assert len((tmp_path / "candidates.jsonl").read_text().splitlines()) == 3
    deleted = (tmp_path / "reports.deleted").read_text()
    assert deleted.count(" DELETED\n") == 3
    fingerprint = re.search(r"sha256 ([0-9a-f]{64})", done.stderr)
    assert fingerprint
    assert f"{fingerprint[1]}  -" in done.stdout
    # The page's last command is a restore, and the pruning key may not read objects: nothing to do, nothing done.
    assert "UNCHANGED" in done.stdout


def test_restore(weed: Server, bucket: Any, tmp_path: Path) -> None:
    done = run_page(weed, "restore.md", "restorer", tmp_path)
    assert (tmp_path / "old.pdf").read_bytes() == b"version 7"
    assert "RESTORED from" in done.stdout
    # The folder goes back to a second ago: before or after the restore, so either is right; nothing was lost.
    versions = stored(bucket, "reports")["2511/report.pdf"]
    assert len(versions) >= 10
    bodies = {
        bucket.get_object(Bucket="reports", Key="2511/report.pdf", VersionId=one)["Body"].read() for one in versions
    }
    assert bodies == {f"version {number}".encode() for number in range(9)}


def test_cli(weed: Server, bucket: Any, tmp_path: Path) -> None:
    done = run_page(weed, "cli.md", "admin", tmp_path)
    assert "signature: key" in done.stdout
    assert '"prefix": "2511/"' in done.stdout
    assert "X-Amz-Signature=" in done.stdout


@pytest.mark.parametrize("page", ["prune-without-fear.md", "restore.md", "cli.md"])
def test_links_of_the_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / "docs" / link).exists(), link
