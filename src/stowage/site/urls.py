"""What is wrong with an address: pure functions that return the fault in words, or ``None``."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


def endpoint_fault(value: object) -> str | None:
    """Say what is wrong with the address of an S3 server.

    A path is refused: SigV4 signs the path that the server sees, and a proxy that strips a prefix breaks every
    signature (measured on SeaweedFS and on MinIO's server code behind Caddy 2.11).

    Args:
        value: The address; good is ``http://host``, ``https://host:port``.

    Returns:
        The fault as a clause that follows the quoted value, ``None`` when the address is good.
    """
    if not isinstance(value, str) or not value.strip():
        return "is empty"
    if value != value.strip() or any(letter.isspace() for letter in value):
        return "has a space in it"
    if "://" not in value:
        return "has no scheme"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return "has a malformed host or port"
    return _parts_fault(parts, port)


def _parts_fault(parts: SplitResult, port: int | None) -> str | None:
    if parts.scheme not in DEFAULT_PORTS:
        return f"has the scheme {parts.scheme or '(none)'}, which is neither http nor https"
    if not parts.hostname:
        return "has no host"
    if parts.username is not None or parts.password is not None:
        return "has a user or password in it"
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return "has something behind the host, which breaks S3 signatures"
    return "has port 0" if port == 0 else None


def site_host_fault(value: object) -> str | None:
    """Say what is wrong with a public name (``host`` or ``host:port``); ``None`` when it is good."""
    if not isinstance(value, str) or not value.strip():
        return "is empty"
    if "://" in value:
        return "has a scheme"
    fault = endpoint_fault(f"http://{value}")
    return fault.replace(", which breaks S3 signatures", "") if fault else None


def without_scheme(value: str) -> str:
    """Return host and port of an address whose scheme or path may be missing or wrong."""
    bare = value.strip().partition("://")[2].partition("/")[0] or value.strip().partition("/")[0]
    return bare.rpartition("@")[2]


def suggested(value: str) -> str:
    """Return what a malformed address most likely should be, for the part of a line that says what would be right."""
    bare = without_scheme(value)
    if not bare:
        return "http://host:port or https://host:port"
    if in_brackets := _in_brackets(bare):
        return f"http://{in_brackets} or https://{in_brackets}, an IPv6 address in brackets"
    right = f"http://{bare} or https://{bare}"
    if endpoint_fault(f"http://{bare}"):
        return "http://host:port or https://host:port, with a port from 1 to 65535"
    return right


def suggested_host(value: str) -> str:
    """Return what a malformed public name most likely should be."""
    in_brackets = _in_brackets(without_scheme(value))
    return f"{in_brackets}, an IPv6 address in brackets" if in_brackets else "host or host:port"


def _in_brackets(bare: str) -> str | None:
    """Two colons and no bracket: an IPv6 address, perhaps with a port behind it."""
    if bare.count(":") < 2 or bare.startswith("["):
        return None
    head, _, port = bare.rpartition(":")
    return f"[{head}]:{port}" if is_ip(head) and re.fullmatch(r"[1-9]\d{1,4}", port) else f"[{bare}]"


def shown(value: object) -> str:
    """Return an address in quotes for a message, with user and password left out; empty when there is none."""
    text = str(value or "")
    return f'"{re.sub(r"//[^/]*@", "//...@", text)}"' if text else ""


def authority(value: str) -> str:
    """Return ``host:port`` in lower case with the default port spelled out, for comparing two addresses."""
    parts = urlsplit(value if "://" in value else f"https://{value}")
    return f"{(parts.hostname or '').lower()}:{parts.port or DEFAULT_PORTS.get(parts.scheme, 0)}"


def is_ip(host: str) -> bool:
    """Say whether ``host`` is an address in numbers (IPv4, or IPv6 with or without brackets)."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def hostname(value: str) -> str:
    """Return the host of ``host``, ``host:port`` or a URL, in lower case, without brackets."""
    return (urlsplit(value if "://" in value else f"https://{value}").hostname or "").lower()
