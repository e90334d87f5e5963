"""The modules s3_prune and s3_restore and their playbooks, against a live server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from modules import ROOT, ModuleFailedError, connection, run
from servers import Server
from versioned import stored, write_versions

from stowage.s3.connection import s3_client


@pytest.fixture(scope="module")
def client(weed: Server) -> Any:
    return s3_client(weed.settings, pool_size=16)


def options(weed: Server, bucket: str, **more: Any) -> dict[str, Any]:
    return {**connection(weed.settings, "iam"), "bucket": bucket, **more}


def test_check_mode_returns_the_same_plan_and_removes_nothing(weed: Server, client: Any, bucket: str) -> None:
    write_versions(client, bucket, ["a", "b"], 4)
    foretold = run("s3_prune", options(weed, bucket, keep_last=1), check=True)
    assert (foretold["changed"], foretold["plan"]["candidates"]) == (True, 4)
    assert sum(map(len, stored(client, bucket).values())) == 8
    assert foretold["versions"][0]["key"] in foretold["diff"]["before"]
    done = run("s3_prune", options(weed, bucket, keep_last=1))
    assert done["versions"] == [
        {**one, "age_seconds": now["age_seconds"], "reason": now["reason"]}
        for one, now in zip(foretold["versions"], done["versions"], strict=True)
    ]
    assert (done["changed"], done["outcomes"]) == (True, {"deleted": 4})
    again = run("s3_prune", options(weed, bucket, keep_last=1))
    assert (again["changed"], again["plan"]["candidates"], again["outcomes"]) == (False, 0, {})


def test_a_stored_plan_is_carried_out_and_logged_for_audit(
    weed: Server, client: Any, bucket: str, tmp_path: Path
) -> None:
    write_versions(client, bucket, ["a"], 3)
    plan, log = tmp_path / "plan", tmp_path / "log"
    run("s3_prune", options(weed, bucket, all_old=True, plan_out=str(plan)), check=True)
    done = run("s3_prune", options(weed, bucket, plan_in=str(plan), log=str(log)))
    assert done["outcomes"] == {"deleted": 2}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["bucket"], line["key"], line["result"]) for line in lines] == [(bucket, "a", "deleted")] * 2


def test_bad_input_and_caps_fail_in_one_line_and_remove_nothing(weed: Server, client: Any, bucket: str) -> None:
    write_versions(client, bucket, ["a"], 3)
    for wrong, said in (
        ({"older_than": "5"}, "not a duration"),
        ({"max_delete": 1}, "2 versions, allowed are 1"),
        ({"plan_in": "/nonexistent"}, "can not be read"),
        ({"plan_in": "/nonexistent", "keep_last": 3}, "brings its own rules"),
        ({"prefix": "/a"}, "begins with /"),
    ):
        with pytest.raises(ModuleFailedError, match=said) as caught:
            run("s3_prune", options(weed, bucket, **wrong))
        assert "\n" not in caught.value.answer["msg"]
    assert len(stored(client, bucket)["a"]) == 3


def test_one_key_is_pruned_and_none_that_starts_like_it(weed: Server, client: Any, bucket: str) -> None:
    write_versions(client, bucket, ["a", "a.pdf", "a/b"], 3)
    done = run("s3_prune", options(weed, bucket, key="a", keep_last=1))
    assert done["outcomes"] == {"deleted": 1}
    assert {key: len(ids) for key, ids in stored(client, bucket).items()} == {"a": 2, "a.pdf": 3, "a/b": 3}
    with pytest.raises(ModuleFailedError, match="key and prefix can not be given together"):
        run("s3_prune", options(weed, bucket, key="a", prefix="a", keep_last=1))


def test_a_module_trusts_the_authority_that_the_environment_names(
    weed: Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent/ca.pem")
    with pytest.raises(ModuleFailedError, match=r"/nonexistent/ca\.pem is not a file"):
        run("s3_prune", options(weed, bucket, keep_last=1))
    assert run("s3_prune", options(weed, bucket, keep_last=1, validate_certs=False))["changed"] is False


def test_a_restore_is_foretold_done_and_then_unchanged(weed: Server, client: Any, bucket: str) -> None:
    ids = write_versions(client, bucket, ["k"], 2)["k"]
    wanted = options(weed, bucket, key="k", version_id=ids[0])
    foretold = run("s3_restore", wanted, check=True)
    assert (foretold["changed"], foretold["results"][0]["source_version_id"]) == (True, ids[0])
    assert len(stored(client, bucket)["k"]) == 2
    done = run("s3_restore", wanted)
    assert done["results"][0]["previous_version_id"] == ids[1]
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"k 0"
    assert run("s3_restore", wanted)["changed"] is False


def playbook(weed: Server, name: str, folder: Path, variables: dict[str, Any], *flags: str) -> str:
    given = folder / "vars.json"
    given.write_text(
        json.dumps({"object_store_endpoint": weed.settings.endpoint, "object_store_region": "us-east-1", **variables})
    )
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-e", f"@{given}"]
    environment = {**os.environ, "ANSIBLE_VAULT_PASSWORD_FILE": str(folder / "vault"), "ANSIBLE_NOCOLOR": "1"}
    (folder / "vault").write_text("x")
    command += [*flags, f"playbooks/ops/{name}.yml"]
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert weed.settings.secret_key not in done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_playbook_audits_then_applies_a_recipe(weed: Server, client: Any, bucket: str, tmp_path: Path) -> None:
    write_versions(client, bucket, ["k"], 8)
    keys = {"prune_access_key": weed.settings.access_key, "prune_secret_key": weed.settings.secret_key}
    audit = playbook(weed, "prune", tmp_path, {"prune_bucket": bucket, **keys, "prune_apply": True})
    assert "candidates: 7" in audit
    assert "changed=0" in audit
    assert len(stored(client, bucket)["k"]) == 8
    recipe = {"prune_bucket": bucket, **keys, "prune_recipe": "keep_5", "prune_log": str(tmp_path / "log")}
    assert "changed=0" in playbook(weed, "prune", tmp_path, recipe)
    applied = playbook(weed, "prune", tmp_path, {**recipe, "prune_apply": True})
    assert "changed=1" in applied
    # Ansible renames `results` of a module that is no list, and the play then had nothing to show.
    assert re.search(r"outcomes:\s+deleted: 2", applied)
    assert "freed: 6" in applied
    assert len(stored(client, bucket)["k"]) == 6
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_the_playbook_shows_a_stored_plan_and_carries_it_out_only_when_told(
    weed: Server, client: Any, bucket: str, tmp_path: Path
) -> None:
    write_versions(client, bucket, ["k", "kk"], 4)
    given = {"prune_bucket": bucket, "prune_access_key": weed.settings.access_key}
    given |= {"prune_secret_key": weed.settings.secret_key}
    plan = str(tmp_path / "plan")
    made = {**given, "prune_recipe": "one_file", "prune_key": "k", "prune_plan_out": plan}
    assert "candidates: 2" in playbook(weed, "prune", tmp_path, made)
    shown = playbook(weed, "prune", tmp_path, {**given, "prune_plan_in": plan})
    assert "candidates: 2" in shown
    assert {key: len(ids) for key, ids in stored(client, bucket).items()} == {"k": 4, "kk": 4}
    applied = playbook(weed, "prune", tmp_path, {**given, "prune_plan_in": plan, "prune_apply": True})
    assert re.search(r"outcomes:\s+deleted: 2", applied)
    assert {key: len(ids) for key, ids in stored(client, bucket).items()} == {"k": 2, "kk": 4}


def test_the_playbook_restores_byte_for_byte(weed: Server, client: Any, bucket: str, tmp_path: Path) -> None:
    first = client.put_object(Bucket=bucket, Key="a b", Body=b"good", Metadata={"sha256": "x"})["VersionId"]
    client.put_object(Bucket=bucket, Key="a b", Body=b"wrong")
    given = {"restore_bucket": bucket, "restore_key": "a b", "restore_version_id": first}
    given |= {"restore_access_key": weed.settings.access_key, "restore_secret_key": weed.settings.secret_key}
    assert "changed=1" in playbook(weed, "restore", tmp_path, given, "--check")
    assert client.get_object(Bucket=bucket, Key="a b")["Body"].read() == b"wrong"
    assert "changed=1" in playbook(weed, "restore", tmp_path, given)
    now = client.get_object(Bucket=bucket, Key="a b")
    assert (now["Body"].read(), now["Metadata"]) == (b"good", {"sha256": "x"})
    assert "changed=0" in playbook(weed, "restore", tmp_path, given)
