"""s3_bucket against a real server: twice, in check mode, with diff, and after somebody else changed something."""

from __future__ import annotations

import secrets

import pytest
from botocore.exceptions import ClientError
from modules import ModuleFailedError, connection, run
from servers import Server, free_ports

from stowage.s3.connection import s3_client


@pytest.fixture
def name() -> str:
    return f"bucket-{secrets.token_hex(4)}"


def options(server: Server, **own: object) -> dict[str, object]:
    return {**connection(server.settings, server.driver), **own}


def test_a_second_run_changes_nothing(server: Server, name: str) -> None:
    first = run("s3_bucket", options(server, name=name))
    second = run("s3_bucket", options(server, name=name))
    assert (first["changed"], second["changed"]) == (True, False)
    s3_client(server.settings).head_bucket(Bucket=name)


def test_check_mode_predicts_and_touches_nothing(server: Server, name: str) -> None:
    answer = run("s3_bucket", options(server, name=name), check=True)
    assert answer["changed"]
    assert '"bucket": "present"' in answer["diff"][0]["after"]
    with pytest.raises(ClientError):
        s3_client(server.settings).head_bucket(Bucket=name)


def test_suspended_versioning_is_enabled_again_and_the_diff_says_so(versioned: Server, name: str) -> None:
    client = s3_client(versioned.settings)
    run("s3_bucket", options(versioned, name=name, versioning="enabled"))
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    answer = run("s3_bucket", options(versioned, name=name, versioning="enabled"))
    assert answer["differences"] == ["versioning"]
    assert answer["versioning_before"] == "suspended"
    assert '"versioning": "suspended"' in answer["diff"][0]["before"]
    assert client.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"


def test_versioning_is_never_switched_off(versioned: Server, name: str) -> None:
    run("s3_bucket", options(versioned, name=name, versioning="enabled"))
    assert not run("s3_bucket", options(versioned, name=name))["changed"]
    assert s3_client(versioned.settings).get_bucket_versioning(Bucket=name)["Status"] == "Enabled"


def test_a_full_bucket_is_not_removed(server: Server, name: str) -> None:
    client = s3_client(server.settings)
    run("s3_bucket", options(server, name=name))
    client.put_object(Bucket=name, Key="precious", Body=b"x")
    with pytest.raises(ModuleFailedError, match="not empty"):
        run("s3_bucket", options(server, name=name, state="absent"))
    with pytest.raises(ModuleFailedError, match="not empty"):
        run("s3_bucket", options(server, name=name, state="absent"), check=True)
    assert client.get_object(Bucket=name, Key="precious")["Body"].read() == b"x"


def test_a_bucket_with_only_a_delete_marker_is_not_empty(versioned: Server, name: str) -> None:
    client = s3_client(versioned.settings)
    run("s3_bucket", options(versioned, name=name, versioning="enabled"))
    client.put_object(Bucket=name, Key="precious", Body=b"x")
    client.delete_object(Bucket=name, Key="precious")
    with pytest.raises(ModuleFailedError, match="not empty"):
        run("s3_bucket", options(versioned, name=name, state="absent"))


def test_force_empties_and_counts(server: Server, name: str) -> None:
    client = s3_client(server.settings)
    run("s3_bucket", options(server, name=name))
    for number in range(3):
        client.put_object(Bucket=name, Key=f"key-{number}", Body=b"x")
    answer = run("s3_bucket", options(server, name=name, state="absent", force=True))
    assert answer["deleted_versions"] == 3
    assert not run("s3_bucket", options(server, name=name, state="absent"))["changed"]


def test_a_store_without_versioning_fails_or_warns_and_never_reports_a_change(juicefs: Server, name: str) -> None:
    run("s3_bucket", options(juicefs, name=name))
    with pytest.raises(ModuleFailedError, match="no versioning"):
        run("s3_bucket", options(juicefs, name=name, versioning="enabled"), check=True)
    answer = run("s3_bucket", options(juicefs, name=name, versioning="enabled", versioning_required=False))
    assert (answer["changed"], answer["versioning"]) == (False, "unsupported")
    assert "no versioning" in str(answer["warnings"])


def test_object_lock_is_refused_on_a_bucket_made_without_it(versioned: Server, name: str) -> None:
    run("s3_bucket", options(versioned, name=name))
    with pytest.raises(ModuleFailedError, match="without object lock"):
        run("s3_bucket", options(versioned, name=name, object_lock=True))


def test_a_bucket_with_object_lock_is_made_once(versioned: Server, name: str) -> None:
    wanted = options(versioned, name=name, object_lock=True, versioning="enabled")
    assert run("s3_bucket", wanted)["changed"]
    assert not run("s3_bucket", wanted)["changed"]


@pytest.mark.parametrize("wrong", ["ab", "Upper", "under_score", "10.0.0.1", "a..b", "rustfs", "x-s3alias", "-begin"])
def test_malformed_and_reserved_names_are_refused_before_the_call(wrong: str) -> None:
    nobody = {"endpoint": f"http://127.0.0.1:{free_ports(1)[0]}", "access_key": "a", "secret_key": "b" * 8}
    with pytest.raises(ModuleFailedError, match="bucket name") as caught:
        run("s3_bucket", {**nobody, "name": wrong})
    assert caught.value.answer["kind"] == "bad_input"


def test_several_buckets_in_one_call_take_the_calls_options_as_defaults(versioned: Server, name: str) -> None:
    wanted = options(
        versioned, versioning="enabled", buckets=[{"name": f"{name}-a"}, {"name": f"{name}-b", "object_lock": True}]
    )
    answer = run("s3_bucket", wanted)
    assert [one["versioning"] for one in answer["results"]] == ["enabled", "enabled"]
    assert not run("s3_bucket", wanted)["changed"]
    info = run("s3_bucket_info", options(versioned, names=[f"{name}-a", f"{name}-b", f"{name}-c"]))
    assert [one["object_lock"] for one in info["buckets"]] == [False, True]


def test_a_quota_is_set_once_and_lifted(telling: Server, name: str) -> None:
    wanted = options(telling, name=name, quota="1G")
    assert run("s3_bucket", wanted)["changed"]
    assert not run("s3_bucket", wanted)["changed"]
    lifted = run("s3_bucket", {**wanted, "quota": "0"})
    assert (lifted["differences"], lifted["quota"]) == (["quota"], None)
    assert not run("s3_bucket", {**wanted, "quota": "0"})["changed"]


def test_a_store_without_quotas_refuses_one_before_the_call(weed: Server, name: str) -> None:
    with pytest.raises(ModuleFailedError, match="no quotas"):
        run("s3_bucket", options(weed, name=name, quota="1G"), check=True)


def test_without_a_key_the_missing_options_are_named(weed: Server, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ModuleFailedError, match="no access_key and secret_key given"):
        run("s3_bucket", {"endpoint": weed.settings.endpoint, "name": name})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", str(weed.settings.access_key))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", str(weed.settings.secret_key))
    assert run("s3_bucket", {"endpoint": weed.settings.endpoint, "name": name})["changed"]


def test_check_mode_assumes_an_empty_store_only_when_told_so(name: str) -> None:
    nobody = {
        "endpoint": f"http://127.0.0.1:{free_ports(1)[0]}",
        "access_key": "a",
        "secret_key": "b" * 8,
        "name": name,
    }
    with pytest.raises(ModuleFailedError, match="not reached"):
        run("s3_bucket", nobody, check=True)
    assume = {**nobody, "check_unreachable": "assume_absent"}
    answer = run("s3_bucket", assume, check=True)
    assert answer["changed"]
    assert "assumed to be an empty store" in str(answer["warnings"])
    with pytest.raises(ModuleFailedError, match="not reached"):
        run("s3_bucket", assume)


def test_a_wrong_secret_is_an_auth_error_that_shows_no_secret(server: Server, name: str) -> None:
    with pytest.raises(ModuleFailedError) as caught:
        run("s3_bucket", {**options(server, name=name), "secret_key": "not-the-secret"})
    assert caught.value.answer["kind"] == "auth"
    assert "not-the-secret" not in str(caught.value.answer)


def test_a_bucket_is_made_strict_and_brought_back_to_it(rustfs: Server, name: str) -> None:
    wanted = options(rustfs, name=name, durability="strict")
    first = run("s3_bucket", wanted)
    if first["durability"] is None:
        pytest.skip("this RustFS has no durability of buckets: 1.0.0-beta.9 and later do")
    assert run("s3_bucket_info", options(rustfs, names=[name]))["buckets"][0]["durability"] == "strict"
    assert not run("s3_bucket", wanted)["changed"]
    assert run("s3_bucket", {**wanted, "durability": "relaxed"})["differences"] == ["durability"]
    predicted = run("s3_bucket", wanted, check=True)
    assert predicted["differences"] == ["durability"]
    assert run("s3_bucket_info", options(rustfs, names=[name]))["buckets"][0]["durability"] == "relaxed"
    assert run("s3_bucket", wanted)["differences"] == ["durability"]
    assert not run("s3_bucket", wanted)["changed"]


def test_a_server_without_durability_is_a_warning_and_no_change_for_ever(double: Server, name: str) -> None:
    wanted = options(double, name=name, durability="strict")
    first = run("s3_bucket", wanted)
    second = run("s3_bucket", wanted)
    assert (first["durability"], second["durability"], second["changed"]) == (None, None, False)
    assert "up to beta.8 syncs nothing" in str(second["warnings"])


def test_a_store_that_knows_no_durability_refuses_one_before_the_call(weed: Server, name: str) -> None:
    with pytest.raises(ModuleFailedError, match="no setting for durability"):
        run("s3_bucket", options(weed, name=name, durability="strict"), check=True)
