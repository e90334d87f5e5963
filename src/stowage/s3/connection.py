"""How Stowage reaches an S3 server: settings, clients, and botocore's exceptions turned into ours.

boto3 is imported inside the functions: it costs about a quarter of a second, and a module that fails on its
input, or a ``--help``, should not pay for it.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stowage import errors
from stowage.s3.transport import authorities, broken

if TYPE_CHECKING:
    from mypy_boto3_iam.client import IAMClient
    from mypy_boto3_s3.client import S3Client

_MAKING = threading.Lock()
_BARE_IPV6 = re.compile(r"^([a-z]+://)?[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*/?$")
ADDRESSING_STYLES = ("path", "virtual", "auto")

# The codes that S3 servers use, by what a person has to do about them. A code that stands nowhere here is judged by
# its HTTP status alone.
_AUTH_CODES = frozenset(
    {
        "AccessDenied",
        "AllAccessDisabled",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnauthorizedAccess",
    }
)
_NOT_FOUND_CODES = frozenset(
    {
        "NoSuchBucket",
        "NoSuchBucketPolicy",
        "NoSuchEntity",
        "NoSuchKey",
        "NoSuchLifecycleConfiguration",
        "NoSuchResource",
        "NoSuchUpload",
        "NoSuchVersion",
        "NotFound",
        "ObjectLockConfigurationNotFoundError",
    }
)
_CONFLICT_CODES = frozenset(
    {
        "BucketAlreadyExists",
        "BucketAlreadyOwnedByYou",
        "BucketNotEmpty",
        "DeleteConflict",
        "EntityAlreadyExists",
        "InvalidBucketState",
        "OperationAborted",
        "PreconditionFailed",
    }
)


@dataclass(frozen=True, kw_only=True)
class S3Settings:
    """Everything needed to speak to one S3 endpoint with one key.

    Args:
        endpoint: ``http(s)://host[:port]`` without a path.
        access_key: Access key id; ``None`` together with ``secret_key`` makes unsigned (anonymous) requests.
        secret_key: Secret; never shown by ``repr``.
        session_token: Token of temporary credentials.
        region: Region of the signature; RustFS, MinIO and SeaweedFS accept any, AWS wants its own.
        addressing_style: ``path`` works everywhere but on newer AWS buckets with dots; see ``facts`` on RustFS 6.2.
        ca_bundle: PEM file of the authority that signed the server's certificate.
        verify: ``False`` accepts any certificate, whatever ``ca_bundle`` says.
        connect_timeout: Seconds until the TCP (and TLS) connection stands.
        read_timeout: Seconds between two bytes of the answer.
        max_attempts: Tries per request, the first included.

    Raises:
        BadInputError: The endpoint is no URL of that form, the key pair is half, or a value is out of range.
    """

    endpoint: str
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str = "us-east-1"
    addressing_style: str = "path"
    ca_bundle: str | None = None
    verify: bool = True
    connect_timeout: float = 5.0
    read_timeout: float = 60.0
    max_attempts: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "endpoint", checked_endpoint(self.endpoint))
        if bool(self.access_key) != bool(self.secret_key):
            missing = "secret_key" if self.access_key else "access_key"
            raise errors.BadInputError(f"key pair for {self.endpoint} is half: {missing} is missing")
        if self.addressing_style not in ADDRESSING_STYLES:
            raise errors.BadInputError(
                f"addressing_style is {self.addressing_style!r}, must be one of {', '.join(ADDRESSING_STYLES)}"
            )
        if self.verify and self.ca_bundle and not Path(self.ca_bundle).is_file():
            raise errors.BadInputError(f"ca_bundle {self.ca_bundle} is not a file")
        if self.max_attempts < 1 or self.connect_timeout <= 0 or self.read_timeout <= 0:
            raise errors.BadInputError("max_attempts must be at least 1 and both timeouts above 0")

    @property
    def anonymous(self) -> bool:
        """True when requests go unsigned."""
        return not self.access_key

    def with_key(self, access_key: str | None, secret_key: str | None, session_token: str | None = None) -> S3Settings:
        """The same endpoint with another key; two ``None`` for anonymous requests."""
        return dataclasses.replace(self, access_key=access_key, secret_key=secret_key, session_token=session_token)


def checked_endpoint(endpoint: str | None) -> str:
    """Return the endpoint without trailing slash.

    Raises:
        BadInputError: No scheme, no host, a path, a query, or credentials inside the URL.
    """
    if not endpoint:
        raise errors.BadInputError("no S3 endpoint given", "set endpoint: http(s)://host[:port], or AWS_ENDPOINT_URL")
    example = "right: https://nas.example.net:9000"
    if _BARE_IPV6.search(endpoint):
        example = "right: an IPv6 address in brackets, http://[fd00::1]:9000"
    try:
        parts = urlsplit(endpoint.strip())
        _ = parts.port
    except ValueError as error:
        raise errors.BadInputError(f"endpoint is not a URL: {error}", example) from None
    if parts.username or parts.password:
        # The URL is not repeated here: it holds a secret.
        raise errors.BadInputError("endpoint holds credentials", "give access_key and secret_key on their own")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise errors.BadInputError(f"endpoint {endpoint!r} is not http(s)://host[:port]", example)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise errors.BadInputError(
            f"endpoint {endpoint!r} has a path or a query; SigV4 signs the path, so a prefix can not work", example
        )
    return f"{parts.scheme}://{parts.netloc}"


def s3_client(settings: S3Settings, *, pool_size: int = 10) -> S3Client:
    """A boto3 S3 client with the settings every server at hand can live with.

    Checksums only when required: over TLS botocore's default sends ``aws-chunked`` trailers, which SeaweedFS 4.48
    stores as Content-Encoding and MinIO's older code answers with 411 (facts/s3-servers.md).

    Args:
        settings: Where and as whom.
        pool_size: Connections kept open; give it the number of worker threads.

    Returns:
        A thread-safe client.
    """
    client: S3Client = _client("s3", settings, pool_size)
    return client


def iam_client(settings: S3Settings) -> IAMClient:
    """A boto3 IAM client against the store's own endpoint (SeaweedFS, Ceph) or AWS.

    Policy documents of its answers are text as the server sent it: botocore's own decoding takes percent signs away
    also where the server, as SeaweedFS, had added none.
    """
    from botocore.handlers import json_decode_policies  # noqa: PLC0415

    client: IAMClient = _client("iam", settings, 4)
    client.meta.events.unregister("after-call.iam", json_decode_policies)
    return client


@functools.cache
def _session() -> Any:
    """One session for the process: each new one would read the service descriptions (some MB of JSON) again."""
    import boto3  # noqa: PLC0415

    return boto3.session.Session()


@functools.cache
def warm_up() -> None:
    """Do what a process's first client costs, for those who fork: import boto3, read the description of S3."""
    # With a key, or botocore would look for one in all its places.
    s3_client(S3Settings(endpoint="http://127.0.0.1").with_key("unused", "unused"))


def _client(service: str, settings: S3Settings, pool_size: int) -> Any:
    from botocore import UNSIGNED  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    from stowage import __version__  # noqa: PLC0415

    config = Config(
        signature_version=UNSIGNED if settings.anonymous else ("s3v4" if service == "s3" else "v4"),
        s3={"addressing_style": settings.addressing_style},  # type: ignore[arg-type]
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=pool_size,
        user_agent_extra=f"stowage/{__version__}",
    )
    # Clients may be used from many threads, but a session may make only one at a time (boto3 guide, "Multithreading").
    with engine_errors(f"set up the {service} client", settings.endpoint), _MAKING:
        return _session().client(
            service,
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            aws_session_token=settings.session_token,
            verify=authorities(settings),
            config=config,
        )


@contextmanager
def engine_errors(doing: str, endpoint: str) -> Iterator[None]:
    """Turn botocore's exceptions inside the block into ours.

    Args:
        doing: What is being done, as it follows "failed to": ``read versioning of bucket b``.
        endpoint: Where; named in network errors.

    Raises:
        StowageError: The typed error, with the server's own code and message in it.
    """
    try:
        yield
    except errors.StowageError:
        raise
    except Exception as error:
        translated = translate(error, doing, endpoint)
        if translated is None:
            raise
        raise translated from None


def translate(error: Exception, doing: str, endpoint: str) -> errors.StowageError | None:
    """The engine's error for a botocore exception, or ``None`` when it is not botocore's."""
    from botocore import exceptions as boto  # noqa: PLC0415
    from botocore.parsers import ResponseParserError  # noqa: PLC0415

    if isinstance(error, boto.ClientError):
        answer = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return from_status(status, answer.get("Code", ""), answer.get("Message", ""), doing)
    if isinstance(error, boto.ConnectTimeoutError | boto.ReadTimeoutError):
        return errors.NetworkError(f"failed to {doing}: {endpoint} did not answer in time")
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError):
        return broken(error, doing, endpoint)
    if isinstance(error, ResponseParserError):
        return errors.ServerFaultError(f"failed to {doing}: {endpoint} gave an answer that is not S3's")
    if isinstance(error, boto.BotoCoreError):
        return errors.BadInputError(f"failed to {doing}: {error}")
    return None


def from_status(status: int, code: str, message: str, doing: str) -> errors.StowageError:
    """The typed error for an HTTP status and an S3 error code.

    Args:
        status: HTTP status, 0 when unknown.
        code: The ``Code`` of the error document, or the status as text when the answer had no body (HEAD).
        message: The server's message; it never holds the caller's secret.
        doing: What was being done.
    """
    said = f"{code}: {message}" if message and message != code else (code or str(status))
    text = f"failed to {doing}: {said}"
    # RustFS answers 400 InvalidRequest to a key that is switched off (seen on 1.0.0-beta.5).
    if (
        code in _AUTH_CODES
        or "ErrAccessKeyDisabled" in message
        or (status in (401, 403) and code not in _NOT_FOUND_CODES)
    ):
        return errors.AuthError(text)
    if code in _NOT_FOUND_CODES:
        return errors.NotFoundError(text)
    if code in _CONFLICT_CODES:
        return errors.ConflictError(text)
    by_status: dict[int, type[errors.StowageError]] = {
        404: errors.NotFoundError,
        409: errors.ConflictError,
        412: errors.ConflictError,
        501: errors.RefusedError,
    }
    if status in by_status:
        return by_status[status](text)
    if status >= 500:
        return errors.ServerFaultError(text)
    return errors.RefusedError(text)


def from_environment(environ: Mapping[str, str] | None = None, *, verify: bool = True) -> S3Settings:
    """Settings from ``QATLAS_S3_*`` when they are there, else from ``AWS_*``.

    ``QATLAS_S3_ENDPOINT``, ``_ACCESS_KEY_ID`` and ``_SECRET_ACCESS_KEY`` are shared by the quartet of the
    single-bucket era and the group of six (facts/qatlasd.md 1); a half-set group is an error, as in qatlasd.

    Args:
        environ: Defaults to the process's environment.
        verify: ``False`` accepts any certificate.

    Raises:
        BadInputError: Nothing is set, or a group is set in part; the message names what is missing.
    """
    env = os.environ if environ is None else environ
    common: dict[str, Any] = {
        "region": env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1",
        "ca_bundle": env.get("AWS_CA_BUNDLE") or None,
        "session_token": None,
        "verify": verify,
    }
    prefix = "QATLAS_S3_"
    names = [f"{prefix}{name}" for name in ("ENDPOINT", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]
    endpoint, access_key, secret_key = (env.get(name) or None for name in names)
    if not (endpoint or access_key or secret_key):
        names = ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
        endpoint, access_key, secret_key = (env.get(name) or None for name in names)
        endpoint = env.get("AWS_ENDPOINT_URL_S3") or endpoint
        common["session_token"] = env.get("AWS_SESSION_TOKEN") or None
    missing = [name for name, value in zip(names, (endpoint, access_key, secret_key), strict=True) if not value]
    if missing:
        raise errors.BadInputError(
            f"environment lacks {', '.join(missing)}",
            "set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the same three of QATLAS_S3_*",
        )
    return S3Settings(endpoint=str(endpoint), access_key=access_key, secret_key=secret_key, **common)


def environment_buckets(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The buckets that ``QATLAS_S3_BUCKET*`` name, by kind.

    Returns:
        ``{"raw": ...}`` for the quartet, ``{"pdf": ..., "md": ..., "images": ...}`` for the six, plus ``openalex``
        where set; empty when none is set.
    """
    env = os.environ if environ is None else environ
    kinds = {"": "raw", "_PDF": "pdf", "_MD": "md", "_IMAGES": "images", "_OPENALEX_SNAPSHOT": "openalex"}
    found = {kind: env.get(f"QATLAS_S3_BUCKET{suffix}") for suffix, kind in kinds.items()}
    return {kind: bucket for kind, bucket in found.items() if bucket}
