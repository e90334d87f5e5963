"""Settings, the environment, and botocore's exceptions as ours."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from stowage import errors
from stowage.s3.connection import (
    S3Settings,
    engine_errors,
    environment_buckets,
    from_environment,
    from_status,
    s3_client,
)

KEY = {"access_key": "AK", "secret_key": "top-secret"}


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("", "no S3 endpoint"),
        ("nas:9000", "is not http"),
        ("ftp://nas", "is not http"),
        ("http://", "is not http"),
        ("http://nas/s3", "has a path"),
        ("http://nas:port", "is not a URL"),
        ("http://fd00::1:9000", r"right: an IPv6 address in brackets, http://\[fd00::1\]:9000"),
        ("fd00::1", r"right: an IPv6 address in brackets, http://\[fd00::1\]:9000"),
    ],
)
def test_a_wrong_endpoint_is_refused_with_the_right_form(endpoint: str, words: str) -> None:
    with pytest.raises(errors.BadInputError, match=words):
        S3Settings(endpoint=endpoint)


def test_credentials_in_an_endpoint_are_refused_and_not_repeated() -> None:
    with pytest.raises(errors.BadInputError) as caught:
        S3Settings(endpoint="http://user:hidden@nas:9000")
    assert "hidden" not in str(caught.value)


def test_no_secret_in_repr() -> None:
    settings = S3Settings(endpoint="http://nas:9000/", **KEY, session_token="token-text")
    assert settings.endpoint == "http://nas:9000"
    assert "top-secret" not in repr(settings)
    assert "token-text" not in repr(settings)


def test_half_a_key_pair_is_refused() -> None:
    with pytest.raises(errors.BadInputError, match="secret_key is missing"):
        S3Settings(endpoint="http://nas", access_key="AK")


def test_without_a_key_requests_go_unsigned() -> None:
    url = s3_client(S3Settings(endpoint="http://nas:9000")).generate_presigned_url("list_buckets")
    assert "Signature" not in url


def test_links_are_signed_with_v4() -> None:
    settings = S3Settings(endpoint="http://nas:9000", **KEY)
    url = s3_client(settings).generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    assert url.startswith("http://nas:9000/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256")


def test_the_quartet_and_the_six_come_before_aws() -> None:
    environ = {
        "QATLAS_S3_ENDPOINT": "http://qatlas:9000",
        "QATLAS_S3_ACCESS_KEY_ID": "Q",
        "QATLAS_S3_SECRET_ACCESS_KEY": "q",
        "AWS_ENDPOINT_URL": "http://aws",
        "AWS_ACCESS_KEY_ID": "A",
        "AWS_SECRET_ACCESS_KEY": "a",
    }
    assert from_environment(environ).endpoint == "http://qatlas:9000"
    aws = {name: value for name, value in environ.items() if name.startswith("AWS")}
    assert from_environment({**aws, "AWS_ENDPOINT_URL_S3": "http://s3"}).endpoint == "http://s3"


def test_a_group_set_in_part_names_what_is_missing() -> None:
    with pytest.raises(errors.BadInputError, match="QATLAS_S3_ACCESS_KEY_ID, QATLAS_S3_SECRET_ACCESS_KEY"):
        from_environment({"QATLAS_S3_ENDPOINT": "http://nas"})


def test_buckets_of_both_eras_are_found() -> None:
    assert environment_buckets({"QATLAS_S3_BUCKET": "raw"}) == {"raw": "raw"}
    six = {"QATLAS_S3_BUCKET_PDF": "p", "QATLAS_S3_BUCKET_MD": "m", "QATLAS_S3_BUCKET_IMAGES": "i"}
    assert environment_buckets(six) == {"pdf": "p", "md": "m", "images": "i"}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", errors.AuthError),
        (403, "", errors.AuthError),
        (404, "NoSuchBucket", errors.NotFoundError),
        (404, "", errors.NotFoundError),
        (409, "BucketNotEmpty", errors.ConflictError),
        (412, "PreconditionFailed", errors.ConflictError),
        (400, "InvalidRequest", errors.RefusedError),
        (501, "NotImplemented", errors.RefusedError),
        (500, "InternalError", errors.ServerFaultError),
        (503, "SlowDown", errors.ServerFaultError),
    ],
)
def test_a_status_becomes_the_error_a_person_has_to_act_on(status: int, code: str, kind: type) -> None:
    assert type(from_status(status, code, "why", "do it")) is kind


def test_a_key_that_rustfs_switched_off_is_an_auth_error() -> None:
    assert isinstance(from_status(400, "InvalidRequest", "ErrAccessKeyDisabled", "do it"), errors.AuthError)


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="http://nas", error=OSError("Connection refused")),
        ReadTimeoutError(endpoint_url="http://nas"),
    ],
)
def test_a_broken_line_is_a_network_error_that_names_the_endpoint(error: Exception) -> None:
    with pytest.raises(errors.NetworkError, match="http://nas"), engine_errors("list", "http://nas"):
        raise error


def test_the_servers_own_words_are_kept() -> None:
    answer = {"Error": {"Code": "NoSuchKey", "Message": "gone"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
    with (
        pytest.raises(errors.NotFoundError, match="failed to get k: NoSuchKey: gone"),
        engine_errors("get k", "http://x"),
    ):
        raise ClientError(answer, "GetObject")  # type: ignore[arg-type]


def test_an_error_is_one_line_with_its_hint() -> None:
    error = errors.NotFoundError("no\nsuch   thing", "make it")
    assert str(error) == "no such thing (make it)"
    assert error.kind == "not_found"
