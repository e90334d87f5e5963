"""Reading ListObjectVersions answers at several times botocore's speed, and in the order the server gave them.

botocore's generic parser takes 70 % of the time of a listing (facts/s3-servers.md, section 1: 3,800 to 8,800 versions
a second) and hands versions and delete markers over as two lists, which loses their order. The order matters where
timestamps tie: SeaweedFS, Ceph and AWS list whole seconds.
"""

from __future__ import annotations

import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_plus

from stowage import errors

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_EVENT = "before-parse.s3.ListObjectVersions"
_PAGE = "StowagePage"
_EMPTY_ANSWER = b"<ListVersionsResult/>"
_ZEROS = "00000000-0000-0000-0000-000000000000"
RUSTFS = "RustFS"
_NOT_XML = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|&#(?:x0*(?:[0-8bcef]|1[0-9a-f])|0*(?:[0-8]|1[124-9]|2[0-9]|3[01]));", re.IGNORECASE
)
_GARBLED = "\ufffd".encode()
_active = threading.local()


class Version(NamedTuple):
    """One row of a version listing: a stored version or a delete marker.

    Args:
        key: Object name, decoded.
        version_id: The server's id; ``null`` for what was written without versioning.
        is_latest: True for the current version (or current delete marker) of its key.
        is_marker: True for a delete marker.
        size: Bytes; 0 for a marker.
        last_modified: When it was written, with time zone.
        etag: Without quotes; empty for a marker.
        position: Row number in its listing, counted from 0: breaks ties between equal times.
    """

    key: str
    version_id: str
    is_latest: bool
    is_marker: bool
    size: int
    last_modified: datetime
    etag: str = ""
    position: int = 0


# Google's XML API answers with the second.
_ROOTS = ("ListVersionsResult", "ListBucketResult")


class Page(NamedTuple):
    """One answer of ListObjectVersions.

    Args:
        rows: In the server's order.
        folders: The CommonPrefixes, where a delimiter was asked for.
        truncated: True when more pages follow.
        next_key: KeyMarker of the next page; empty at the end.
        next_version: VersionIdMarker of the next page; empty when the page ended with its key.
        server: The product, for its quirks: the ``Server`` header, or ``RustFS``, which sends none.
    """

    rows: list[Version]
    folders: list[str]
    truncated: bool
    next_key: str
    next_version: str
    server: str


def parse_page(body: bytes, *, first_position: int = 0, server: str = "") -> Page:
    """Turn the XML of one answer into rows.

    Keys are URL-decoded only when the answer says it encoded them: RustFS 1.0.0-beta.5 and SeaweedFS 4.48 are asked
    for ``url`` and do not encode, and decoding those would turn ``a+b`` and ``a%20b`` into ``a b``.

    Args:
        body: The document.
        first_position: Position given to its first row.
        server: The product to keep in the page.

    Raises:
        ServerFaultError: The document is not XML, no listing, or a row lacks its key, id or time.
    """
    root = _parsed(body)
    space = root.tag[: root.tag.index("}") + 1] if root.tag.startswith("{") else ""
    if root.tag.removeprefix(space) not in _ROOTS:
        # A page of a proxy or of another program, which may be well-formed: as a listing it would be an empty one.
        raise _stranger(f"the version listing begins with <{root.tag.removeprefix(space)[:40]}>")
    decode = unquote_plus if (root.findtext(f"{space}EncodingType") or "").lower() == "url" else str
    rows: list[Version] = []
    folders: list[str] = []
    version_tag, marker_tag, folder_tag = f"{space}Version", f"{space}DeleteMarker", f"{space}CommonPrefixes"
    key_tag, id_tag, latest_tag = f"{space}Key", f"{space}VersionId", f"{space}IsLatest"
    size_tag, time_tag, etag_tag = f"{space}Size", f"{space}LastModified", f"{space}ETag"
    try:
        for element in root:
            if element.tag in (version_tag, marker_tag):
                cells = {child.tag: child.text or "" for child in element}
                rows.append(
                    Version(
                        decode(cells[key_tag]),
                        null_or(cells.get(id_tag)),
                        cells[latest_tag] == "true",
                        element.tag == marker_tag,
                        int(cells.get(size_tag) or 0),
                        _time(cells[time_tag]),
                        cells.get(etag_tag, "").strip('"'),
                        first_position + len(rows),
                    )
                )
            elif element.tag == folder_tag:
                folders.append(decode(element.findtext(f"{space}Prefix") or ""))
    except (KeyError, ValueError) as error:
        raise errors.ServerFaultError(f"a row of the version listing is malformed: {error}") from None
    truncated = root.findtext(f"{space}IsTruncated") == "true"
    return Page(
        _gathered(rows, may_be_apart=server == RUSTFS),
        folders,
        truncated,
        decode(root.findtext(f"{space}NextKeyMarker") or "") if truncated else "",
        (root.findtext(f"{space}NextVersionIdMarker") or "") if truncated else "",
        server,
    )


def _stranger(seen: str) -> errors.ServerFaultError:
    return errors.ServerFaultError(
        f"what answers is no S3 server: {seen}", "name the store's own endpoint; stowage doctor looks at it"
    )


def null_or(version_id: str | None) -> str:
    """The id under which a version is asked for: RustFS 1.0.0-beta.5 lists ``null`` as a UUID of zeros."""
    return "null" if not version_id or version_id == _ZEROS else version_id


def _parsed(body: bytes) -> ET.Element:
    try:
        return ET.fromstring(body)  # noqa: S314 - the same parser, on the same bytes, as botocore's
    except ET.ParseError:
        pass
    # RustFS 1.0.0-beta.5 writes control characters of keys as they are, and one such key would hide all others.
    try:
        return ET.fromstring(_NOT_XML.sub(_GARBLED, body))  # noqa: S314
    except ET.ParseError as error:
        raise errors.ServerFaultError(f"the version listing is not valid XML ({error})") from None


def _gathered(rows: list[Version], *, may_be_apart: bool) -> list[Version]:
    """Bring the rows of each key together, and the keys in order, where a page has them apart.

    RustFS 1.0.0-beta.5 lists all versions of a page and then all its delete markers. A key of markers only stands alone
    there and yet in the wrong place. Put in order is only a page that shows this: pages of 1.0.0-rc.3 are right as they
    are, and others keep their order, since SeaweedFS walks folders.

    Args:
        rows: As the page has them.
        may_be_apart: The product is one whose versions had the fault.
    """
    by_key: dict[str, list[Version]] = {}
    previous = None
    apart = may_be_apart and _markers_behind_versions(rows)
    for row in rows:
        apart |= row.key != previous and row.key in by_key
        by_key.setdefault(row.key, []).append(row)
        previous = row.key
    if not apart:
        return rows
    ordered = sorted(by_key, key=_bytes)
    return [row for key in ordered for row in by_key[key]]


def _markers_behind_versions(rows: list[Version]) -> bool:
    """Whether keys go back where the delete markers begin, and no version comes after: the fault itself."""
    first = next((at for at, row in enumerate(rows) if row.is_marker), len(rows))
    markers = rows[first:]
    if not 0 < first < len(rows) or not all(row.is_marker for row in markers):
        return False
    return _bytes(markers[0].key) < _bytes(rows[first - 1].key)


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def fetch_page(client: S3Client, first_position: int, **request: Any) -> Page:
    """One ListObjectVersions call through boto3's signing, retries and errors, but our own reading of the answer.

    Args:
        client: Any boto3 S3 client; other calls through it stay as they are.
        first_position: Position of the first row.
        request: Arguments of ``list_object_versions``.

    Raises:
        botocore.exceptions.ClientError: As the plain call would.
        ServerFaultError: The answer can not be read.
    """
    client.meta.events.register(_EVENT, _read_answer, unique_id="stowage-versions")
    # EncodingType is asked for here, so that botocore does not add and later undo it by itself.
    with _reading(first_position):
        answer: dict[str, Any] = client.list_object_versions(EncodingType="url", **request)  # type: ignore[assignment]
    page: Page = answer[_PAGE]
    return page


@contextmanager
def _reading(first_position: int) -> Iterator[None]:
    # before-parse handlers get no request context; the call and its parsing happen in one thread.
    _active.position = first_position
    try:
        yield
    finally:
        _active.position = None


def _read_answer(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    position = getattr(_active, "position", None)
    status, body = response_dict["status_code"], response_dict["body"]
    if position is None or status >= 300:
        if position is not None and 400 <= status < 500 and body and b"<Code>" not in body:
            raise _stranger(f"{status} without a code of S3")
        return
    server = product(response_dict["headers"])
    customized_response_dict[_PAGE] = parse_page(response_dict["body"], first_position=position, server=server)
    response_dict["body"] = _EMPTY_ANSWER


def product(headers: Mapping[str, str]) -> str:
    """Tell what answered: RustFS 1.0.0-beta.5 names itself nowhere, but numbers its answers as no other S3 server does.

    A proxy in front may add a ``Server`` of its own, so that header counts last.
    """
    if "x-request-id" in headers and "x-amz-request-id" not in headers:
        return RUSTFS
    return headers.get("server", "")
