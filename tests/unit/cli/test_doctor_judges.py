"""What each observation means, and what would mend it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stowage.doctor import (
    FAIL,
    OK,
    WARN,
    Answer,
    judge_clock,
    judge_first_answer,
    judge_line,
    judge_signed,
    judge_versioning,
)
from stowage.s3.connection import S3Settings

NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)
SETTINGS = S3Settings(endpoint="http://nas:9000", access_key="k", secret_key="s3cret-value")


@pytest.mark.parametrize(
    ("words", "detail"),
    [
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "speaks plain HTTP"),
        ("certificate verify failed: CERTIFICATE_VERIFY_FAILED", "not trusted here"),
        ("[Errno 111] Connection refused", "nothing listens there"),
        ("Failed to resolve 'nas' ([Errno -2] Name or service not known)", "not known here"),
        ("connect timed out", "no answer in time"),
        ("something new", "something new"),
    ],
)
def test_a_broken_line_is_named(words: str, detail: str) -> None:
    finding = judge_line(words, "https://nas:9000")
    assert (finding.result, detail in finding.detail, bool(finding.cure)) == (FAIL, True, True)


def test_the_wrong_scheme_is_named_from_both_sides() -> None:
    assert "http://nas:9000" in judge_line("WRONG_VERSION_NUMBER", "https://nas:9000").cure
    answer = Answer(400, message="Client sent an HTTP request to an HTTPS server.")
    finding = judge_first_answer(answer, "http://nas:9000")
    assert (finding.result, finding.cure) == (FAIL, "use https://nas:9000")
    assert judge_first_answer(Answer(403, "AccessDenied"), "http://nas:9000").result == OK
    assert judge_first_answer(Answer(502), "http://nas:9000").result == FAIL


@pytest.mark.parametrize(
    ("seconds", "result"), [(0, OK), (59, OK), (61, WARN), (899, WARN), (901, FAIL), (-5000, FAIL)]
)
def test_clocks_are_compared(seconds: int, result: str) -> None:
    assert judge_clock(NOW - timedelta(seconds=seconds), NOW).result == result


def test_a_rewritten_host_is_told_from_a_wrong_secret() -> None:
    refused = Answer(403, "SignatureDoesNotMatch", "no")
    rewritten = judge_signed(refused, SETTINGS, "b", seen_host="nas")
    assert "the store saw Host nas instead of nas:9000" in rewritten.detail
    assert "secret" in judge_signed(refused, SETTINGS, "b").detail


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("InvalidAccessKeyId", "does not know this access key"),
        ("RequestTimeTooSkewed", "clocks"),
        ("NoSuchBucket", "no bucket b"),
        ("InvalidBucketName", "takes the host for the bucket"),
        ("PermanentRedirect", "another region"),
    ],
)
def test_refusals_are_explained_without_the_secret(code: str, said: str) -> None:
    finding = judge_signed(Answer(400, code, "words of the server"), SETTINGS, "b")
    assert (finding.result, said in finding.detail, bool(finding.cure)) == (FAIL, True, True)
    assert "s3cret-value" not in repr(finding)


def test_a_missing_permission_is_no_fault_of_the_signature() -> None:
    assert judge_signed(Answer(403, "AccessDenied"), SETTINGS, "b").result == OK


def test_an_unresolved_bucket_host_points_to_path_style() -> None:
    virtual = S3Settings(endpoint="http://nas:9000", access_key="k", secret_key="s", addressing_style="virtual")
    assert judge_signed(Answer(0, "EndpointConnectionError", "x"), virtual, "b").cure == "use --addressing-style path"


def test_versioning_that_is_off_is_a_warning_with_the_command() -> None:
    assert judge_versioning("Enabled", "b").result == OK
    for status in ("Suspended", None):
        finding = judge_versioning(status, "b")
        assert (finding.result, "--bucket b" in finding.cure) == (WARN, True)
