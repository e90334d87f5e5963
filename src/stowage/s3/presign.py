"""Does a presigned link open from outside? And if not, why not.

A link is signed for the authority (host and port) that the client will ask. Every proxy on the way must hand exactly
that on, so this probe goes the way a client goes and tells which part of the way changed something.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stowage import errors
from stowage.s3.connection import S3Settings, checked_endpoint, engine_errors, s3_client
from stowage.s3.transport import server_clock, system_authorities

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# Long and repetitive on purpose, and called text: a proxy that compresses anything compresses this.
_CANARY = b"stowage presign canary\n" * 200
_EXPIRES = 120
_MAX_SKEW = 300


@dataclass(frozen=True)
class PublicEndpoint:
    """One way in from outside.

    Args:
        endpoint: ``http(s)://host[:port]`` as clients call it; links are signed for it.
        ca_bundle: PEM of the authority that signed its certificate.
        resolve: Host to address, for names that DNS does not (yet) know, as ``curl --resolve`` does.
        verify: ``False`` takes any certificate.
    """

    endpoint: str
    ca_bundle: str | None = None
    resolve: Mapping[str, str] = field(default_factory=dict)
    verify: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "endpoint", checked_endpoint(self.endpoint))


@dataclass(frozen=True)
class PresignFinding:
    """What came of one way in; ``cause`` is one line, ``None`` when the bytes arrived as they were put."""

    endpoint: str
    cause: str | None
    status: int | None = None

    @property
    def works(self) -> bool:
        """True when the link opened."""
        return self.cause is None


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        found = re.search(rb"<Code>([A-Za-z0-9]+)</Code>", self.body)
        return found.group(1).decode() if found else ""

    @property
    def message(self) -> str:
        found = re.search(rb"<Message>([^<]{1,200})", self.body)
        return found.group(1).decode(errors="replace") if found else ""


def probe_presigned(
    internal: S3Settings,
    bucket: str,
    publics: Iterable[PublicEndpoint],
    *,
    prefix: str = "stowage-probe/",
    timeout: float = 10.0,
) -> list[PresignFinding]:
    """Put a canary through the internal endpoint and fetch it by a presigned link through each public one.

    Args:
        internal: The store as the servers reach it, and the key that puts, signs and removes.
        bucket: Where the canary goes.
        publics: The ways in.
        prefix: Of the canary's key, which is random behind it.
        timeout: Seconds for each connection and each answer.

    Returns:
        One finding for each public endpoint, in order.

    Raises:
        StowageError: The canary could not be put.
    """
    with _canary(internal, bucket, f"{prefix}{secrets.token_hex(8)} presign+canary.txt") as key:
        return [_probe_one(internal, bucket, key, one, timeout) for one in publics]


@contextlib.contextmanager
def _canary(internal: S3Settings, bucket: str, key: str) -> Iterator[str]:
    client = s3_client(internal)
    with engine_errors(f"put a canary into bucket {bucket}", internal.endpoint):
        version = client.put_object(Bucket=bucket, Key=key, Body=_CANARY, ContentType="text/plain").get("VersionId")
    try:
        yield key
    finally:
        with engine_errors(f"remove the canary {key} from bucket {bucket}", internal.endpoint):
            if version:
                client.delete_object(Bucket=bucket, Key=key, VersionId=version)
            else:
                client.delete_object(Bucket=bucket, Key=key)


def _signed(internal: S3Settings, endpoint: str, bucket: str, key: str) -> str:
    # The CA of the internal endpoint plays no part in signing and may not exist for the public name.
    client: S3Client = s3_client(replace(internal, endpoint=endpoint, ca_bundle=None))
    return client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=_EXPIRES)


def _probe_one(internal: S3Settings, bucket: str, key: str, public: PublicEndpoint, timeout: float) -> PresignFinding:
    url = _signed(internal, public.endpoint, bucket, key)
    try:
        answer = _fetch(url, public, timeout)
    except errors.NetworkError as error:
        return PresignFinding(public.endpoint, error.message)
    cause = _diagnosis(answer, public)
    if cause and answer.code == "SignatureDoesNotMatch":
        cause = _what_the_store_saw(internal, bucket, key, public, timeout) or cause
    return PresignFinding(public.endpoint, cause, answer.status)


def _fetch(url: str, public: PublicEndpoint, timeout: float) -> _Answer:
    """GET a link as a browser would, at the address the caller named, without following redirects."""
    import urllib3  # noqa: PLC0415

    parts = urlsplit(url)
    host = str(parts.hostname)
    address = public.resolve.get(host, host)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    limits = urllib3.Timeout(connect=timeout, read=timeout)
    pool: urllib3.HTTPConnectionPool
    if parts.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(
            address,
            port,
            timeout=limits,
            server_hostname=host,
            assert_hostname=host if public.verify else False,
            cert_reqs="CERT_REQUIRED" if public.verify else "CERT_NONE",
            ca_certs=public.ca_bundle or system_authorities(),
        )
    else:
        pool = urllib3.HTTPConnectionPool(address, port, timeout=limits)
    headers = {"Host": parts.netloc, "Accept-Encoding": "gzip, br, zstd"}
    try:
        got = pool.request(
            "GET", f"{parts.path}?{parts.query}", headers=headers, retries=False, redirect=False, decode_content=False
        )
    except urllib3.exceptions.HTTPError as error:
        raise errors.NetworkError(_broken_line(error, f"{address}:{port}", host)) from None
    finally:
        pool.close()
    return _Answer(got.status, got.headers, got.data)


def _broken_line(error: Exception, where: str, host: str) -> str:
    """The cause of a line that never gave an answer, in words of the person who has to mend it."""
    reasons: list[str] = []
    looked: BaseException | None = error
    while looked is not None and len(reasons) < 6:
        reasons.append(str(looked))
        if isinstance(looked, ConnectionRefusedError):
            return f"connection refused at {where}: nothing listens there"
        if isinstance(looked, socket.gaierror):
            return f"the name {host} is not known here: mend DNS, or give resolve an address for it"
        looked = (
            looked.__cause__
            or looked.__context__
            or next((one for one in looked.args if isinstance(one, BaseException)), None)
        )
    text = " ".join(reasons)
    known = {
        "WRONG_VERSION_NUMBER": f"wrong scheme: {where} answers without TLS, so the public endpoint is http://",
        "unable to get local issuer": f"TLS authority unknown: give ca_bundle the one that signed {host}",
        "self-signed certificate": f"TLS authority unknown: give ca_bundle the one that signed {host}",
        "certificate has expired": f"the certificate of {host} has expired",
        "doesn't match": f"the certificate at {where} is for other names than {host}",
        "Hostname mismatch": f"the certificate at {where} is for other names than {host}",
        "IP address mismatch": f"the certificate at {where} is for other names than {host}",
        "ALERT": f"{where} refused TLS for the name {host}: no site of that name there",
        "timed out": f"{where} did not answer in time",
        "onnection refused": f"connection refused at {where}: nothing listens there",
    }
    return next((cause for sign, cause in known.items() if sign in text), f"{where}: {reasons[0]}")


def _diagnosis(answer: _Answer, public: PublicEndpoint) -> str | None:  # noqa: PLR0911
    """Why an answer is not the canary; ``None`` when it is."""
    if answer.status == 200:
        return _altered(answer)
    location = answer.headers.get("Location", "")
    if answer.status in (301, 302, 307, 308):
        scheme = " (wrong scheme)" if location.startswith("https:") and public.endpoint.startswith("http:") else ""
        return (
            f"redirected to {urlsplit(location).scheme}://{urlsplit(location).netloc}{scheme}: sign for that endpoint"
        )
    if answer.status == 400 and b"HTTP request to an HTTPS" in answer.body:
        return "wrong scheme: TLS is spoken there, so the public endpoint is https://"
    said = f"{answer.status} {answer.code}".strip()
    skew = _clock_skew(answer)
    if answer.code == "RequestTimeTooSkewed" or "expired" in answer.message or (answer.status == 403 and skew):
        return (
            f"{said}: clocks differ by {skew or 'too many'} seconds between this machine and the store: run NTP on both"
        )
    if answer.code == "SignatureDoesNotMatch":
        return f"{said}: something between changed Host, path or query of the signed request"
    if answer.code in ("NoSuchKey", "NoSuchBucket"):
        return f"{said}: the way leads to another store than the internal endpoint"
    if answer.code in ("AccessDenied", "InvalidAccessKeyId"):
        return f"{said}: the signing key may not read this object there (policy, or another store)"
    if answer.status in (502, 503, 504):
        return f"{said}: the proxy does not reach the store"
    who = answer.headers.get("Server", "the proxy")
    return f"{said}: not an answer of S3; {who} handles this address itself"


def _altered(answer: _Answer) -> str | None:
    encoding = answer.headers.get("Content-Encoding", "")
    if encoding and encoding != "aws-chunked":
        return f"200 but compressed ({encoding}): switch compression off on the object site, it breaks ETags and ranges"
    if answer.body != _CANARY:
        return f"200 but {len(answer.body)} other bytes than the {len(_CANARY)} that were put"
    return None


def _clock_skew(answer: _Answer) -> int | None:
    """Seconds between the answer's Date and this machine, when that is enough to break signatures."""
    said = server_clock(answer.headers.get("Date"))
    skew = round(abs(said.timestamp() - time.time())) if said else 0
    return skew if skew > _MAX_SKEW else None


def _what_the_store_saw(
    internal: S3Settings, bucket: str, key: str, public: PublicEndpoint, timeout: float
) -> str | None:
    """Find the Host that the store was shown, by signing for the likely ones and asking the public endpoint again.

    The link that opens is the one signed for what the store sees.
    """
    parts = urlsplit(public.endpoint)
    host, address = str(parts.hostname), public.resolve.get(str(parts.hostname))
    candidates = {
        host: "the port was lost on the way (a proxy sets Host without it; Caddy: remove header_up Host {host})",
        f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}": "a port was added on the way",
        urlsplit(
            internal.endpoint
        ).netloc: "the proxy rewrote Host to its upstream (nginx: proxy_set_header Host $http_host)",
    }
    if address:
        candidates[address] = candidates[f"{address}:{parts.port}"] = "the proxy rewrote Host to its own address"
    candidates.pop(parts.netloc, None)
    for authority, cause in candidates.items():
        signed = urlsplit(_signed(internal, f"{parts.scheme}://{authority}", bucket, key))
        with contextlib.suppress(errors.NetworkError):
            if _fetch(f"{public.endpoint}{signed.path}?{signed.query}", public, timeout).status == 200:
                return f"403 SignatureDoesNotMatch: the store saw Host {authority} instead of {parts.netloc}: {cause}"
    return None
