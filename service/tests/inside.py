"""The service inside the test's own process, on real servers: a request stops and goes on where the test says so."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeVar

from conftest import Site
from starlette.routing import Router

from filator.app import Service, routes
from filator.archive import rows as archive_rows
from filator.gateway import App, Gateway
from filator.settings import load_settings
from filator.sweeps import Sweeper

T = TypeVar("T")
_FORM = b'--b\r\nContent-Disposition: form-data; name="body"; filename="f"\r\n\r\n%s\r\n--b--\r\n'


class Crash(BaseException):
    """The process dies here: no handler of the service takes it for a failed request."""


class Exchange:
    """One request, without a server between: its body comes and its answer goes as the test says.

    Args:
        app: the ASGI application.
        method: of the request.
        path: of the request.
        query: of the request.
        form: bytes of the file to send; None for no body.
        half: send only half of the body for now.
        hold_after: stop the answer behind so many pieces until `go_on`; None: never.
        cut_after: the client goes away behind so many pieces; None: never.
    """

    def __init__(
        self,
        app: App,
        method: str,
        path: str,
        query: str = "",
        *,
        form: bytes | None = None,
        half: bool = False,
        hold_after: int | None = None,
        cut_after: int | None = None,
    ) -> None:
        self.status = 0
        self.body = bytearray()
        self.ended = False
        self._hold_after, self._cut_after = hold_after, cut_after
        self._pieces = 0
        self._gone = False
        self._resting = asyncio.Event()
        self._onward = asyncio.Event()
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        body = b"" if form is None else _FORM % form
        middle = len(body) // 2 if half else len(body)
        self._rest = body[middle:]
        self._incoming.put_nowait({"type": "http.request", "body": body[:middle], "more_body": half})
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "http_version": "1.1",
            "server": ("127.0.0.1", 8080),
            "headers": [
                (b"host", b"x"),
                (b"content-length", str(len(body)).encode()),
                *([(b"content-type", b"multipart/form-data; boundary=b")] if form is not None else []),
            ],
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._incoming.empty():
            self._resting.set()
        return await self._incoming.get()

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        if not self._gone:
            self.body += message.get("body", b"")
            self.ended = not message.get("more_body", False)
        self._pieces += 1
        if self._pieces == self._cut_after and not self.ended:
            self.hang_up()
            # The service's watcher of the connection gets its turn.
            for _ in range(3):
                await asyncio.sleep(0)
        if self._pieces == self._hold_after and not self.ended:
            self._resting.set()
            await self._onward.wait()

    def hang_up(self) -> None:
        """The client goes away."""
        self._gone = True
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def resting(self) -> None:
        """Wait until the service waits for the test, or has answered."""
        waiting = asyncio.ensure_future(self._resting.wait())
        await asyncio.wait([self.task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def go_on(self) -> Exchange:
        """Send the rest of the body, take the rest of the answer."""
        if self._rest:
            self._incoming.put_nowait({"type": "http.request", "body": self._rest, "more_body": False})
        self._onward.set()
        with contextlib.suppress(Crash):
            await self.task
        # The service's watcher of the connection would wait for ever.
        self._incoming.put_nowait({"type": "http.disconnect"})
        await asyncio.sleep(0)
        return self

    @property
    def json(self) -> Any:
        """The answer's JSON."""
        return json.loads(bytes(self.body))


class Inside:
    """A service on a site's database and bucket, in an event loop that runs only while the test waits for it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.crash_at = ""
        self._loop = asyncio.new_event_loop()
        settings = load_settings({key: value for key, value in site.app.env.items() if key not in ("PATH", "TMPDIR")})
        self.service = Service(settings)
        self.app: App = Gateway(Router(routes(self.service), redirect_slashes=False))
        self.run(self.service.open())
        self.pool = self.service.rows.pool
        self.sweeper = Sweeper(settings, self.pool, self.service.registry)

    def run(self, work: Awaitable[T]) -> T:
        """Run the loop until `work` is done."""
        return self._loop.run_until_complete(work)

    def reach(self, point: str) -> None:
        """Stand for `crashpoints.reach`."""
        if point == self.crash_at:
            raise Crash

    def begin(self, method: str, path: str, query: str = "", **how: Any) -> Exchange:
        """Start a request and let it come to the point where it waits for the test."""

        async def start() -> Exchange:
            exchange = Exchange(self.app, method, path, query, **how)
            await exchange.resting()
            return exchange

        return self.run(start())

    def ask(self, method: str, path: str, query: str = "", **how: Any) -> Exchange:
        """Make a whole request."""

        async def whole() -> Exchange:
            return await Exchange(self.app, method, path, query, **how).go_on()

        return self.run(whole())

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement."""
        return self.run(self.pool.fetch(statement, *values))

    def close(self) -> None:
        """End everything."""
        self.run(self.service.close())
        self._loop.close()


def crashing_forget(inside: Inside) -> Callable[..., Awaitable[Any]]:
    """Make the commit of an archive die inside its transaction, behind the deletion, at the point `in-batch`."""
    real = archive_rows.forget

    async def forget(*arguments: Any) -> Any:
        inside.reach("in-batch")
        return await real(*arguments)

    return forget
