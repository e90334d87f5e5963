"""The user record is lost while its key remains (seen on RustFS sites): found, named and mended without a new key."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import pytest
from modules import connection, run
from servers import Server, rustfs

from stowage.access.keys import signs
from stowage.access.model import Credentials
from stowage.s3.connection import s3_client


def options(server: Server, **own: object) -> dict[str, object]:
    return {**connection(server.settings, server.driver), **own}


def site(server: Server, name: str) -> tuple[dict[str, object], dict[str, str]]:
    """A bucket, a user that may list it, and its key."""
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{name}"}],
    }
    run("s3_bucket", options(server, name=name))
    run("s3_policy", options(server, name=name, document=document))
    run("s3_user", options(server, name=name, policies=[name]))
    pair = run("s3_access_key", options(server, user=name))["credentials"]
    return {"name": name, "policies": [name]}, pair


def mend_and_look(server: Server, user: dict[str, object], pair: dict[str, str]) -> None:
    name = str(user["name"])
    found = run("s3_access_key_info", options(server, users=[name]))["users"][0]
    assert found["state"] == "lost"
    predicted = run("s3_user", options(server, **user), check=True)
    assert "record lost, keys left" in predicted["diff"][0]["before"]
    answer = run("s3_user", options(server, **user))
    assert "its record was lost" in str(answer["warnings"])
    assert not run("s3_user", options(server, **user))["changed"]
    assert not run("s3_access_key", options(server, user=name, **pair))["changed"]
    assert signs(server.settings, Credentials(**pair))
    key = server.settings.with_key(pair["access_key_id"], pair["secret_access_key"])
    s3_client(key).list_objects_v2(Bucket=name)


def test_a_lost_user_is_made_again_and_its_key_works_unchanged(double: Server) -> None:
    name = f"lost-{secrets.token_hex(4)}"
    user, pair = site(double, name)
    del double.extra["access"].accounts[name]  # type: ignore[attr-defined]
    mend_and_look(double, user, pair)


def test_a_lost_user_is_removed_with_the_keys_that_are_left(double: Server) -> None:
    name = f"lost-{secrets.token_hex(4)}"
    _, pair = site(double, name)
    del double.extra["access"].accounts[name]  # type: ignore[attr-defined]
    gone = options(double, name=name, state="absent")
    assert [run("s3_user", gone)["changed"] for _ in range(2)] == [True, False]
    assert not signs(double.settings, Credentials(**pair))


def test_the_same_on_a_real_server_whose_record_was_removed_from_its_disk(tmp_path: Path) -> None:
    binary = os.environ.get("STOWAGE_RUSTFS_BIN")
    if not binary:
        pytest.skip("needs STOWAGE_RUSTFS_BIN: the record is removed from the disk of a stopped server")
    secret = secrets.token_hex(16)
    with rustfs(tmp_path, binary, secret_key=secret) as server:
        user, pair = site(server, "lost-real")
    shutil.rmtree(tmp_path / "data/.rustfs.sys/config/iam/users/lost-real")
    with rustfs(tmp_path, binary, secret_key=secret) as server:
        mend_and_look(server, user, pair)
