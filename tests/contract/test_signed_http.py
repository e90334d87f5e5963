"""The admin client: which answers it asks for again, and what becomes of the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stowage import errors
from stowage.access.signed_http import SignedHttp
from stowage.s3.connection import S3Settings


class Answers:
    """A server that gives the prepared answers in turn, and keeps what it was asked. ``None`` drops the line."""

    def __init__(self) -> None:
        self.prepared: list[tuple[int, bytes] | None] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.endpoint = ""


@pytest.fixture
def answers() -> Iterator[Answers]:
    found = Answers()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.asked.append((self.command, self.path, headers, body))
            prepared = found.prepared.pop(0)
            if prepared is None:
                self.connection.close()
                return
            status, text = prepared
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def client(answers: Answers, attempts: int = 3) -> SignedHttp:
    settings = S3Settings(
        endpoint=answers.endpoint, access_key="AKEY", secret_key="never-to-be-shown", max_attempts=attempts
    )
    return SignedHttp(settings, "/rustfs/admin/v3/")


def fault(code: str, message: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def test_a_500_is_an_answer_and_not_asked_for_again(answers: Answers) -> None:
    answers.prepared = [(500, fault("InternalError", "user &apos;u&apos; does not exist"))]
    with pytest.raises(errors.ServerFaultError, match="failed to try: InternalError: user 'u' does not exist"):
        client(answers).call("GET", "x", "try")
    assert len(answers.asked) == 1


def test_not_ready_yet_is_asked_again(answers: Answers) -> None:
    answers.prepared = [(503, b""), (503, b""), (200, b'{"a": 1}')]
    assert client(answers).call("GET", "x", "try") == {"a": 1}


def test_a_broken_line_is_asked_again_and_then_named(answers: Answers) -> None:
    answers.prepared = [None, (200, b"")]
    assert client(answers).call("GET", "x", "try") is None
    answers.prepared = [None, None]
    with pytest.raises(errors.NetworkError, match=r"failed to try: http://127\.0\.0\.1"):
        client(answers, attempts=2).call("GET", "x", "try")


def test_an_answer_that_is_no_json_is_a_fault_of_the_server(answers: Answers) -> None:
    answers.prepared = [(200, b"<html>")]
    with pytest.raises(errors.ServerFaultError, match="no JSON"):
        client(answers).call("GET", "x", "try")


def test_parameters_are_encoded_strictly_and_the_secret_stays_here(answers: Answers) -> None:
    answers.prepared = [(200, b"")]
    client(answers).call("PUT", "x", "try", query={"b": "a b/c", "a": "1+2"}, body={"k": "v"})
    method, path, headers, body = answers.asked[0]
    assert (method, path, body) == ("PUT", "/rustfs/admin/v3/x?a=1%2B2&b=a%20b%2Fc", b'{"k": "v"}')
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKEY/")
    assert "never-to-be-shown" not in str(answers.asked)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", errors.AuthError),
        (404, "NoSuchResource", errors.NotFoundError),
        (400, "InvalidArgument", errors.RefusedError),
        (501, "NotImplemented", errors.RefusedError),
    ],
)
def test_the_servers_code_becomes_a_typed_error(answers: Answers, status: int, code: str, kind: type) -> None:
    answers.prepared = [(status, fault(code, "why"))]
    with pytest.raises(kind, match=f"failed to try: {code}: why"):
        client(answers).call("GET", "x", "try")
