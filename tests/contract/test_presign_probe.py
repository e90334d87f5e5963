"""s3_presign_probe through a real Caddy, right and wrong: the cause must be named, and nothing left behind."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from modules import ModuleFailedError, connection, run
from servers import Server, free_ports, process

from stowage.s3.connection import s3_client

NAME = "s3.edge.example.net"
# SeaweedFS also tries X-Forwarded-Host, so a rewritten Host shows only without it (facts/s3-servers.md 1).
_STRIP = "header_up -X-Forwarded-Host"


@dataclass
class Proxy:
    """Caddy's ports by what is wrong with the site there."""

    ports: dict[str, int]
    authority: Path


@pytest.fixture(scope="session")
def proxy(weed: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    caddy = shutil.which("caddy")
    if not caddy:
        pytest.skip("needs caddy: apt-get install caddy")
    folder = tmp_path_factory.mktemp("caddy")
    upstream = weed.settings.endpoint.removeprefix("http://")
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    sites = {
        "right": ("http://", f"reverse_proxy {upstream}"),
        "tls": ("https://", f"tls internal\n reverse_proxy {upstream}"),
        "port_lost": ("http://", f"reverse_proxy {upstream} {{\n header_up Host {{host}}\n {_STRIP}\n }}"),
        "rewritten": ("http://", f"reverse_proxy {upstream} {{\n header_up Host {upstream}\n {_STRIP}\n }}"),
        "compressed": ("http://", f"encode gzip\n reverse_proxy {upstream}"),
        "upstream_dead": ("http://", f"reverse_proxy {dead}"),
        "redirect": ("http://", "redir https://elsewhere.example.net{uri} 308"),
        "not_s3": ("http://", "respond 404"),
        "path_changed": ("http://", f"rewrite * /other{{uri}}\n reverse_proxy {upstream}"),
    }
    ports = dict(zip(sites, free_ports(len(sites)), strict=True))
    text = "{\n admin off\n auto_https disable_redirects\n skip_install_trust\n}\n"
    for name, (scheme, body) in sites.items():
        text += f"{scheme}{NAME}:{ports[name]} {{\n bind 127.0.0.1\n {body}\n}}\n"
    (folder / "Caddyfile").write_text(text)
    command = [caddy, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    environment = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with process(command, folder, environment) as started:
        authority = folder / "caddy/pki/authorities/local/root.crt"
        for _ in range(200):
            if authority.exists() and all(_open(port) for port in ports.values()):
                break
            assert started.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield Proxy(ports, authority)


def _open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def bucket(weed: Server) -> str:
    name = "presign-probe"
    run("s3_bucket", {**connection(weed.settings, "iam"), "name": name, "versioning": "enabled"})
    return name


def probe(weed: Server, bucket: str, endpoint: str, **more: object) -> list[dict[str, Any]]:
    public = {"endpoint": endpoint, "resolve": {NAME: "127.0.0.1"}, **more}
    options = {**connection(weed.settings, "iam"), "bucket": bucket, "public_endpoints": [public], "timeout": 5}
    rows: list[dict[str, Any]] = run("s3_presign_probe", options)["results"]
    return rows


def cause(weed: Server, bucket: str, endpoint: str, **more: object) -> str:
    with pytest.raises(ModuleFailedError) as caught:
        probe(weed, bucket, endpoint, **more)
    return str(caught.value.answer["results"][0]["cause"])


def test_a_proxy_that_keeps_the_host_works(weed: Server, bucket: str, proxy: Proxy) -> None:
    assert probe(weed, bucket, f"http://{NAME}:{proxy.ports['right']}")[0]["works"]


def test_a_name_without_dns_works_over_tls_with_its_authority(weed: Server, bucket: str, proxy: Proxy) -> None:
    tls = f"https://{NAME}:{proxy.ports['tls']}"
    assert probe(weed, bucket, tls, ca_bundle=str(proxy.authority))[0]["works"]


def test_an_unknown_authority_is_named(weed: Server, bucket: str, proxy: Proxy) -> None:
    assert "TLS authority unknown" in cause(weed, bucket, f"https://{NAME}:{proxy.ports['tls']}")


def test_a_lost_port_is_named_with_the_host_the_store_saw(weed: Server, bucket: str, proxy: Proxy) -> None:
    text = cause(weed, bucket, f"http://{NAME}:{proxy.ports['port_lost']}")
    assert f"the store saw Host {NAME} instead of {NAME}:{proxy.ports['port_lost']}" in text
    assert "port was lost" in text


def test_a_rewritten_host_is_named_with_the_host_the_store_saw(weed: Server, bucket: str, proxy: Proxy) -> None:
    text = cause(weed, bucket, f"http://{NAME}:{proxy.ports['rewritten']}")
    assert f"the store saw Host {weed.settings.endpoint.removeprefix('http://')}" in text


def test_a_compressed_answer_is_named(weed: Server, bucket: str, proxy: Proxy) -> None:
    assert "compressed (gzip)" in cause(weed, bucket, f"http://{NAME}:{proxy.ports['compressed']}")


@pytest.mark.parametrize(
    ("site", "scheme", "words"),
    [
        ("right", "https", "wrong scheme"),
        ("tls", "http", "wrong scheme"),
        ("redirect", "http", "redirected to https://elsewhere.example.net (wrong scheme)"),
        ("upstream_dead", "http", "does not reach the store"),
        ("not_s3", "http", "not an answer of S3"),
        ("path_changed", "http", "SignatureDoesNotMatch"),
    ],
)
def test_other_faults_are_named(weed: Server, bucket: str, proxy: Proxy, site: str, scheme: str, words: str) -> None:
    assert words in cause(weed, bucket, f"{scheme}://{NAME}:{proxy.ports[site]}")


def test_a_refused_connection_and_an_unknown_name_are_named(weed: Server, bucket: str) -> None:
    assert "connection refused" in cause(weed, bucket, f"http://{NAME}:{free_ports(1)[0]}")
    assert "not known here" in cause(weed, bucket, f"http://{NAME}:1", resolve={})


def test_the_canary_leaves_no_version_behind(weed: Server, bucket: str, proxy: Proxy) -> None:
    probe(weed, bucket, f"http://{NAME}:{proxy.ports['right']}")
    page = s3_client(weed.settings).list_object_versions(Bucket=bucket)
    assert not page.get("Versions")
    assert not page.get("DeleteMarkers")
