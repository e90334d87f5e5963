"""Bad settings: one line that names the entry and the field, exit code 78, no secret shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from filator.errors import ConfigError
from filator.settings import load_settings

DB = {"name": "db", "type": "db"}
S3 = {
    "name": "main",
    "type": "s3",
    "endpoint": "http://127.0.0.1:9000",
    "access_key": "AK",
    "secret_key": "TOPSECRET",
    "bucket": "files",
}


def environment(storages: object = None, **more: str) -> dict[str, str]:
    text = storages if isinstance(storages, str) else json.dumps([DB] if storages is None else storages)
    return {
        "FILATOR_DATABASE_URL": "postgresql://u:PGSECRET@127.0.0.1:5432/aggredator-filator",
        "FILATOR_REDIS_URL": "redis://127.0.0.1:6379/0",
        "STORAGES_CONFIGURATIONS": text,
        **more,
    }


@pytest.mark.parametrize(
    ("storages", "words"),
    [
        ("[", ["STORAGES_CONFIGURATIONS", "JSON"]),
        ("{}", ["array"]),
        ("[]", ["at least one"]),
        (["x"], ["entry 0", "object"]),
        ([{"name": "a"}], ["entry 0", "(a)", "type"]),
        ([{**DB, "name": "other"}], ["entry 0", "field name", "called db"]),
        ([DB, {**S3, "name": "db"}], ["entry 1", "field name"]),
        ([{**DB, "readonly": True}], ["readonly", "writable"]),
        ([DB, DB], ["entry 1", "field name", "entry 0"]),
        ([DB, {**S3, "colour": 1}], ["entry 1", "(main)", "field colour", "not known"]),
        ([DB, {**S3, "buckets": "x"}], ["did you mean bucket"]),
        ([{key: value for key, value in S3.items() if key != "endpoint"}], ["field endpoint", "missing"]),
        ([{key: value for key, value in S3.items() if key != "bucket"}], ["field bucket", "required"]),
        ([{**S3, "readonly": "yes"}], ["field readonly", "boolean"]),
        ([{**S3, "open_timeout": "5"}], ["field open_timeout"]),
        ([{**S3, "retry_limit": -1}], ["field retry_limit"]),
        ([{**S3, "endpoint": "127.0.0.1:9000"}], ["field endpoint", "http://"]),
        ([{**S3, "bucket": "Bad_Name"}], ["field bucket"]),
        ([{**S3, "use_dynamic_buckets": True}], ["field prefix"]),
        ([{**S3, "bucket": "a..b"}], ["field bucket"]),
        ([{**S3, "endpoint": "http://h:99999"}], ["field endpoint", "65535"]),
        ([{**S3, "endpoint": "http://h:0"}], ["field endpoint", "65535"]),
        ([{**S3, "endpoint": "http://h:9000/path"}], ["field endpoint", "path"]),
        ([{**S3, "public_endpoint": "http://h:9000/?x=1"}], ["field public_endpoint", "path"]),
        ("[" * 100_000, ["STORAGES_CONFIGURATIONS", "JSON"]),
        ([{**S3, "ca_bundle": "/nonexistent"}], ["field ca_bundle"]),
        ([{"name": "here", "type": "local", "path": "relative"}], ["field path", "absolute"]),
    ],
)
def test_a_bad_storage_is_named_with_entry_and_field(storages: object, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_settings(environment(storages))
    text = str(error.value)
    assert "\n" not in text
    assert "SECRET" not in text
    for word in words:
        assert word in text, text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"FILATOR_LISTN": "x"}, ["FILATOR_LISTN", "did you mean FILATOR_LISTEN"]),
        ({"FILATOR_DATABASE_URL": "mysql://u:PGSECRET@h/d"}, ["FILATOR_DATABASE_URL", "postgresql://"]),
        ({"FILATOR_DATABASE_URL": ""}, ["FILATOR_DATABASE_URL", "missing"]),
        ({"FILATOR_WORKERS": "0"}, ["FILATOR_WORKERS"]),
        ({"FILATOR_DATABASE_URL": "postgresql://u:PGSECRET@h:99999/d"}, ["FILATOR_DATABASE_URL", "65535"]),
        ({"FILATOR_DATABASE_URL": "postgresql://u:PGSECRET@[h/d"}, ["FILATOR_DATABASE_URL", "65535"]),
        ({"FILATOR_REDIS_URL": "redis://h:99999/0"}, ["FILATOR_REDIS_URL", "65535"]),
        ({"FILATOR_REDIS_URL": "redis://h:abc"}, ["FILATOR_REDIS_URL", "65535"]),
        ({"FILATOR_DEFAULT_LIFETIME": "9" * 18}, ["FILATOR_DEFAULT_LIFETIME"]),
        ({"FILATOR_PUBLIC_ENDPOINTS": '{"a":' * 100_000}, ["FILATOR_PUBLIC_ENDPOINTS", "object"]),
        ({"FILATOR_LISTEN": "8080"}, ["FILATOR_LISTEN", "HOST:PORT"]),
        ({"FILATOR_PUBLIC_ENDPOINTS": "[]"}, ["FILATOR_PUBLIC_ENDPOINTS", "object"]),
        ({"FILATOR_EDGE_ENDPOINTS": "{}"}, ["FILATOR_EDGE_ENDPOINTS", "array"]),
        ({"FILATOR_EDGE_ENDPOINTS": "[" * 100_000}, ["FILATOR_EDGE_ENDPOINTS", "array"]),
        ({"FILATOR_EDGE_ENDPOINTS": '["s3.example.org"]'}, ["FILATOR_EDGE_ENDPOINTS", "http://"]),
        ({"FILATOR_PUBLIC_ENDPOINTS": '{"a": "b"}'}, ["FILATOR_PUBLIC_ENDPOINTS"]),
        ({"FILATOR_TOKENS_FILE": "/nonexistent"}, ["FILATOR_TOKENS_FILE", "filator token"]),
        ({"FILATOR_EDGE_LISTEN": "8081"}, ["FILATOR_EDGE_LISTEN", "HOST:PORT"]),
        (
            {"FILATOR_EDGE_LISTEN": "10.0.0.2:8081"},
            ["FILATOR_EDGE_LISTEN", "filator token", "FILATOR_EDGE_ACCESS=open"],
        ),
        ({"FILATOR_EDGE_LISTEN": "10.0.0.2:8080", "FILATOR_EDGE_ACCESS": "open"}, ["FILATOR_EDGE_LISTEN", "port"]),
        ({"FILATOR_EDGE_LISTEN": "10.0.0.2:0", "FILATOR_EDGE_ACCESS": "open"}, ["FILATOR_EDGE_LISTEN", "port"]),
        ({"FILATOR_EDGE_ACCESS": "open"}, ["FILATOR_EDGE_ACCESS", "FILATOR_EDGE_LISTEN"]),
        ({"FILATOR_EDGE_ACCESS": "yes"}, ["FILATOR_EDGE_ACCESS", "'tokens' or 'open'"]),
        ({"FILATOR_PRIVATE_ACCESS": "tokens"}, ["FILATOR_PRIVATE_ACCESS", "filator token"]),
        ({"FILATOR_TOKENS": "me sha256:TOPSECRET read"}, ["FILATOR_TOKENS line 1"]),
        ({"FILATOR_TOKENS": "#"}, ["FILATOR_TOKENS", "no token"]),
        ({"FILATOR_VERIFY_READS": "md5"}, ["FILATOR_VERIFY_READS", "'crc32', 'sha256' or 'off'"]),
        ({"TZ": "Mars/Olympus"}, ["TZ", "Europe/Moscow"]),
    ],
)
def test_a_bad_variable_is_named(more: dict[str, str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_settings(environment(**more))
    text = str(error.value)
    assert "SECRET" not in text
    for word in words:
        assert word in text, text


def test_defaults_are_the_contracts() -> None:
    settings = load_settings(environment([S3, {**DB, "readonly": True}]))
    main = settings.storages[0].model_dump()
    assert (main["region"], main["open_timeout"], main["read_timeout"], main["retry_limit"]) == ("region", 5, 15, 3)
    assert (main["ssl_verify_peer"], main["use_dynamic_buckets"], main["readonly"]) == (True, False, False)
    assert settings.default_lifetime == 86400
    assert "SECRET" not in repr(settings)


@pytest.mark.parametrize(("said", "means"), [("", "crc32"), ("true", "sha256"), ("False", "off"), ("off", "off")])
def test_the_check_of_downloads_still_takes_what_it_took_as_a_switch(said: str, means: str) -> None:
    assert load_settings(environment(FILATOR_VERIFY_READS=said)).verify_reads == means


def test_a_bad_line_of_the_tokens_file_is_named_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# fine\nme sha256:TOPSECRET read\n")
    with pytest.raises(ConfigError, match=r"line 2") as error:
        load_settings(environment(FILATOR_TOKENS_FILE=str(path)))
    assert "SECRET" not in str(error.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
@pytest.mark.parametrize("variable", ["FILATOR_TOKENS_FILE", "ca_bundle"])
def test_a_file_that_the_services_user_may_not_read_is_named_in_one_line(tmp_path: Path, variable: str) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    path = locked / "file"
    path.write_text("me sha256:TOPSECRET read\n")
    given = {"FILATOR_TOKENS_FILE": str(path)} if variable == "FILATOR_TOKENS_FILE" else {}
    storages = [{**S3, "ca_bundle": str(path)}] if variable == "ca_bundle" else None
    code = (
        "import os; from filator.cli import main; import filator.tokens; "
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); main(['check'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(storages, **given),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr.count("\n")) == (78, 1), done.stderr
    assert variable in done.stderr
    assert "PermissionError" in done.stderr
    assert "SECRET" not in done.stderr


TOKEN = f"me sha256:{'0' * 64} read"


@pytest.mark.parametrize(
    ("more", "asks", "warnings"),
    [
        ({}, False, ["127.0.0.1:8080"]),
        # Tokens without a second socket can only be meant for the first.
        ({"FILATOR_TOKENS": TOKEN}, True, []),
        ({"FILATOR_TOKENS": TOKEN, "FILATOR_PRIVATE_ACCESS": "open"}, False, ["127.0.0.1:8080"]),
        ({"FILATOR_TOKENS": TOKEN, "FILATOR_EDGE_LISTEN": "10.0.0.2:8081"}, False, ["127.0.0.1:8080"]),
        (
            {"FILATOR_TOKENS": TOKEN, "FILATOR_EDGE_LISTEN": "[::1]:8081", "FILATOR_PRIVATE_ACCESS": "tokens"},
            True,
            [],
        ),
        (
            {"FILATOR_EDGE_LISTEN": "10.0.0.2:8081", "FILATOR_EDGE_ACCESS": "open"},
            False,
            ["127.0.0.1:8080", "10.0.0.2:8081"],
        ),
    ],
)
def test_what_stands_open_is_what_the_log_says(more: dict[str, str], asks: bool, warnings: list[str]) -> None:
    settings = load_settings(environment(**more))
    assert settings.private_asks is asks
    assert len(settings.warnings) == len(warnings)
    for where, text in zip(warnings, settings.warnings, strict=True):
        assert where in text


def test_check_exits_78_with_one_line() -> None:
    for arguments in (["check"], ["serve"], ["worker"], ["migrate"]):
        done = subprocess.run(
            [sys.executable, "-m", "filator", *arguments],
            env=environment([{**S3, "bucket": 5}]),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 78
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert "entry 0 (main), field bucket" in done.stderr
        assert "SECRET" not in done.stderr
