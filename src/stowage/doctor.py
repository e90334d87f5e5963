"""Why does this store not work? One look after the other, from the address to the permissions, each with its cure.

Nothing is written: a permission is tried on a key that does not exist. What a link from outside needs is the subject of
``stowage.s3.presign``; the command runs that, too, when it is allowed to write a canary.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import secrets
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stowage.s3.connection import S3Settings, s3_client
from stowage.s3.transport import explained, pool, server_clock

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

OK, WARN, FAIL = "ok", "warning", "fault"
# S3 servers refuse a signature that is older or younger than 15 minutes.
_SKEW_FATAL, _SKEW_NOTABLE = 900, 60
_LIKELY_PORTS = (80, 443, 9000)
_NOT_S3 = "NotS3"
_READ = 65536


@dataclass(frozen=True)
class Finding:
    """One look.

    Args:
        check: What was looked at.
        result: ``ok``, ``warning`` or ``fault``.
        detail: What was seen, in one line.
        cure: What would mend it; empty where nothing has to be.
    """

    check: str
    result: str
    detail: str
    cure: str = ""


@dataclass(frozen=True)
class Answer:
    """What a server said to a plain request.

    Args:
        status: HTTP status.
        code: The S3 error code; empty where there is none.
        message: The server's words.
        date: Its clock, where it tells it.
        server: Its name, where it tells it.
        body: The beginning of what it sent.
    """

    status: int
    code: str = ""
    message: str = ""
    date: datetime | None = None
    server: str = ""
    body: str = ""


def examine(settings: S3Settings, bucket: str, now: Callable[[], datetime] | None = None) -> Iterator[Finding]:
    """Look at an endpoint, the clock, the signature, the bucket and the permissions, and stop where the rest is moot.

    Args:
        settings: Where and as whom.
        bucket: The bucket that is to work.
        now: The clock; the system's when ``None``.

    Yields:
        Findings in the order in which a person would look.
    """
    clock = now or (lambda: datetime.now(UTC))
    try:
        answer = _plain_get(settings)
    except OSError as error:
        yield judge_line(str(error), settings.endpoint)
        return
    finding = judge_first_answer(answer, settings.endpoint)
    yield finding
    if finding.result == FAIL:
        return
    if answer.date:
        yield judge_clock(answer.date, clock())
    signed = _signed_answer(settings, bucket)
    if not is_s3(signed):
        yield judge_stranger(answer, settings.endpoint, file_service=_is_file_service(settings))
        return
    if signed.code == "SignatureDoesNotMatch":
        yield judge_signed(signed, settings, bucket, seen_host=_host_the_store_saw(settings, bucket))
        return
    finding = judge_signed(signed, settings, bucket)
    yield finding
    if finding.result == FAIL:
        return
    client = s3_client(replace(settings, max_attempts=1))
    if signed.status == 403 and _plain_get(settings, f"/{bucket}?list-type=2").code == "NoSuchBucket":
        yield judge_bucket(bucket, _buckets_shown(client), known_missing=True)
        return
    refused = True
    for finding in _permissions(client, bucket):
        refused &= finding.result == WARN
        yield finding
    if refused:
        yield judge_bucket(bucket, _buckets_shown(client))


def judge_line(text: str, endpoint: str) -> Finding:
    """The finding for a connection that never gave an answer; the words are those of urllib3 and OpenSSL."""
    first = text.splitlines()[0] if text else "no answer"
    detail, cure = explained(text, endpoint) or (first, "mend the connection")
    return Finding("reach", FAIL, f"{endpoint}: {detail}", cure)


def judge_first_answer(answer: Answer, endpoint: str) -> Finding:
    """The finding for an unsigned ``GET /``: a 403 is what a healthy store says."""
    parts = urlsplit(endpoint)
    if answer.status == 400 and "HTTPS" in answer.message:
        cure = f"use https://{parts.netloc}"
        return Finding("reach", FAIL, f"{endpoint}: the server speaks TLS, the endpoint says http", cure)
    if answer.status in (301, 302, 307, 308):
        return Finding("reach", FAIL, f"{endpoint}: redirects elsewhere", "use the address it redirects to")
    if answer.status in (502, 503, 504):
        return Finding(
            "reach", FAIL, f"{endpoint}: {answer.status}, a proxy does not reach the store", "look at the proxy"
        )
    named = f" ({answer.server})" if answer.server else ""
    return Finding("reach", OK, f"{endpoint} answers{named}")


def judge_clock(theirs: datetime, ours: datetime) -> Finding:
    """The finding for the difference of two clocks, in seconds."""
    skew = round((ours - theirs).total_seconds())
    text = f"this machine is {abs(skew)} s {'ahead of' if skew > 0 else 'behind'} the store"
    if abs(skew) >= _SKEW_FATAL:
        return Finding(
            "clock", FAIL, text, "signatures are refused beyond 15 minutes: timedatectl set-ntp true, on both"
        )
    if abs(skew) >= _SKEW_NOTABLE:
        return Finding("clock", WARN, text, "timedatectl set-ntp true, on both")
    return Finding("clock", OK, "agrees with the store's")


def judge_signed(answer: Answer, settings: S3Settings, bucket: str, *, seen_host: str | None = None) -> Finding:
    """The finding for the first signed request.

    Args:
        answer: What came back.
        settings: As whom.
        bucket: For which bucket.
        seen_host: The Host for which a signature would have been right, where one was found.
    """
    netloc = urlsplit(settings.endpoint).netloc
    said = f"{answer.status} {answer.code}".strip()
    if answer.code == "SignatureDoesNotMatch" and seen_host:
        return Finding(
            "signature",
            FAIL,
            f"{said}: the store saw Host {seen_host} instead of {netloc}, a proxy on the way rewrites it",
            "Caddy: remove header_up Host; nginx: proxy_set_header Host $http_host",
        )
    cures = {
        "SignatureDoesNotMatch": (
            "the secret is wrong, or a proxy on the way changes Host or path",
            "compare the secret with the store's; then ask the store without the proxy",
        ),
        "InvalidAccessKeyId": (
            "the store does not know this access key",
            "compare QATLAS_S3_ACCESS_KEY_ID with the store's",
        ),
        "RequestTimeTooSkewed": ("the clocks differ too much", "timedatectl set-ntp true, on both"),
        "AuthorizationHeaderMalformed": (answer.message or "the region is wrong", "give --region the store's region"),
        "PermanentRedirect": ("the bucket lives in another region", "give --region and --endpoint of that region"),
        "NoSuchBucket": (f"there is no bucket {bucket}", "mend the name, or make the bucket"),
        "InvalidBucketName": (
            "the store takes the host for the bucket",
            "use --addressing-style path, and leave RUSTFS_SERVER_DOMAINS unset",
        ),
    }
    if answer.code in cures:
        detail, cure = cures[answer.code]
        return Finding("signature", FAIL, f"{said}: {detail}", cure)
    if settings.addressing_style != "path" and answer.status == 0:
        return Finding(
            "signature",
            FAIL,
            f"{bucket}.{netloc} is not reached: the bucket stands in the host name",
            "use --addressing-style path",
        )
    if answer.status == 0 or answer.status >= 500:
        return Finding("signature", FAIL, f"{said}: {answer.message}", "look at the store's log")
    return Finding("signature", OK, f"key {settings.access_key} is accepted")


def is_s3(answer: Answer) -> bool:
    """Whether the answer to a signed request came from a store: a refusal of S3 has a code in words."""
    return answer.code != _NOT_S3 and (answer.status in (0, 200) or (bool(answer.code) and not answer.code.isdigit()))


def judge_stranger(first: Answer, endpoint: str, *, file_service: bool) -> Finding:
    """The finding for an address at which something else than a store answers.

    Args:
        first: The answer to a plain request.
        endpoint: The address.
        file_service: Whether it is the file service.
    """
    if file_service:
        return Finding(
            "signature",
            FAIL,
            f"{endpoint} is the file service, not the store behind it",
            "name the store's own endpoint; --env-file with the service's env file takes it from there",
        )
    who = first.server or "what answers there"
    return Finding(
        "signature",
        FAIL,
        f"{endpoint}: not an answer of S3; {who} handles this address itself",
        "name the store's own endpoint, host and port",
    )


def judge_bucket(bucket: str, shown: list[str], *, known_missing: bool = False) -> Finding:
    """The finding for a bucket with which the key may do nothing: it may be that it is not there.

    Args:
        bucket: As given.
        shown: The buckets that the store shows to this key.
        known_missing: The store said so.
    """
    near = difflib.get_close_matches(bucket, shown, n=1)
    meant = f"use --bucket {near[0]}" if near else f"this key is shown {', '.join(shown) or 'no bucket'}"
    if known_missing:
        return Finding("bucket", FAIL, f"there is no bucket {bucket}", meant)
    detail = f"this key may do nothing of that with bucket {bucket}: the name is wrong, or the key has no rights on it"
    return Finding("bucket", FAIL, detail, f"{meant}; a key that may only write is right as it is")


def _buckets_shown(client: S3Client) -> list[str]:
    _, found = _called(client.list_buckets)
    return sorted(one["Name"] for one in (found or {}).get("Buckets", []))


def _is_file_service(settings: S3Settings) -> bool:
    """Asked of what every listener of the service answers without a token: its description, or that it lives."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        told = _plain_get(settings, "/openapi.json")
        if told.status == 200 and '"filator"' in told.body[:500]:
            return True
        lives = json.loads(_plain_get(settings, "/healthz").body)
        return lives == {"status": "ok"} and _plain_get(settings, "/attachments").status in (401, 405)
    return False


def _permissions(client: S3Client, bucket: str) -> Iterator[Finding]:
    key, version = f"stowage-doctor/{secrets.token_hex(8)}", str(uuid.uuid4())
    tries: list[tuple[str, str, Callable[[], Any]]] = [
        ("s3:ListBucket", "list objects", lambda: client.list_objects_v2(Bucket=bucket, MaxKeys=1)),
        (
            "s3:ListBucketVersions",
            "plan a prune or a restore",
            lambda: client.list_object_versions(Bucket=bucket, MaxKeys=1),
        ),
        ("s3:GetBucketVersioning", "know that a restore is safe", lambda: client.get_bucket_versioning(Bucket=bucket)),
        (
            "s3:GetObjectVersion",
            "read an old version",
            lambda: client.get_object(Bucket=bucket, Key=key, VersionId=version),
        ),
        (
            "s3:DeleteObjectVersion",
            "prune",
            lambda: client.delete_object(Bucket=bucket, Key=key, VersionId=version),
        ),
    ]
    for action, purpose, call in tries:
        answer, result = _called(call)
        if answer.code == "NoSuchBucket":
            yield Finding(action, FAIL, f"there is no bucket {bucket}", "mend the name, or make the bucket")
            return
        if answer.status == 501:
            cure = "no right mends that: use a store that can, as SeaweedFS or RustFS, where it is wanted"
            yield Finding(action, WARN, f"this store has no such call (501): it can not {purpose}", cure)
        elif answer.status in (401, 403):
            yield Finding(
                action, WARN, f"refused; needed to {purpose}", f"allow {action} on {bucket} where that is wanted"
            )
        elif answer.status == 0 or answer.status >= 500:
            yield Finding(
                action, FAIL, f"{answer.status} {answer.code} {answer.message}".strip(), "look at the store's log"
            )
        else:
            yield Finding(action, OK, f"allowed: {purpose}")
        if action == "s3:GetBucketVersioning" and isinstance(result, dict) and answer.status == 200:
            yield judge_versioning(result.get("Status"), bucket)


def judge_versioning(status: str | None, bucket: str) -> Finding:
    """The finding for a bucket's versioning status, ``None`` where it was never set."""
    if status == "Enabled":
        return Finding("versioning", OK, "enabled: an overwritten file can be restored")
    return Finding(
        "versioning",
        WARN,
        f"{status or 'never enabled'}: what is overwritten now is lost",
        f"aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled",
    )


def _called(call: Callable[[], Any]) -> tuple[Answer, Any]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from botocore.parsers import ResponseParserError  # noqa: PLC0415

    try:
        return Answer(200), call()
    except ResponseParserError:
        return Answer(200, _NOT_S3), None
    except ClientError as error:
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return Answer(status, said.get("Code", ""), said.get("Message", "")), None
    except BotoCoreError as error:
        return Answer(0, type(error).__name__, str(error)), None


def _signed_answer(settings: S3Settings, bucket: str) -> Answer:
    client = s3_client(replace(settings, max_attempts=1))
    answer, found = _called(lambda: client.list_objects_v2(Bucket=bucket, MaxKeys=1))
    # Any well-formed page would pass for an empty listing.
    return Answer(200, _NOT_S3) if answer.status == 200 and not {"Name", "KeyCount"} & set(found) else answer


def _host_the_store_saw(settings: S3Settings, bucket: str) -> str | None:
    """The Host for which a signature is accepted: sign for the likely ones, and send each to the real address."""
    parts = urlsplit(settings.endpoint)
    host = str(parts.hostname)
    likely = [host, *(f"{name}:{port}" for name in (host, "localhost", "127.0.0.1") for port in _LIKELY_PORTS)]
    for authority in dict.fromkeys(likely):
        if authority == parts.netloc:
            continue
        elsewhere = s3_client(replace(settings, endpoint=f"{parts.scheme}://{authority}", addressing_style="path"))
        link = urlsplit(
            elsewhere.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket, "MaxKeys": 1}, ExpiresIn=60)
        )
        try:
            answer = _plain_get(settings, f"{link.path}?{link.query}")
        except OSError:
            return None
        if answer.status == 200 or answer.code == "AccessDenied":
            return authority
    return None


def _plain_get(settings: S3Settings, path: str = "/") -> Answer:
    """An unsigned GET, without redirects.

    Raises:
        OSError: No answer; the message holds the words of urllib3 and OpenSSL.
    """
    import urllib3  # noqa: PLC0415

    try:
        got = pool(settings).request("GET", settings.endpoint + path, redirect=False)
    except urllib3.exceptions.HTTPError as error:
        raise OSError(str(error)) from None
    text = got.data[:_READ].decode(errors="replace")
    return Answer(
        got.status,
        _between(text, "<Code>", "</Code>"),
        _between(text, "<Message>", "</Message>") or text[:200],
        server_clock(got.headers.get("Date")),
        got.headers.get("Server", ""),
        text,
    )


def _between(text: str, start: str, end: str) -> str:
    return text.split(start, 1)[1].split(end, 1)[0] if start in text and end in text else ""
