"""Clients as their languages bring them: offers of h2c, and refusals while they still send."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from conftest import MakeSite, Site
from raw import FORM, wire
from test_edges import PROXIES, in_front

CLIENTS = Path(__file__).parent / "clients"
# More than sockets hold, so that the refusal comes while the client sends.
LARGE = 30_000_000
TIMES = 3


def program(name: str) -> str:
    """Find a program, or skip."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}, which is not installed")
    return found


def run(*command: str) -> list[str]:
    """Run a client and return the lines it prints: the status of each answer, or what went wrong."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=CLIENTS)
    return (done.stdout + done.stderr).split("\n")[:-1]


def java(url: str, size: int, times: int) -> list[str]:
    return run(program("java"), "-XX:TieredStopAtLevel=1", "Upload.java", url, str(size), str(times))


def go(url: str, size: int, times: int) -> list[str]:
    return run(program("go"), "run", "upload.go", url, str(size), str(times))


def node(url: str, size: int, times: int) -> list[str]:
    return run(program("node"), "upload.mjs", url, str(size), str(times))


def curl(url: str, size: int, times: int, *options: str) -> list[str]:
    done = []
    for _ in range(times):
        command = [
            program("curl"),
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            *options,
            "-F",
            "body=@-;filename=f",
            url,
        ]
        answer = subprocess.run(command, input=bytes(size), capture_output=True, timeout=120, check=False)
        done.append(answer.stdout.decode() + (f" {answer.stderr.decode()}" if answer.returncode else ""))
    return done


def curl_h2c(url: str, size: int, times: int) -> list[str]:
    return curl(url, size, times, "--http2")


def python(url: str, size: int, times: int) -> list[str]:
    done = []
    for _ in range(times):
        try:
            done.append(str(requests.post(url, files={"body": ("f", bytes(size))}, timeout=120).status_code))
        except requests.RequestException as exc:
            done.append(repr(exc))
    return done


Client = Callable[[str, int, int], list[str]]
ALL: list[Client] = [java, go, node, curl, curl_h2c, python]


@pytest.fixture(scope="module")
def site(make_site: MakeSite) -> Site:
    return make_site("db", FILATOR_EDGE_LISTEN="yes", FILATOR_EDGE_ACCESS="open", FILATOR_MAX_BODY_BYTES="1000000")


@pytest.fixture(scope="module", params=["direct", *PROXIES])
def url(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where files go: to the service itself, or by an edge."""
    with contextlib.ExitStack() as stack:
        base = site.url
        if request.param in PROXIES:
            folder = tmp_path_factory.mktemp(request.param)
            base = stack.enter_context(in_front(request.param, folder, site.app.edge_port)).service_url
        yield f"{base}/attachments"


@pytest.mark.parametrize("client", ALL, ids=lambda it: it.__name__)
def test_an_upload_is_kept(url: str, client: Client) -> None:
    assert client(url, 1000, TIMES) == ["201"] * TIMES


@pytest.mark.parametrize("client", ALL, ids=lambda it: it.__name__)
@pytest.mark.parametrize(
    ("path", "statuses"), [("", {"413"}), ("/" + "a" * 64, {"405"}), ("/archive/tx", {"413", "401"})]
)
def test_a_client_that_still_sends_reads_the_refusal(url: str, client: Client, path: str, statuses: set[str]) -> None:
    got = client(url + path, LARGE, TIMES)
    # At an edge the archive is closed to everyone, whatever is sent; the service itself takes 64 KiB of fields.
    assert set(got) <= statuses
    assert len(got) == TIMES


def test_an_upload_in_the_form_of_dotnet_is_kept(url: str) -> None:
    """HttpClient of .NET quotes the boundary but no name, and offers h2c where it is asked to."""
    authority = url.removeprefix("http://").partition("/")[0]
    body = (FORM % b"dotnet").replace(b'name="body"; filename="f"', b"name=body; filename=f; filename*=utf-8''f")
    head = (
        "POST /attachments HTTP/1.1\r\n"
        f"Host: {authority}\r\n"
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
        'Content-Type: multipart/form-data; boundary="b"\r\n'
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with wire(int(authority.rpartition(":")[2])) as connection:
        connection.send(head.encode(), body)
        answer = connection.answer("POST")
    assert answer is not None
    assert answer.status == 201, answer
    assert json.loads(answer.body)["filename"] == "f"


def test_a_client_that_sends_for_seconds_before_it_reads_gets_the_refusal(url: str) -> None:
    """Caddy waits for such a client half a second, the kernel not at all."""
    authority = url.removeprefix("http://").partition("/")[0]
    head = f"POST /attachments HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {40 << 16}\r\n\r\n"
    with wire(int(authority.rpartition(":")[2])) as connection:
        connection.socket.sendall(head.encode())
        for _ in range(40):
            connection.socket.sendall(bytes(1 << 16))
            time.sleep(0.05)
        answer = connection.answer("POST")
    assert answer is not None
    assert answer.status in (400, 413)
