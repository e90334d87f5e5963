"""Listing versions by short prefixes, for servers that read a thousand keys to fill a page of a thousand versions.

RustFS 1.0.0-beta.5 reads as many keys as the page may have rows, each with all its versions, and throws away what does
not fit: with 20 versions a key it reads twenty times what it tells (docs/quirks.md). A prefix is the only bound that it
takes. So the walk asks for one row to learn the next key, reads everything that starts like that key, and goes on
behind it, with prefixes as long as makes about one page of each.
"""

from __future__ import annotations

import os.path
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from stowage import errors
from stowage.s3.versions_xml import Page, Version

Fetch = Callable[[str, str, int], Page]
"""Ask for one page: prefix, key to start behind (or ""), rows at most."""
ListOne = Callable[[str], list[Version]]
"""List one key by itself."""

# Sorts behind every key that starts like what stands before it, but for those that go on with this very sign.
LAST = "\U0010ffff"
AT_ONCE = 4
# One letter less makes a group up to sixteen times as large where keys are hexadecimal: only then will it fit a page.
_THIN = 16
# A page that shows as many branches of its group's tree holds a good part of the group: the rest is a few pages more.
_BRANCHES = 4


@dataclass(frozen=True, kw_only=True)
class NarrowListing:
    """All versions below a prefix, in pages that hold whole keys only, in the order of keys.

    Args:
        fetch: Asks the server for one page; called from several threads.
        list_one: Lists a key that fills more than a page.
        page_size: Rows per request.
    """

    fetch: Fetch
    list_one: ListOne
    page_size: int

    def pages(self, prefix: str) -> Iterator[Page]:
        """Walk through the keys that start so.

        Raises:
            StowageError: The server refused, failed, or says that more follows and shows nothing.
        """
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="list-versions") as pool:
            yield from self._walk(pool, prefix, "", len(prefix))

    def _walk(self, pool: ThreadPoolExecutor, prefix: str, after: str, length: int) -> Iterator[Page]:
        """Groups of ``length`` letters; one that overflows its page is walked by itself, the others wait meanwhile."""
        coming: deque[tuple[str, Future[Page]]] = deque()
        key = self._next_key(prefix, after)
        while True:
            while key is not None and len(coming) < AT_ONCE:
                group = key[:length]
                start = after if after.startswith(group) else ""
                coming.append((group, pool.submit(self.fetch, group, start, self.page_size)))
                after = group + LAST
                while (key := self._next_key(prefix, after)) is not None and key.startswith(group):
                    after = key
            if not coming:
                return
            group, asked = coming.popleft()
            page = asked.result()
            if page.truncated:
                length += yield from self._rest(pool, group, page)
                continue
            yield page
            if len(page.rows) * _THIN <= self.page_size:
                length = max(len(prefix), length - 1)

    def _rest(self, pool: ThreadPoolExecutor, group: str, page: Page) -> Generator[Page, None, int]:
        """Go on behind the first page of a group: page by page, or by narrower groups; 1 if it was narrower groups."""
        while page.truncated:
            whole = [row for row in page.rows if row.key != page.next_key] or self.list_one(page.next_key)
            if not whole:
                raise errors.ServerFaultError(f"version listing below {group!r} does not advance past a page")
            yield page._replace(rows=whole, truncated=False, next_key="", next_version="")
            after = whole[-1].key
            shared = len(common_start([whole[0].key, page.next_key]))
            branches = len({row.key[: shared + 1] for row in whole})
            if shared > len(group) or branches < _BRANCHES:
                yield from self._walk(pool, group, after, shared + (branches < _BRANCHES))
                return 1
            page = self.fetch(group, after, self.page_size)
        yield page
        return 0

    def _next_key(self, prefix: str, after: str) -> str | None:
        rows = self.fetch(prefix, after, 1).rows
        return rows[0].key if rows else None


def common_start(keys: Sequence[str]) -> str:
    """The letters with which all keys start."""
    return os.path.commonprefix(keys)  # noqa: RUF071 - of letters is what is wanted, not of folders
