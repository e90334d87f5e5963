"""Checks on who may use the file service: what is reached through an edge is closed, unless the site says otherwise."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

from stowage.site.check_secrets import DEFAULT_SERVICES
from stowage.site.model import SECRETS_INIT, Problem, Rules, Site

ACCESS = ("tokens", "open")
_PRIVATE_PORT, _EDGE_PORT = 8080, 8081
_LEAST_TOKEN = 20
_TOKEN_NAME = re.compile(r"[A-Za-z0-9_.@-]+")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})
_SITES = {"caddy": "caddy_sites", "nginx": "nginx_sites"}
READ = frozenset(
    {
        "edge_access",
        "edge_proxy",
        "filator_edge_access",
        "filator_edge_listen_address",
        "filator_edge_listen_port",
        "filator_environment",
        "filator_listen_address",
        "filator_listen_port",
        "filator_private_access",
        "filator_tokens",
        "filator_tokens_file",
        "stowage_address",
    }
)
"""Variables that the caller must work out on every host; the sites of an edge can be worked out on an edge only."""


def check_access(site: Site, _rules: Rules) -> list[Problem]:
    """No edge offers the file service to everyone unless ``edge_access: open`` says so, nor passes its socket by."""
    edges = site.members("edge")
    apps = [host for host in site.members("app") if "filator" in (site.value(host, "app_services") or DEFAULT_SERVICES)]
    if not apps:
        return []
    problems = _unlike(site, [*apps, *edges]) + _weak_tokens(site, apps)
    for host in apps:
        problems += [*_opened_elsewhere(site, host), *_without_tokens(site, host, edges)]
        problems += _reached_from_outside(site, host)
    return problems + [problem for edge in edges for problem in _private_upstream(site, edge, apps)]


def _access(site: Site, host: str) -> str:
    return str(site.value(host, "edge_access") or "tokens")


def _unlike(site: Site, hosts: Iterable[str]) -> list[Problem]:
    """One edge alone cannot be open: the service asks for tokens on one socket, whichever edge sends a request."""
    name = "edge_access"
    said = site.by_value(hosts, name)
    if len(said) < 2 or any(value not in ACCESS for value, _ in said):
        return []
    users = [user for value, users in said for user in users if value == "open"]
    return [
        Problem(
            where=site.where(users, name),
            what=f"{name} is open for {' and '.join(users)} and tokens for others",
            right="one word for all edges and app hosts, in group_vars/all",
            mend=site.edit(users, name),
        )
    ]


def _environment(site: Site, host: str) -> dict[str, Any]:
    value = site.value(host, "filator_environment")
    return value if isinstance(value, dict) else {}


def _opened_elsewhere(site: Site, host: str) -> list[Problem]:
    if _access(site, host) == "open":
        return []
    said = {
        "filator_edge_access": site.value(host, "filator_edge_access"),
        "filator_environment": _environment(site, host).get("FILATOR_EDGE_ACCESS"),
    }
    return [
        Problem(
            where=site.where([host], name),
            what=f"{name} opens the edges' socket of {host}, while edge_access is tokens",
            right="edge_access: open, where everyone who reaches an edge may read, write and delete; else leave it out",
            mend=site.edit([host], name),
        )
        for name, value in said.items()
        if value == "open"
    ]


def _has_tokens(site: Site, host: str) -> bool:
    entries = site.value(host, "filator_tokens")
    named = isinstance(entries, list) and any(isinstance(entry, dict) and entry.get("token") for entry in entries)
    # What cannot be worked out is told by another check.
    unknown = "filator_tokens" in site.failures.get(host, {})
    given = _environment(site, host)
    return bool(
        named
        or unknown
        or site.value(host, "filator_tokens_file")
        or given.get("FILATOR_TOKENS")
        or given.get("FILATOR_TOKENS_FILE")
    )


def _weak_tokens(site: Site, apps: list[str]) -> list[Problem]:
    """The hosts hold plain hashes, of which a short token can be worked out, and read names without spaces only."""
    name = "filator_tokens"
    problems = []
    for entries, users in site.by_value(apps, name):
        # What stands in the vault under a name of its own is judged there.
        judged = {value for key, value in site.hosts[users[0]].items() if key.startswith("vault_filator_token_")}
        for entry in entries if isinstance(entries, list) else []:
            if not isinstance(entry, dict) or not entry.get("token") or entry["token"] in judged:
                continue
            who, length = str(entry.get("name") or ""), len(str(entry["token"]))
            if not _TOKEN_NAME.fullmatch(who):
                what, right = f'{name} names a token "{who}"', "letters, digits and _.@- only"
            elif length < _LEAST_TOKEN:
                what = f"the token {who} in {name} has {length} characters, which can be guessed"
                right = "32 random ones or more"
            else:
                continue
            problems.append(Problem(site.where(users, name), what, right, site.edit(users, name)))
    return problems


def _without_tokens(site: Site, host: str, edges: list[str]) -> list[Problem]:
    if _access(site, host) == "open" or _has_tokens(site, host):
        return []
    return [
        Problem(
            where=site.where([host], "filator_tokens"),
            what=f"the file service of {host} has no tokens, and {' and '.join(edges)} would offer it to everyone",
            right="tokens in the vault, or edge_access: open where everyone may read, write and delete",
            mend=SECRETS_INIT.format(inventory=site.inventory),
        )
    ]


def _reached_from_outside(site: Site, host: str) -> list[Problem]:
    """The private listener asks for no token, so an address that the internet knows needs a word about it."""
    name = "filator_listen_address"
    address = str(site.value(host, name) or "")
    said = site.value(host, "filator_private_access") or _environment(site, host).get("FILATOR_PRIVATE_ACCESS")
    if said or not _is_public(address):
        return []
    place = name if "wiring.yml" not in site.where([host], name) else "stowage_address"
    return [
        Problem(
            where=site.where([host], place),
            what=f'{name} of {host} is "{address}", where the file service asks nobody for a token',
            right="an address of the private network, or filator_private_access: tokens; open where a firewall lets "
            "only the site's hosts in",
            mend=site.edit([host], place),
        )
    ]


def _is_public(address: str) -> bool:
    """Whether an address in numbers is one of the internet, or stands for all that the host has."""
    try:
        parsed = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return False
    return parsed.is_unspecified or parsed.is_global


def _listener(site: Site, host: str) -> tuple[frozenset[str], str]:
    address = str(site.value(host, "filator_listen_address") or site.value(host, "stowage_address") or "127.0.0.1")
    every = {str(site.value(host, "stowage_address") or ""), address} - {""}
    return frozenset(every), str(site.value(host, "filator_listen_port") or _PRIVATE_PORT)


def _private_upstream(site: Site, edge: str, apps: list[str]) -> list[Problem]:
    """A site of the operator's own that points at the private socket would let the internet in without a token."""
    own = _SITES.get(str(site.value(edge, "edge_proxy") or "caddy"), "edge_sites")
    name = own if isinstance(site.value(edge, own), list) else "edge_sites"
    offered = site.value(edge, name)
    problems = []
    for entry in offered if isinstance(offered, list) else []:
        if not isinstance(entry, dict) or entry.get("kind") != "service":
            continue
        for upstream in entry.get("upstreams") or ():
            host, _, port = str(upstream).rpartition("://")[2].strip("/").rpartition(":")
            for app in apps:
                addresses, private = _listener(site, app)
                if port == private and host in (addresses | _LOOPBACK if app == edge else addresses):
                    right_port = site.value(app, "filator_edge_listen_port") or _EDGE_PORT
                    place = "edge_sites" if site.where([edge], name).find("wiring.yml") >= 0 else name
                    problems.append(
                        Problem(
                            where=site.where([edge], place),
                            what=f"{place} of {edge} hands requests to {upstream}, the private listener of {app}",
                            right=f"{host}:{right_port}, its socket for edges",
                            mend=site.edit([edge], place),
                        )
                    )
    return problems
