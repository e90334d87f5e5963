"""Who may come in by which socket: the private one, and the one for edges."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests
import servers
from conftest import MakeSite, Site

from filator.tokens import Caller, Gate, new_token, parse_tokens

UUID = "ab" * 32
SCOPES = ("read", "write", "admin")
TOKENS = {scope: new_token(f"n-{scope}", [scope]) for scope in SCOPES}
LINES = "; ".join(line for _, line in TOKENS.values())
# Every request of the contract and who may send it through an edge; None: everyone.
REQUESTS: dict[tuple[str, str], str | None] = {
    ("POST", "/attachments"): "write",
    ("PUT", "/attachments/UUID"): "write",
    ("GET", "/attachments/UUID"): "read",
    ("HEAD", "/attachments/UUID"): "read",
    ("GET", "/attachments/UUID.json"): "read",
    ("HEAD", "/attachments/UUID.json"): "read",
    ("GET", "/attachments/UUID?redirect=1"): "read",
    ("DELETE", "/attachments/UUID"): "admin",
    ("POST", "/attachments/archive/tx"): "admin",
    ("GET", "/attachments/archive/UUID"): "admin",
    ("HEAD", "/attachments/archive/UUID"): "admin",
    ("POST", "/attachments/archive/UUID"): "admin",
    ("DELETE", "/attachments/archive/UUID"): "admin",
    ("GET", "/"): "admin",
    ("HEAD", "/"): "admin",
    ("GET", "/readyz"): "admin",
    ("HEAD", "/readyz"): "admin",
    ("GET", "/metrics"): "admin",
    ("HEAD", "/metrics"): "admin",
    ("GET", "/openapi.json"): "read",
    ("HEAD", "/openapi.json"): "read",
    ("GET", "/healthz"): None,
    ("HEAD", "/healthz"): None,
}
OPERATORS = [(method, path) for method, path in REQUESTS if "archive" in path or path in ("/", "/readyz", "/metrics")]


def ask(url: str, method: str, path: str, token: str = "", **headers: str) -> requests.Response:
    if token:
        headers["Authorization"] = f"Bearer {token}"
    options: dict[str, Any] = {"files": {"body": b"x"}} if method in ("POST", "PUT") and "archive" not in path else {}
    return requests.request(
        method, url + path.replace("UUID", UUID), headers=headers, allow_redirects=False, timeout=20, **options
    )


@pytest.fixture(scope="module")
def doors(make_site: MakeSite) -> Site:
    return make_site("db", FILATOR_EDGE_LISTEN="yes", FILATOR_TOKENS=LINES, FILATOR_WORKERS="2")


def test_the_table_holds_every_route(doors: Site) -> None:
    served = requests.get(f"{doors.url}/openapi.json", timeout=10).json()["paths"]
    described = {
        (method.upper(), re.sub(r"\{[^}]*\}", "UUID", path))
        for path, methods in served.items()
        for method in methods
        if method in ("get", "head", "post", "put", "delete")
    }
    assert described <= set(REQUESTS)


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_an_edge_asks_for_the_scope_of_each_request(doors: Site, method: str, path: str) -> None:
    needed = REQUESTS[method, path]
    for token in ("", "fil_unknown"):
        anonymous = ask(doors.app.edge_url, method, path, token)
        assert anonymous.status_code == (401 if needed else 200)
    for scope in SCOPES:
        answer = ask(doors.app.edge_url, method, path, TOKENS[scope][0])
        refused = answer.status_code in (401, 403)
        assert refused is (needed is not None and scope not in (needed, "admin")), (scope, answer.status_code)


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_the_private_socket_stays_as_open_as_the_original(doors: Site, method: str, path: str) -> None:
    assert ask(doors.url, method, path).status_code not in (401, 403)


def test_no_header_makes_an_edge_the_private_socket(doors: Site) -> None:
    for header in ("Host", "X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Port", "Forwarded"):
        answer = ask(doors.app.edge_url, "GET", "/", **{header: f"127.0.0.1:{doors.app.port}"})
        assert answer.status_code == 401, header


def test_the_private_socket_asks_for_tokens_where_they_are_wanted(make_site: MakeSite) -> None:
    site = make_site("db", FILATOR_EDGE_LISTEN="yes", FILATOR_TOKENS=LINES, FILATOR_PRIVATE_ACCESS="tokens")
    for (method, path), needed in REQUESTS.items():
        watched = path in ("/readyz", "/metrics", "/openapi.json", "/healthz")
        for url in (site.url, site.app.edge_url):
            expected = needed is not None and (url == site.app.edge_url or not watched)
            assert (ask(url, method, path).status_code == 401) is expected, (url, method, path)


def test_two_tokens_of_one_name_are_one_owner() -> None:
    """How a token is changed without a gap."""
    (old, old_line), (new, new_line) = new_token("anna", ["owner"]), new_token("anna", ["owner"])
    gate = Gate(parse_tokens([old_line, new_line], "FILATOR_TOKENS"))
    callers = {gate.admit(f"Bearer {token}", "write", own=True) for token in (old, new)}
    assert callers == {Caller("anna", own_only=True)}


def test_an_edge_that_is_open_on_purpose_still_keeps_what_is_the_operators(make_site: MakeSite) -> None:
    site = make_site("db", FILATOR_EDGE_LISTEN="yes", FILATOR_EDGE_ACCESS="open")
    for method, path in REQUESTS:
        status = ask(site.app.edge_url, method, path).status_code
        assert (status in (401, 403)) is ((method, path) in OPERATORS), (method, path, status)
    assert ask(site.url, "GET", "/").ok
    assert "FILATOR_EDGE_ACCESS=open" in site.app.log.read_text()


def test_with_tokens_an_open_edge_lets_the_admin_operate(make_site: MakeSite) -> None:
    site = make_site("db", FILATOR_EDGE_LISTEN="yes", FILATOR_EDGE_ACCESS="open", FILATOR_TOKENS=LINES)
    for method, path in OPERATORS:
        assert ask(site.app.edge_url, method, path, TOKENS["write"][0]).status_code == 403
        assert ask(site.app.edge_url, method, path, TOKENS["admin"][0]).status_code not in (401, 403)


def test_the_service_does_not_start_with_edges_and_without_tokens(make_site: MakeSite) -> None:
    app = make_site("db", start=False).app
    done = app.run("serve", check=False, FILATOR_EDGE_LISTEN=f"127.0.0.1:{app.edge_port}")
    assert (done.returncode, done.stderr.count("\n")) == (78, 1)
    assert "FILATOR_EDGE_LISTEN" in done.stderr


def test_a_port_that_is_taken_ends_the_service(make_site: MakeSite, doors: Site) -> None:
    app = make_site("db", start=False).app
    done = app.run("serve", check=False, FILATOR_EDGE_LISTEN=f"127.0.0.1:{doors.app.edge_port}", FILATOR_TOKENS=LINES)
    assert done.returncode == 1
    assert servers.wait_for(lambda: requests.get(f"{doors.app.edge_url}/healthz", timeout=5).ok, "the other one")
