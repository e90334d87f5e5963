"""The service behind real proxies, with sites from the wiring and configurations from the templates of the project."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import servers
import yaml
from conftest import MakeSite, Site
from stowage.service_probe import Edge, round_trips, strangers
from test_doors import LINES, OPERATORS, REQUESTS, TOKENS, UUID, ask

from filator.tokens import new_token

ROOT = Path(__file__).resolve().parents[2]
WRITER, WRITER_LINE = new_token("writer", ["read", "write"])
PROXIES = ("caddy", "nginx")


def engine() -> Any:
    """Ansible's own engine, as the contract tests use it."""
    spec = importlib.util.spec_from_file_location("rendered", ROOT / "tests" / "contract" / "rendered.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sites_of(port: int, upstream: int) -> list[dict[str, Any]]:
    """What the wiring makes an edge offer at this port, with the app host on this machine."""
    wiring = yaml.safe_load((ROOT / "inventories" / "wiring.yml").read_text())
    values = {
        "object_store_programs": [{"program": "filator"}],
        "edge_tls": "off",
        "edge_site_host": f"127.0.0.1:{port}",
        "edge_s3_public_endpoint": "http://s3.example.org",
        "edge_app_address": "127.0.0.1",
        "filator_edge_listen_port": upstream,
        "object_store_endpoint": "http://127.0.0.1:9",
    }
    sites = engine().worked_out({**wiring, **values}, "edge_sites")
    # The store is of no interest here, and its port is not ours.
    return [site for site in sites if site["name"] == "service"]


def command(proxy: str, folder: Path, sites: list[dict[str, Any]]) -> list[str]:
    """Write the proxy's configuration and return what starts it."""
    render = engine()
    if proxy == "caddy":
        text = render.rendered_shared("caddy", ROOT / "templates/caddy/Caddyfile.j2", {"caddy_sites": sites})
        # Nobody may reach a test, and its administration has a port of its own.
        (folder / "Caddyfile").write_text(text.replace("{\n", "{\n\tadmin off\n\tdefault_bind 127.0.0.1\n", 1))
        return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    text = render.rendered_shared(
        "nginx", ROOT / "templates/nginx/nginx.conf.j2", {"nginx_sites": sites, "nginx_ipv6": False}
    )
    text = text.replace("/run/nginx/", f"{folder}/").replace("listen ", "listen 127.0.0.1:")
    (folder / "nginx.conf").write_text(text)
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx"
    return [program, "-e", "stderr", "-c", str(folder / "nginx.conf"), "-g", f"daemon off; pid {folder}/pid;"]


@contextlib.contextmanager
def in_front(proxy: str, folder: Path, upstream: int, **more: Any) -> Iterator[Edge]:
    """Run a proxy for the time of the block; `more` goes into its site."""
    if shutil.which(proxy, path="/usr/sbin:/usr/bin") is None:
        pytest.skip(f"needs {proxy}: apt-get install {proxy}")
    port = servers.free_port()
    process = servers.Process(folder / "log")
    environment = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "PATH": "/usr/bin:/bin"}
    process.spawn(command(proxy, folder, [{**site, **more} for site in sites_of(port, upstream)]), env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        servers.wait_for(lambda: requests.get(f"{url}/healthz", timeout=5).ok, proxy)
        yield Edge(proxy, url)
    except TimeoutError:
        print((folder / "log").read_text()[-3000:])
        raise
    finally:
        process.stop()


@pytest.fixture(scope="module")
def closed(make_site: MakeSite) -> Site:
    return make_site("db", FILATOR_EDGE_LISTEN="yes", FILATOR_TOKENS=f"{LINES}; {WRITER_LINE}")


@pytest.fixture(scope="module", params=PROXIES)
def edge(request: pytest.FixtureRequest, closed: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with in_front(request.param, tmp_path_factory.mktemp(request.param), closed.app.edge_port) as running:
        yield running


def test_without_a_token_an_edge_refuses_everything_but_its_health(edge: Edge) -> None:
    for (method, path), needed in REQUESTS.items():
        if needed is None:
            continue
        for token in ("", "fil_unknown"):
            status = ask(edge.service_url, method, path, token).status_code
            # Both proxies hand /metrics on to nobody.
            assert status == (404 if path == "/metrics" else 401), (method, path, status)
    assert [step.problem for step in strangers([edge])] == [""]


def test_only_the_admin_operates_the_service_through_an_edge(edge: Edge) -> None:
    for method, path in OPERATORS:
        for scope in ("read", "write"):
            assert ask(edge.service_url, method, path, TOKENS[scope][0]).status_code in (403, 404)
    assert ask(edge.service_url, "GET", "/", TOKENS["admin"][0]).ok
    assert ask(edge.service_url, "GET", "/readyz", TOKENS["admin"][0]).ok


def test_with_a_write_token_the_lines_of_the_readme_work(edge: Edge) -> None:
    headers = {"Authorization": f"Bearer {WRITER}"}
    url = f"{edge.service_url}/attachments"
    readme = (ROOT / "README.md").read_bytes()
    made = requests.post(url, files={"body": ("README.md", readme)}, headers=headers, timeout=20)
    assert made.status_code == 201, made.text
    one = f"{url}/{made.json()['uuid']}"
    assert requests.get(f"{one}.json", headers=headers, timeout=20).json()["checksum"] == made.json()["checksum"]
    assert requests.get(f"{one}?redirect=1", headers=headers, timeout=20).content == readme
    assert requests.get(one, timeout=20).status_code == 401


def test_what_verify_does_works_with_the_token_and_names_what_lacks_it(edge: Edge) -> None:
    assert [step.problem for step in round_trips([edge], token=TOKENS["admin"][0])] == [""] * 3
    assert "401: refused" in round_trips([edge])[0].problem


def test_the_private_listener_beside_the_edges_is_the_originals(closed: Site) -> None:
    made = requests.post(f"{closed.url}/attachments", files={"body": ("a.txt", b"x")}, timeout=20)
    assert made.status_code == 201
    one = f"{closed.url}/attachments/{made.json()['uuid']}"
    assert requests.put(one, files={"body": ("b.txt", b"y")}, timeout=20).status_code == 200
    assert requests.get(one, timeout=20).content == b"y"
    assert requests.delete(one, timeout=20).status_code == 204
    transaction = requests.post(f"{closed.url}/attachments/archive/tx", params={"date": "20220901"}, timeout=20)
    assert transaction.status_code == 200


@pytest.mark.parametrize("proxy", PROXIES)
def test_verify_names_an_edge_that_leads_to_the_private_listener(closed: Site, proxy: str, tmp_path: Path) -> None:
    with in_front(proxy, tmp_path, closed.app.port) as wrong:
        (step,) = strangers([wrong])
        for what in ("upload", "replace a file", "delete a file", "open an archive transaction", "see the status page"):
            assert what in step.problem
        assert "filator_edge_listen_port" in step.problem
    assert requests.get(f"{closed.url}/attachments/{UUID}", timeout=20).status_code == 404


@pytest.mark.parametrize("proxy", PROXIES)
def test_an_edge_that_is_open_on_purpose_still_refuses_the_operators_requests(
    make_site: MakeSite, proxy: str, tmp_path: Path
) -> None:
    site = make_site("db", FILATOR_EDGE_LISTEN="yes", FILATOR_EDGE_ACCESS="open")
    with in_front(proxy, tmp_path, site.app.edge_port) as opened:
        assert [step.problem for step in strangers([opened], access="open")] == [""]
        assert "upload" in strangers([opened])[0].problem
        assert [step.problem for step in round_trips([opened])] == [""] * 3


def first_line(edge: Edge, token: str) -> bytes:
    """What a client hears that announces a long body, asks whether it may send it, and sends nothing yet."""
    authority = edge.service_url.removeprefix("http://")
    host, _, port = authority.rpartition(":")
    head = f"POST /attachments HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n"
    head += "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000000\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(head.encode())
        return client.recv(4096).partition(b"\r\n")[0]


def test_behind_caddy_a_body_that_is_refused_is_not_asked_for(closed: Site, tmp_path: Path) -> None:
    with in_front("caddy", tmp_path, closed.app.edge_port) as edge:
        assert first_line(edge, "fil_unknown") == b"HTTP/1.1 401 Unauthorized"
        assert first_line(edge, WRITER) == b"HTTP/1.1 100 Continue"
