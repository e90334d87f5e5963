"""Do with the file service what a user does: upload at one edge, fetch at another, open a presigned link.

The contract of the service is docs/filator.md; this needs no S3 key, only what a client has.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, SSLError

from stowage.errors import NetworkError, ServerFaultError, StowageError

_TIMEOUT = urllib3.Timeout(connect=5, read=30)


@dataclass(frozen=True)
class Edge:
    """One public face of the site.

    Args:
        name: For messages.
        service_url: URL of the file service at this edge.
        s3_url: Public endpoint of the store at this edge; presigned links must name it.
        ca_bundle: PEM file of the authorities to trust; empty: the system's.
        address: Address to connect to instead of asking DNS, as with ``curl --resolve``; empty: ask DNS.
    """

    name: str
    service_url: str
    s3_url: str = ""
    ca_bundle: str = ""
    address: str = ""


@dataclass(frozen=True)
class Step:
    """One thing that was done, and what came of it: ``problem`` is empty when it went well."""

    what: str
    edge: str
    problem: str = ""


def _cause(error: Exception) -> str:
    inner: object = error.reason if isinstance(error, MaxRetryError) else error
    text = str(inner)
    if isinstance(inner, SSLError):
        if "verify failed" in text:
            return (
                "its certificate is not signed by a trusted authority, or is for another name "
                "(edge_tls internal: fetch the authority with the play edge)"
            )
        return f"no TLS there: {text}"
    if isinstance(inner, NewConnectionError):
        return f"nothing answers there: {text.rsplit(': ', 1)[-1]} (is caddy running on that host?)"
    return f"{type(inner).__name__}: {text}"


def _explain(status: int, body: bytes) -> str:
    text = body[:200].decode("utf-8", "replace").strip().replace("\n", " ")
    if status == 502:
        return "502: the edge reaches no service behind it (is filator running, is its address right?)"
    if status == 503:
        return f"503: the service can serve nothing now: {text or 'see /readyz'}"
    if status in {401, 403} and "SignatureDoesNotMatch" not in text:
        return f"{status}: refused: {text or 'a token is missing or has too little scope'}"
    if "SignatureDoesNotMatch" in text:
        return f"{status} SignatureDoesNotMatch: a proxy on the way rewrites Host or drops its port"
    return f"{status}: {text}"


def _request(edge: Edge, method: str, url: str, **kwargs: Any) -> urllib3.BaseHTTPResponse:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    headers = {"Host": parts.netloc, **kwargs.pop("headers", {})}
    target = edge.address or host
    pool: urllib3.HTTPConnectionPool
    if parts.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(
            target,
            port,
            timeout=_TIMEOUT,
            retries=False,
            cert_reqs="CERT_REQUIRED",
            ca_certs=edge.ca_bundle or None,
            server_hostname=host,
            assert_hostname=host,
        )
    else:
        pool = urllib3.HTTPConnectionPool(target, port, timeout=_TIMEOUT, retries=False)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    with pool:
        try:
            return pool.request(method, path or "/", headers=headers, redirect=False, **kwargs)
        except (HTTPError, OSError) as error:
            raise NetworkError(f"{edge.name}: {method} {parts.scheme}://{parts.netloc}: {_cause(error)}") from None


def look(edge: Edge, url: str) -> int:
    """The status with which an edge answers a plain GET.

    Args:
        edge: Whose authorities and address to use.
        url: What to ask for.

    Raises:
        NetworkError: Nothing answered, or not with TLS that can be trusted.
    """
    return int(_request(edge, "GET", url).status)


def _expect(edge: Edge, what: str, answer: urllib3.BaseHTTPResponse, status: int) -> None:
    if answer.status != status:
        raise ServerFaultError(f"{edge.name}: {what} answers {_explain(answer.status, answer.data)}, not {status}")


def _upload(edge: Edge, body: bytes, headers: dict[str, str]) -> str:
    # Goes away by itself even when the DELETE at the end is not allowed.
    until = (datetime.now(UTC) + timedelta(minutes=10)).isoformat(timespec="seconds")
    answer = _request(
        edge,
        "POST",
        f"{edge.service_url}/attachments",
        headers=headers,
        fields={"delete_at": until, "body": ("stowage-verify.bin", body, "application/octet-stream")},
    )
    _expect(edge, "an upload", answer, 201)
    description = json.loads(answer.data)
    if description["checksum"] != hashlib.sha256(body).hexdigest():
        raise ServerFaultError(f"{edge.name}: an upload is described with the sha256 of other bytes")
    return str(description["uuid"])


def _fetch(edge: Edge, uuid: str, body: bytes, headers: dict[str, str]) -> None:
    answer = _request(edge, "GET", f"{edge.service_url}/attachments/{uuid}", headers=headers)
    _expect(edge, "a download", answer, 200)
    if answer.data != body:
        raise ServerFaultError(f"{edge.name}: a download gives other bytes than were uploaded")


def _fetch_presigned(edge: Edge, uuid: str, body: bytes, headers: dict[str, str]) -> None:
    answer = _request(edge, "GET", f"{edge.service_url}/attachments/{uuid}?redirect=1", headers=headers)
    _expect(edge, "a request for a presigned link", answer, 307)
    location = answer.headers["Location"]
    if urlsplit(location).netloc != urlsplit(edge.s3_url).netloc:
        raise ServerFaultError(
            f"{edge.name}: the presigned link leads to {urlsplit(location).netloc}, not to this edge's "
            f"{urlsplit(edge.s3_url).netloc} (filator_public_endpoints)"
        )
    answer = _request(edge, "GET", location)
    _expect(edge, "the presigned link", answer, 200)
    if answer.data != body:
        raise ServerFaultError(f"{edge.name}: the presigned link gives other bytes than were uploaded")


def _delete(edge: Edge, uuid: str, headers: dict[str, str]) -> None:
    answer = _request(edge, "DELETE", f"{edge.service_url}/attachments/{uuid}", headers=headers)
    _expect(edge, "a delete", answer, 204)


_NOBODYS = "0" * 64
# What nobody may do who has no token: the method, the path, and what it would be.
_WRITES = (
    ("POST", "/attachments", "upload"),
    ("PUT", f"/attachments/{_NOBODYS}", "replace a file"),
    ("DELETE", f"/attachments/{_NOBODYS}", "delete a file"),
    ("GET", f"/attachments/{_NOBODYS}", "read a file"),
)
# Closed also where an edge is open on purpose.
_OPERATIONS = (
    ("POST", "/attachments/archive/tx?date=never", "open an archive transaction"),
    ("GET", f"/attachments/archive/{_NOBODYS}", "download an archive"),
    ("DELETE", f"/attachments/archive/{_NOBODYS}", "delete what is in an archive"),
    ("GET", "/", "see the status page"),
    ("GET", "/readyz", "see what works"),
    ("GET", "/metrics", "see the metrics"),
)


def strangers(edges: list[Edge], *, access: Literal["tokens", "open"] = "tokens") -> list[Step]:
    """Try at each edge what somebody without a token may not do.

    Args:
        edges: The site's edges.
        access: Whether the edges ask for tokens, or are open on purpose for all but the operators' requests.

    Returns:
        A step for each edge; its problem names what was not refused.
    """
    steps = []
    for edge in edges:
        doing = f"refuse a stranger at {edge.name}"
        try:
            may = [what for method, path, what in _tried(access) if not _refused(edge, method, path)]
        except StowageError as error:
            steps.append(Step(doing, edge.name, error.message))
            continue
        problem = (
            f"{edge.name}: who has no token may {', '.join(may)}: the edge must hand requests to the service's socket "
            "for edges (filator_edge_listen_port)"
        )
        steps.append(Step(doing, edge.name, problem if may else ""))
    return steps


def _tried(access: Literal["tokens", "open"]) -> tuple[tuple[str, str, str], ...]:
    return _OPERATIONS if access == "open" else (*_WRITES, *_OPERATIONS)


def _refused(edge: Edge, method: str, path: str) -> bool:
    # Were it let in, it would do nothing: the upload lacks its file, the date is none, and no file has the uuid.
    status = _request(edge, method, edge.service_url + path, headers={"Content-Length": "0"}).status
    # Proxies may answer 404 to what they never hand on; the service says so of a file that is not there.
    return status in {401, 403} or (status == 404 and not path.startswith("/attachments"))


def round_trips(edges: list[Edge], *, token: str = "", size: int = 65536) -> list[Step]:
    """Upload through each edge, fetch through the next one and through its presigned link, then delete.

    Args:
        edges: The site's edges, at least one. With one edge it is its own neighbour.
        token: Bearer token; empty where the service is open.
        size: Bytes to upload.

    Returns:
        Every step that was tried, in order. A failed step ends the round of its edge, not the other rounds.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    steps: list[Step] = []
    for position, edge in enumerate(edges):
        other = edges[(position + 1) % len(edges)]
        body = secrets.token_bytes(size)
        doing = f"upload through {edge.name}"
        at = edge
        try:
            uuid = _upload(edge, body, headers)
            steps.append(Step(doing, edge.name))
            doing, at = f"fetch through {other.name} what {edge.name} took", other
            _fetch(other, uuid, body, headers)
            steps.append(Step(doing, other.name))
            if other.s3_url:
                doing = f"open the presigned link of {other.name}"
                _fetch_presigned(other, uuid, body, headers)
                steps.append(Step(doing, other.name))
            doing = f"delete through {other.name}"
            _delete(other, uuid, headers)
            steps.append(Step(doing, other.name))
        except StowageError as error:
            steps.append(Step(doing, at.name, error.message))
    return steps
