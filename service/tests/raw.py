"""Requests as bytes on a socket, for what no HTTP library would send."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

BOUNDARY = b"b"
FORM = b'--b\r\nContent-Disposition: form-data; name="body"; filename="f"\r\n\r\n%s\r\n--b--\r\n'
FORM_TYPE = b"Content-Type: multipart/form-data; boundary=b\r\n"


class Answer(NamedTuple):
    """One answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """A connection, seen as bytes."""

    def __init__(self, port: int, *, timeout: float = 20) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def send(self, *pieces: bytes, pause: float = 0.05) -> None:
        """Send the pieces one by one, so that each arrives by itself."""
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(pause)
            # Whoever is refused early closes its side.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.socket.sendall(piece)

    def answer(self, method: str = "GET") -> Answer | None:
        """Read the next answer; None at the end of the connection."""
        if not self._file.peek(1):
            return None
        response = http.client.HTTPResponse(_Shared(self._file), method=method)  # type: ignore[arg-type]
        response.begin()
        body = response.read()
        return Answer(response.status, {name.lower(): text for name, text in response.getheaders()}, body)

    def answers(self) -> list[Answer]:
        """Read all answers until the other side closes."""
        return list(iter(self.answer, None))

    def close(self) -> None:
        self._file.close()
        self.socket.close()


class _Shared:
    """What http.client wants of a socket; the reader stays ours, and open, between two answers."""

    def __init__(self, file: socket.SocketIO) -> None:
        self._file = file

    def makefile(self, _mode: str) -> _Shared:
        return self

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def close(self) -> None:
        """Leave it open."""

    def flush(self) -> None:
        """Nothing is written through it."""


@contextlib.contextmanager
def wire(port: int, *, timeout: float = 20) -> Iterator[Wire]:
    """Connect, and close in the end."""
    connection = Wire(port, timeout=timeout)
    try:
        yield connection
    finally:
        connection.close()


def upload(content: bytes, *fields: bytes, method: bytes = b"POST", path: bytes = b"/attachments") -> bytes:
    """Build an upload with header fields of one's own."""
    body = FORM % content
    lines = b"".join(field + b"\r\n" for field in fields)
    head = b"%s %s HTTP/1.1\r\nHost: x\r\n%s%sContent-Length: %d\r\n\r\n" % (method, path, lines, FORM_TYPE, len(body))
    return head + body
