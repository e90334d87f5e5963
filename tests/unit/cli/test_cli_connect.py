"""Where to and as whom: flags over environment over env file, or a storage by name; one clear line for the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stowage.cli.connect import _NAMES, Target, target
from stowage.errors import BadInputError
from stowage.s3.transport import authorities

NOTHING: dict[str, Any] = dict.fromkeys(_NAMES)
QUARTET = {
    "QATLAS_S3_ENDPOINT": "http://nas:9000",
    "QATLAS_S3_ACCESS_KEY_ID": "pruner",
    "QATLAS_S3_SECRET_ACCESS_KEY": "s3cret-value",
}
SIX = {**QUARTET, "QATLAS_S3_BUCKET_PDF": "q-pdf", "QATLAS_S3_BUCKET_MD": "q-md", "QATLAS_S3_BUCKET_IMAGES": "q-img"}
STORAGES = json.dumps(
    [
        {"name": "db", "type": "db"},
        {
            "name": "nas",
            "type": "s3",
            "endpoint": "https://nas:9000",
            "access_key": "k",
            "secret_key": "s3cret-value",
            "bucket": "filator",
            "ssl_verify_peer": False,
            "public_endpoint": "https://files.example.net",
        },
        {"name": "daily", "type": "s3", "endpoint": "http://nas:9000", "use_dynamic_buckets": True},
    ]
)


@pytest.fixture(autouse=True)
def _nobodys_profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def found(environ: dict[str, str], **flags: Any) -> Target:
    return target({**NOTHING, **flags}, environ)


def test_the_quartet_is_enough() -> None:
    place = found({**QUARTET, "QATLAS_S3_BUCKET": "q-raw"})
    assert (place.settings.endpoint, place.settings.secret_key, place.bucket) == (
        "http://nas:9000",
        "s3cret-value",
        "q-raw",
    )


def test_the_six_need_a_kind() -> None:
    with pytest.raises(BadInputError, match="names images, md, pdf"):
        found(SIX)
    assert found(SIX, kind="md").bucket == "q-md"
    with pytest.raises(BadInputError, match="no bucket of kind 'html'"):
        found(SIX, kind="html")


def test_aws_variables_serve_when_no_others_are_set() -> None:
    aws = {"AWS_ENDPOINT_URL": "http://s3:1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    assert found(aws, bucket="x").settings.access_key == "a"
    assert found({**aws, **QUARTET}, bucket="x").settings.access_key == "pruner"


def test_flags_win_over_the_environment(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-file\n")
    flags = {
        "endpoint": "https://other:1",
        "access_key": "me",
        "secret_key_file": secret,
        "region": "eu",
        "insecure": True,
    }
    settings = found({**QUARTET, "AWS_ENDPOINT_URL_S3": "http://third"}, bucket="b", **flags).settings
    assert (settings.endpoint, settings.access_key, settings.secret_key) == ("https://other:1", "me", "from-file")
    assert (settings.region, settings.verify) == ("eu", False)


def test_an_env_file_is_read_in_its_own_grammar_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(
        "# comment\nexport QATLAS_S3_ENDPOINT='http://file:9000'\nQATLAS_S3_ACCESS_KEY_ID=\"a\"\n"
        "QATLAS_S3_SECRET_ACCESS_KEY='with $dollar #hash'\nQATLAS_S3_BUCKET=raw\n"
    )
    place = found({"QATLAS_S3_BUCKET": "mine"}, env_file=file)
    assert (place.settings.endpoint, place.settings.secret_key, place.bucket) == (
        "http://file:9000",
        "with $dollar #hash",
        "mine",
    )


def test_a_storage_of_the_file_service_is_found_by_name() -> None:
    place = found({"STORAGES_CONFIGURATIONS": STORAGES}, storage="nas")
    assert (place.bucket, place.settings.verify, place.settings.region) == ("filator", False, "region")
    assert place.public_endpoint == "https://files.example.net"


def test_a_flag_wins_over_what_a_storage_says(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("pruner-secret")
    flags = {"endpoint": "http://other:9000", "access_key": "pruner", "secret_key_file": tmp_path / "secret"}
    place = found({"STORAGES_CONFIGURATIONS": STORAGES}, storage="nas", **flags)
    settings = place.settings
    assert (settings.endpoint, settings.access_key, settings.secret_key, place.bucket) == (
        "http://other:9000",
        "pruner",
        "pruner-secret",
        "filator",
    )


def test_the_authority_of_the_environment_is_trusted_for_a_storage_that_names_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("PEM")
    environ = {"STORAGES_CONFIGURATIONS": STORAGES, "AWS_CA_BUNDLE": str(tmp_path / "ca.pem")}
    assert found(environ, storage="nas").settings.ca_bundle == str(tmp_path / "ca.pem")
    (tmp_path / "own.pem").write_text("PEM")
    own = found(environ, storage="nas", ca_bundle=str(tmp_path / "own.pem"))
    assert own.settings.ca_bundle == str(tmp_path / "own.pem")


@pytest.mark.parametrize(
    ("environ", "flags", "said"),
    [
        ({}, {"bucket": "b"}, "environment lacks AWS_ENDPOINT_URL"),
        ({"QATLAS_S3_ENDPOINT": "http://nas"}, {"bucket": "b"}, "lacks QATLAS_S3_ACCESS_KEY_ID"),
        (QUARTET, {}, "no bucket given"),
        ({**QUARTET, "QATLAS_S3_ENDPOINT": "nas:9000"}, {"bucket": "b"}, "is not http"),
        (QUARTET, {"env_file": Path("/nonexistent/.env")}, "can not be read"),
        (QUARTET, {"secret_key_file": Path("/nonexistent"), "bucket": "b"}, "secret file"),
        ({}, {"storage": "nas"}, "STORAGES_CONFIGURATIONS is not set"),
        ({"STORAGES_CONFIGURATIONS": "{s3cret-value"}, {"storage": "nas"}, "no JSON array"),
        ({"STORAGES_CONFIGURATIONS": STORAGES}, {"bucket": "b"}, "of type s3 there are: daily, nas"),
        ({"STORAGES_CONFIGURATIONS": json.dumps([{"name": "db", "type": "db"}])}, {}, "of type s3 there are: none"),
        ({}, {"profile": "nobody", "bucket": "b"}, "no profile 'nobody' in ~/.aws"),
        ({"AWS_PROFILE": "nobody"}, {"bucket": "b"}, "no profile 'nobody' in ~/.aws"),
        ({"STORAGES_CONFIGURATIONS": STORAGES}, {"storage": "other"}, "there: daily, db, nas"),
        ({"STORAGES_CONFIGURATIONS": STORAGES}, {"storage": "db"}, "only in s3"),
        ({"STORAGES_CONFIGURATIONS": STORAGES}, {"storage": "daily"}, "a bucket per day"),
    ],
)
def test_what_is_missing_is_named_in_one_line_without_a_secret(
    environ: dict[str, str], flags: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInputError, match=said) as caught:
        found(environ, **flags)
    assert "\n" not in str(caught.value)
    assert "s3cret-value" not in str(caught.value)


def test_the_env_file_of_the_file_service_is_enough(tmp_path: Path) -> None:
    file = tmp_path / "filator.env"
    only = json.dumps([one for one in json.loads(STORAGES) if one["name"] != "daily"])
    file.write_text(f"FILATOR_DATABASE_URL='postgresql://x'\nSTORAGES_CONFIGURATIONS='{only}'\n")
    place = found({}, env_file=file)
    assert (place.bucket, place.settings.endpoint) == ("filator", "https://nas:9000")
    assert found(QUARTET, env_file=file, bucket="b").settings.endpoint == "http://nas:9000"


def profiles(folder: Path) -> None:
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id=d\naws_secret_access_key=ds\n[nas]\naws_access_key_id=n\n"
        "aws_secret_access_key=ns\naws_session_token=nt\n"
    )
    (folder / "config").write_text(
        "[default]\nendpoint_url=http://default:9000\n[profile nas]\nregion=eu-x\nservices=mine\n"
        "[services mine]\ns3 =\n  endpoint_url = http://nas:9000\n"
    )


@pytest.mark.parametrize(
    ("environ", "flags", "key", "endpoint"),
    [
        ({}, {}, "d", "http://default:9000"),
        ({"AWS_PROFILE": "nas"}, {}, "n", "http://nas:9000"),
        ({}, {"profile": "nas"}, "n", "http://nas:9000"),
        (QUARTET, {"profile": "nas"}, "n", "http://nas:9000"),
        ({**QUARTET, "AWS_PROFILE": "nas"}, {}, "pruner", "http://nas:9000"),
        ({"AWS_PROFILE": "nas", "AWS_ENDPOINT_URL": "http://other:1"}, {}, "n", "http://other:1"),
        (
            {
                "AWS_PROFILE": "nas",
                "AWS_ENDPOINT_URL": "http://e:1",
                "AWS_ACCESS_KEY_ID": "e",
                "AWS_SECRET_ACCESS_KEY": "s",
            },
            {},
            "e",
            "http://e:1",
        ),
        ({"AWS_ACCESS_KEY_ID": "e", "AWS_SECRET_ACCESS_KEY": "s"}, {"profile": "nas"}, "n", "http://nas:9000"),
        ({}, {"profile": "nas", "endpoint": "http://flag:1"}, "n", "http://flag:1"),
    ],
)
def test_a_profile_is_taken_as_the_aws_programs_take_it(
    tmp_path: Path, environ: dict[str, str], flags: dict[str, Any], key: str, endpoint: str
) -> None:
    profiles(tmp_path)
    settings = found(environ, bucket="b", **flags).settings
    assert (settings.access_key, settings.endpoint) == (key, endpoint)
    if key == "n":
        assert (settings.secret_key, settings.session_token, settings.region) == ("ns", "nt", "eu-x")


def test_insecure_wins_over_a_bundle_of_the_environment() -> None:
    environ = {**QUARTET, "AWS_CA_BUNDLE": "/nonexistent/ca.pem"}
    assert authorities(found(environ, bucket="b", insecure=True).settings) is False
    with pytest.raises(BadInputError, match=r"ca_bundle /nonexistent/ca\.pem is not a file"):
        found(environ, bucket="b")
