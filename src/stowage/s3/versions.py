"""Version listings as a stream: pages fetched ahead, whole keys handed on, constant memory for any number of keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from stowage import errors
from stowage.s3.connection import engine_errors
from stowage.s3.server_version import READS_FAR_MORE_THAN_IT_SHOWS, rustfs_version
from stowage.s3.versions_narrow import NarrowListing
from stowage.s3.versions_xml import RUSTFS, Page, Version, fetch_page

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["History", "Listing", "Page", "Version", "list_key", "list_pages", "to_histories"]

History = list[Version]
PAGE_SIZE = 1000
# A key that sorts behind this many rows of its own prefix is refused instead of read for ever.
_KEY_PAGES_WITHOUT_A_HIT = 20


def list_pages(
    client: S3Client,
    bucket: str,
    *,
    prefix: str = "",
    after_key: str = "",
    delimiter: str = "",
    page_size: int = PAGE_SIZE,
    ahead: bool = True,
) -> Iterator[Page]:
    """Pages of a version listing; while one is worked on, the next is on its way.

    Args:
        client: boto3 S3 client.
        bucket: Bucket name.
        prefix: Only keys that start so.
        after_key: Start behind every version of this key.
        delimiter: Fold what follows it into ``Page.folders``.
        page_size: Rows per request, 1 to 1000.
        ahead: Ask for the next page while the caller works on this one.

    Raises:
        StowageError: The server refused, failed, or hands out the same page for ever.
    """
    start: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": page_size}
    if delimiter:
        start["Delimiter"] = delimiter
    if after_key:
        start["KeyMarker"] = after_key

    position = 0
    request = start
    with ThreadPoolExecutor(1, thread_name_prefix="list-versions") as background:
        page = _fetch(client, request, 0)
        while page.truncated:
            position += len(page.rows)
            following = dict(start, KeyMarker=page.next_key)
            if page.next_version:
                following["VersionIdMarker"] = page.next_version
            if following == request or not page.next_key:
                raise errors.ServerFaultError(f"version listing of bucket {bucket} does not advance past a page")
            request = following
            coming = background.submit(_fetch, client, request, position) if ahead else None
            yield page
            page = coming.result() if coming else _fetch(client, request, position)
        yield page


def one_page(client: S3Client, bucket: str, prefix: str, after_key: str = "", rows: int = PAGE_SIZE) -> Page:
    """The first page of a listing, its rows counted from 0.

    Args:
        client: boto3 S3 client.
        bucket: Bucket name.
        prefix: Only keys that start so.
        after_key: Start behind every version of this key.
        rows: Rows at most, 1 to 1000.

    Raises:
        StowageError: The server refused or failed.
    """
    request = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": rows}
    return _fetch(client, {**request, "KeyMarker": after_key} if after_key else request, 0)


def wants_short_prefixes(client: S3Client, bucket: str, prefix: str = "") -> bool:
    """Tell whether the server is of a version that reads far more than a page shows (``versions_narrow``).

    Only those versions: on RustFS 1.0.0-rc.3 the same walk lists keys twice and loses rows (docs/quirks.md).
    """
    if one_page(client, bucket, prefix, rows=1).server != RUSTFS:
        return False
    return rustfs_version(client) in READS_FAR_MORE_THAN_IT_SHOWS


def _fetch(client: S3Client, request: dict[str, Any], position: int) -> Page:
    with engine_errors(f"list versions of bucket {request['Bucket']}", client.meta.endpoint_url):
        return fetch_page(client, position, **request)


def list_key(client: S3Client, bucket: str, key: str, *, expected: int = 0) -> History:
    """Every version of exactly one key.

    Args:
        client: boto3 S3 client.
        bucket: Bucket name.
        key: The full name; longer keys that start with it are passed over.
        expected: Rows to expect, so that a key that is a prefix of a thousand others costs one small page.

    Returns:
        Rows in the server's order; empty when the key has none.

    Raises:
        RefusedError: The server puts more than 20,000 rows of longer keys before this one.
        StowageError: The server refused or failed.
    """
    page_size = min(PAGE_SIZE, max(16, 2 * expected)) if expected else PAGE_SIZE
    found: History = []
    for number, page in enumerate(list_pages(client, bucket, prefix=key, page_size=page_size, ahead=False), start=1):
        found += [row for row in page.rows if row.key == key]
        # RustFS beta.5 answers an empty page, and says that more follows, behind the 1,000th version of a key.
        if found and not (page.rows and page.rows[-1].key == key):
            break
        if not found and number * page_size >= _KEY_PAGES_WITHOUT_A_HIT * PAGE_SIZE:
            raise errors.RefusedError(f"key {key!r} can not be listed by itself: too many longer keys come before it")
    return found


def to_histories(pages: Iterable[Page], relist: Callable[[str], History] | None = None) -> Iterator[History]:
    """Gather the rows of each key.

    Where a page ended inside a key and the next page begins with another one, either the key was complete or the
    server lost its remainder (RustFS before 1.0.0-beta.7 does: facts/rustfs.md 3.4); the key is then listed by itself.

    Args:
        pages: As ``list_pages`` yields them.
        relist: Lists one key by itself; ``None`` takes the page boundary as it is.

    Returns:
        One list per key, in listing order, without duplicate versions. A key that comes again later yields again.
    """
    current: History = []
    cut_key: str | None = None
    for page in pages:
        if cut_key is not None and relist and current and not (page.rows and page.rows[0].key == cut_key):
            current = max(current, _renumbered(relist(cut_key), current), key=len)
        for row in page.rows:
            if current and row.key != current[0].key:
                yield _without_duplicates(current)
                current = []
            current.append(row)
        cut_key = current[0].key if current and page.truncated and page.next_version else None
    if current:
        yield _without_duplicates(current)


def _numbered(pages: Iterable[Page]) -> Iterator[Page]:
    position = 0
    for page in pages:
        yield page._replace(rows=[row._replace(position=position + at) for at, row in enumerate(page.rows)])
        position += len(page.rows)


def _renumbered(fresh: History, seen: History) -> History:
    return [row._replace(position=seen[0].position + offset) for offset, row in enumerate(fresh)]


def _without_duplicates(history: History) -> History:
    unique: dict[str, Version] = {}
    for row in history:
        unique.setdefault(row.version_id, row)
    return history if len(unique) == len(history) else list(unique.values())


@dataclass
class Listing:
    """A version listing that knows afterwards whether it can be believed.

    SeaweedFS 4.48 walks in directory order and compares page markers in byte order, so rows vanish at a page boundary
    when one key is a prefix of another (facts/s3-servers.md, defect D1); RustFS 1.0.0-beta.5 loses whole folders in the
    same place. Such a listing is noticed by comparing its live keys with ListObjectsV2, and is then read folder by
    folder.

    Args:
        client: boto3 S3 client.
        bucket: Bucket name.
        prefix: Only keys that start so.
        page_size: Rows per request.
    """

    client: S3Client
    bucket: str
    prefix: str = ""
    page_size: int = PAGE_SIZE
    rows: int = field(default=0, init=False)
    keys: int = field(default=0, init=False)
    live_keys: int = field(default=0, init=False)
    cut_keys: int = field(default=0, init=False)
    server: str = field(default="", init=False)
    started: datetime = field(default=datetime.min.replace(tzinfo=UTC), init=False)

    def histories(self, *, by_folder: bool = False) -> Iterator[History]:
        """All keys with all their versions; counts what it hands out.

        Args:
            by_folder: Walk with a delimiter instead of flat: slower, and complete where D1 loses rows.
        """
        self.rows = self.keys = self.live_keys = self.cut_keys = 0
        self.started = datetime.now(UTC)
        for history in self._folders(self.prefix) if by_folder else self._straight():
            if not history[0].key.startswith(self.prefix):
                # SeaweedFS folds slashes: asked for a//b it shows a/b, which is another key.
                raise errors.RefusedError(
                    f"asked for {self.prefix!r} the server lists {history[0].key!r}, which does not start so"
                )
            self.rows += len(history)
            self.keys += 1
            self.live_keys += any(row.is_latest and not row.is_marker for row in history)
            yield history

    def _straight(self) -> Iterator[History]:
        if wants_short_prefixes(self.client, self.bucket, self.prefix):
            fetch = partial(one_page, self.client, self.bucket)
            narrow = NarrowListing(fetch=fetch, list_one=self._relist, page_size=self.page_size)
            pages = _numbered(narrow.pages(self.prefix))
        else:
            pages = list_pages(self.client, self.bucket, prefix=self.prefix, page_size=self.page_size)
        return to_histories(self._watched(pages), self._relist)

    def _folders(self, prefix: str) -> Iterator[History]:
        folders: list[str] = []

        def own_rows() -> Iterator[Page]:
            for page in list_pages(self.client, self.bucket, prefix=prefix, delimiter="/", page_size=self.page_size):
                folders.extend(page.folders)
                yield page

        yield from to_histories(self._watched(own_rows()), self._relist)
        for folder in dict.fromkeys(folders):
            if folder != prefix:
                yield from self._folders(folder)

    def _relist(self, key: str) -> History:
        history = list_key(self.client, self.bucket, key)
        # Asked for by itself, the key still ends where a page does: older versions may lie behind it.
        self.cut_keys += bool(history) and len(history) % PAGE_SIZE == 0
        return history

    def _watched(self, pages: Iterator[Page]) -> Iterator[Page]:
        for page in pages:
            self.server = page.server
            yield page

    @property
    def doubtful(self) -> bool:
        """True unless the server is one whose listings are known to be whole.

        SeaweedFS 4.48 and RustFS 1.0.0-beta.5 both lose rows at page boundaries (docs/quirks.md).
        """
        return not self.server.startswith("AmazonS3")

    def missing_live_keys(self) -> int:
        """How many objects ListObjectsV2 knows that the last ``histories`` did not show.

        Objects written since then do not count; other writers' deletions meanwhile can only lower the figure.
        """
        live = 0
        with engine_errors(f"list bucket {self.bucket}", self.client.meta.endpoint_url):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
            for page in pages:
                live += sum(entry["LastModified"] <= self.started for entry in page.get("Contents", []))
        return max(0, live - self.live_keys)
