"""What an object carries beside its bytes, kept as the bytes of its headers: read, compared, and written again.

boto3 takes user metadata in ASCII only, and signs other headers in an encoding that is not the one it sends. So headers
go out here as they came in.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from stowage import errors
from stowage.s3.connection import engine_errors

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# What a HEAD tells about an object and a PUT takes again under the same name.
_SAID = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
)
_META = "x-amz-meta-"
# Where and how it is stored: written again, and not compared, since a server may settle it anew.
_PLACED = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
)
_WRITES = ("PutObject", "CreateMultipartUpload")
_active = threading.local()


@dataclass(frozen=True)
class Description:
    """What an object carries beside its bytes.

    Args:
        headers: By lower-case name; values hold one character for each byte.
        placed: The same of where and how it is stored.
        tags: By name.
    """

    headers: Mapping[str, str]
    placed: Mapping[str, str]
    tags: Mapping[str, str]

    def differences(self, other: Description) -> list[str]:
        """The names under which two objects differ; ``tags`` for their tags. Nothing secret is in them."""
        names = {name for name in {*self.headers, *other.headers} if self.headers.get(name) != other.headers.get(name)}
        return sorted(names) + (["tags"] if self.tags != other.tags else [])

    def tagging(self) -> dict[str, Any]:
        """The argument of a PUT for the tags."""
        return {"Tagging": urlencode(self.tags)} if self.tags else {}


def read_description(
    client: S3Client, bucket: str, key: str, version_id: str, *, with_tags: bool = True
) -> Description:
    """Read what a version carries.

    Args:
        client: boto3 S3 client; its key needs s3:GetObjectVersion, and s3:GetObjectVersionTagging for the tags.
        bucket: Bucket name.
        key: Object name.
        version_id: The version; empty for the current one.
        with_tags: Read the tags, too.

    Raises:
        AuthError: The key may not read the object or its tags.
        StowageError: The server refused or failed.
    """
    which: Any = {"Bucket": bucket, "Key": key, **({"VersionId": version_id} if version_id else {})}
    # RustFS 1.0.0-beta.5 tells Cache-Control, Content-Disposition and Content-Language on HEAD and not on GET.
    with engine_errors(f"read the description of {key!r}", client.meta.endpoint_url):
        told = client.head_object(**which)["ResponseMetadata"]["HTTPHeaders"]
    if int(told.get("x-amz-missing-meta", "0")):
        raise errors.RefusedError(f"the server hides {told['x-amz-missing-meta']} metadata entries of {key!r}")
    headers = {name: told[name] for name in told if name in _SAID or name.startswith(_META)}
    # SeaweedFS 4.48 stores the transport's own aws-chunked (facts/s3-servers.md 1); it is no encoding of the file.
    encodings = [one.strip() for one in headers.pop("content-encoding", "").split(",")]
    if real := [one for one in encodings if one and one != "aws-chunked"]:
        headers["content-encoding"] = ",".join(real)
    placed = {name: told[name] for name in _PLACED if told.get(name)}
    return Description(headers, placed, _tags(client, which) if with_tags else {})


def _tags(client: S3Client, which: Any) -> dict[str, str]:
    try:
        with engine_errors(f"read the tags of {which['Key']!r}", client.meta.endpoint_url):
            return {tag["Key"]: tag["Value"] for tag in client.get_object_tagging(**which)["TagSet"]}
    except errors.AuthError as error:
        raise errors.AuthError(
            error.message,
            "give the key s3:GetObjectVersionTagging and s3:GetObjectTagging, or leave tags out with --without-tags",
        ) from None
    except (errors.NotFoundError, errors.RefusedError):
        return {}  # no tags, or a server that has none


@contextmanager
def described_as(client: S3Client, description: Description) -> Iterator[None]:
    """Send these headers with each PutObject and CreateMultipartUpload of this thread inside the block.

    Raises:
        RefusedError: A header holds bytes that are not UTF-8, which can not be signed.
    """
    sent = {**description.headers, **description.placed}
    signed: dict[str, str] = {}
    for name, value in sent.items():
        try:
            signed[name] = value.encode("latin-1").decode("utf-8")
        except UnicodeError:
            raise errors.RefusedError(f"header {name} is not UTF-8, so a request with it can not be signed") from None
    for operation in _WRITES:
        client.meta.events.register(f"before-sign.s3.{operation}", _put_in, unique_id=f"stowage-sign-{operation}")
        client.meta.events.register(f"before-send.s3.{operation}", _as_bytes, unique_id=f"stowage-send-{operation}")
    _active.signed, _active.sent = signed, sent
    try:
        yield
    finally:
        _active.signed = _active.sent = None


def _put_in(request: Any, **_: Any) -> None:
    for name, value in (getattr(_active, "signed", None) or {}).items():
        del request.headers[name]
        request.headers[name] = value


def _as_bytes(request: Any, **_: Any) -> None:
    # A signature covers UTF-8, while http.client sends a text's characters as bytes.
    for name, value in (getattr(_active, "sent", None) or {}).items():
        request.headers[name] = value
