"""Why a presigned link did not open: the pure part, for causes that no test can bring about on a live line."""

from __future__ import annotations

import email.utils
import re
import socket
import time

import pytest

from stowage import errors
from stowage.s3.presign import _CANARY, PublicEndpoint, _Answer, _broken_line, _diagnosis

PUBLIC = PublicEndpoint("https://s3.example.net/")


def refused(code: str, message: str = "", **headers: str) -> _Answer:
    return _Answer(403, headers, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())


def test_the_canary_as_it_was_put_is_no_cause() -> None:
    assert _diagnosis(_Answer(200, {}, _CANARY), PUBLIC) is None


def test_a_clock_that_is_off_is_named_before_the_signature() -> None:
    date = email.utils.formatdate(time.time() - 3600, usegmt=True)
    named = str(_diagnosis(refused("SignatureDoesNotMatch", Date=date), PUBLIC))
    found = re.search(r"clocks differ by (\d+) seconds", named)
    assert found, named
    # The header has whole seconds, and time goes on until the answer is judged.
    assert int(found[1]) == pytest.approx(3600, abs=60)
    assert "clocks differ" in str(_diagnosis(refused("AccessDenied", "Request has expired"), PUBLIC))
    assert "clocks differ" in str(_diagnosis(refused("RequestTimeTooSkewed"), PUBLIC))


def test_a_right_clock_is_not_blamed() -> None:
    date = email.utils.formatdate(usegmt=True)
    assert "clocks" not in str(_diagnosis(refused("SignatureDoesNotMatch", Date=date), PUBLIC))


def test_a_policy_is_blamed_for_a_plain_refusal() -> None:
    assert "may not read" in str(_diagnosis(refused("AccessDenied"), PUBLIC))


def test_another_store_is_named() -> None:
    answer = _Answer(404, {}, b"<Error><Code>NoSuchBucket</Code></Error>")
    assert "another store" in str(_diagnosis(answer, PUBLIC))


def test_other_bytes_are_counted() -> None:
    assert "200 but 3 other bytes" in str(_diagnosis(_Answer(200, {}, b"abc"), PUBLIC))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError("refused"), "connection refused at a:1"),
        (socket.gaierror("no"), "the name h is not known here"),
        (OSError("certificate verify failed: certificate has expired"), "has expired"),
        (OSError("certificate verify failed: Hostname mismatch"), "for other names than h"),
        (TimeoutError("timed out"), "did not answer in time"),
        (OSError("something else"), "a:1: something else"),
    ],
)
def test_a_broken_line_is_put_in_words(error: Exception, words: str) -> None:
    assert words in _broken_line(error, "a:1", "h")


def test_a_public_endpoint_with_a_path_is_refused() -> None:
    with pytest.raises(errors.BadInputError, match="has a path"):
        PublicEndpoint("https://edge.example.net/s3")
