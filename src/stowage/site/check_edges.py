"""Checks on the edges: their names, public addresses and certificates."""

from __future__ import annotations

from collections.abc import Callable

from stowage.site.model import Problem, Rules, Site
from stowage.site.names import nearest
from stowage.site.urls import (
    authority,
    endpoint_fault,
    hostname,
    is_ip,
    shown,
    site_host_fault,
    suggested_host,
    without_scheme,
)

TLS_MODES = ("acme", "internal", "files", "off")
_REQUIRED = {
    "edge_name": "a short name of its own, such as north",
    "edge_site_host": "the public name of the file service at this edge, such as files.example.org",
    "edge_s3_public_endpoint": "the URL under which clients outside reach the store, such as https://s3.example.org",
}


def check_edges(site: Site, _rules: Rules) -> list[Problem]:
    """Each edge says who it is, and no two edges say the same."""
    edges = site.members("edge")
    problems = [
        Problem(
            where=site.where([edge], name),
            what=f"{name} of {edge} is {'empty' if site.has(edge, name) else 'not set'}",
            right=right,
            mend=site.edit([edge], name),
        )
        for name, right in _REQUIRED.items()
        for edge in edges
        if not site.value(edge, name) and name not in site.failures.get(edge, {})
    ]
    problems += _site_host_faults(site, edges)
    # Two edges under one public name would each answer for the other's signed links and certificates.
    same: dict[str, Callable[[str], str]] = {
        "edge_name": str.casefold,
        "edge_s3_public_endpoint": _safe_authority,
        "edge_site_host": _safe_authority,
    }
    for name, key in same.items():
        problems += _shared(site, edges, name, key)
    return problems + [problem for edge in edges for problem in _one_edge(site, edge)]


def _one_edge(site: Site, edge: str) -> list[Problem]:
    return [*_own_authority(site, edge), *_scheme(site, edge), *_tls(site, edge), *_own_app(site, edge)]


def _own_app(site: Site, edge: str) -> list[Problem]:
    """An edge that hands requests to itself has to run the programs."""
    name = "edge_app"
    if site.value(edge, name) != "own" or edge in site.groups.get("app", ()):
        return []
    what, right = f"{name} of {edge} is own, but {edge} is not in group app", f"{edge} under app, or {name}: vps"
    return [Problem(site.where([edge], name), what, right, site.edit([edge], name))]


def _scheme(site: Site, edge: str) -> list[Problem]:
    """Caddy takes the scheme from the address: https asks for a certificate and http for none, despite edge_tls."""
    name = "edge_s3_public_endpoint"
    endpoint, mode = site.value(edge, name), site.value(edge, "edge_tls")
    if mode not in TLS_MODES or endpoint_fault(endpoint):
        return []
    scheme = "http" if mode == "off" else "https"
    if str(endpoint).startswith(f"{scheme}://"):
        return []
    what = f"{name} {shown(endpoint)} of {edge} does not fit edge_tls {mode}"
    right = f"{scheme}://{without_scheme(str(endpoint))}"
    return [Problem(site.where([edge], name), what, right, site.edit([edge], name))]


def _own_authority(site: Site, edge: str) -> list[Problem]:
    """Buckets are the first part of a path, so the store cannot share a name and port with the file service."""
    name = "edge_s3_public_endpoint"
    host, endpoint = site.value(edge, "edge_site_host"), site.value(edge, name)
    if not (isinstance(host, str) and isinstance(endpoint, str)) or site_host_fault(host) or endpoint_fault(endpoint):
        return []
    if authority(host) != authority(endpoint):
        return []
    return [
        Problem(
            where=site.where([edge], name),
            what=f"{name} {shown(endpoint)} of {edge} has the same name and port as edge_site_host",
            right="a name of its own, such as s3.example.org, or a port of its own, such as :9443",
            mend=site.edit([edge], name),
        )
    ]


def _safe_authority(value: str) -> str:
    return authority(value) if not endpoint_fault(value) or not site_host_fault(value) else value


def _site_host_faults(site: Site, edges: list[str]) -> list[Problem]:
    name = "edge_site_host"
    return [
        Problem(
            site.where(users, name),
            f"{name} {shown(value)} {fault}",
            suggested_host(str(value)),
            site.edit(users, name),
        )
        for value, users in site.by_value(edges, name)
        if value and (fault := site_host_fault(value))
    ]


def _shared(site: Site, edges: list[str], name: str, key: Callable[[str], str]) -> list[Problem]:
    users: dict[str, list[str]] = {}
    for edge in edges:
        value = site.value(edge, name)
        if isinstance(value, str) and value:
            users.setdefault(key(value), []).append(edge)
    return [
        Problem(
            where=site.where(sharing, name),
            what=f"{' and '.join(sharing)} have the same {name} {shown(site.value(sharing[0], name))}",
            right=f"a different {name} in the host_vars of each edge",
            mend=site.edit(sharing[::-1], name),
        )
        for sharing in users.values()
        if len(sharing) > 1
    ]


def _tls(site: Site, edge: str) -> list[Problem]:
    mode = site.value(edge, "edge_tls")
    problems = []

    def add(name: str, what: str, right: str) -> None:
        place = name if site.origins.get(edge, {}).get(name) else "edge_tls"
        problems.append(Problem(site.where([edge], place), f"{what} ({edge})", right, site.edit([edge], place)))

    if mode is False:
        # YAML 1.1 reads a bare off as the boolean false.
        add("edge_tls", "edge_tls is the boolean false, which YAML makes of a bare off", 'edge_tls: "off", with quotes')
    elif mode is not None and mode not in TLS_MODES:
        guess = nearest(str(mode), TLS_MODES)
        add(
            "edge_tls",
            f'unknown edge_tls "{mode}"',
            f"{f'{guess} (nearest), or ' if guess else ''}one of {', '.join(TLS_MODES)}",
        )
    paths = {name: site.value(edge, name) for name in ("edge_tls_cert", "edge_tls_key")}
    for name, path in paths.items():
        if not path and name not in site.failures.get(edge, {}) and (mode == "files" or any(paths.values())):
            add(
                name,
                f"{name} is not set",
                "the path of the PEM file on the controller, for both edge_tls_cert and edge_tls_key",
            )
    if mode == "acme" and site.value(edge, "edge_proxy") == "nginx":
        add(
            "edge_proxy",
            "edge_tls is acme, but edge_proxy nginx asks no authority for certificates",
            "edge_proxy: caddy, or edge_tls: files with certificates of your own",
        )
    if mode == "acme":
        for name in ("edge_site_host", "edge_s3_public_endpoint"):
            value = site.value(edge, name)
            if isinstance(value, str) and value and not _unreadable(value) and _no_public_name(hostname(value)):
                add(
                    name,
                    f"edge_tls is acme, but {name} {shown(value)} is no name that a public authority certifies",
                    "a DNS name, or edge_tls: internal",
                )
    return problems


def _unreadable(value: str) -> bool:
    return bool(endpoint_fault(value) and site_host_fault(value))


def _no_public_name(host: str) -> bool:
    return is_ip(host) or "." not in host or host.endswith((".local", ".internal", ".lan", ".test"))
