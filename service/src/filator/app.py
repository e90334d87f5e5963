"""The ASGI application: routes, and the parts that live as long as a worker process."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import structlog
from starlette.exceptions import HTTPException
from starlette.routing import Route, Router

from filator import logs, metrics, page
from filator.archive.http import ArchiveRequests
from filator.archive.rows import ArchiveRows
from filator.conditions import ANYTHING, Condition, read_condition
from filator.database import Rows, open_pool
from filator.doors import ALIVE, ARCHIVE, DELETE, DESCRIBE, READ, STATUS, WATCH, WRITE, Doors, Need
from filator.download import Downloader
from filator.errors import Conflict, NotFound, StorageError, TooLarge, Unprocessable
from filator.form import FORM_OVERHEAD, FormReader, check_query
from filator.gateway import App, Client, Gateway, Receive, Scope, Send, send_json
from filator.health import Health
from filator.intake import Request
from filator.ranges import disposition
from filator.settings import Settings, load_settings
from filator.storages.registry import Registry
from filator.times import now
from filator.tokens import settled_tokens
from filator.upload import Uploader

log = structlog.get_logger()

_UUID = re.compile(r"[0-9a-f]{64}")
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class Endpoint:
    """A route's handler as an ASGI application; a bare one costs less than Starlette's Request and Response."""

    def __init__(self, doors: Doors, route: str, handler: Handler, **needs: Need) -> None:
        self._doors = doors
        self._route = route
        self._handler = handler
        self._needs = needs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the method and the token, then handle."""
        scope["filator.route"] = self._route
        need = self._needs.get(scope["method"])
        if need is None:
            allowed = ", ".join(self._needs)
            raise HTTPException(405, f"Allowed here: {allowed}", headers={"allow": allowed})
        caller = self._doors.admit(scope, header(scope, b"authorization"), need)
        scope["filator.token"], scope["filator.own_only"] = caller.name, caller.own_only
        await self._handler(scope, receive, send)


def header(scope: Scope, name: bytes) -> str | None:
    """Return a request header's value."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return None


def condition_of(scope: Scope) -> Condition:
    """Return what the request wants to hold of the file that it changes.

    Raises:
        BadRequest: a header that cannot be followed.
    """
    owner = scope["filator.token"] if scope["filator.own_only"] else None
    return read_condition(header(scope, b"if-match"), header(scope, b"if-none-match"), owner)


def query(scope: Scope) -> dict[str, str]:
    """Return the parameters of the address; of repeated ones the last."""
    text = scope["query_string"]
    if not text:
        return {}
    try:
        return dict(parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise Unprocessable("The address has more than 100 parameters") from None


def content_length(scope: Scope, limit: int) -> int | None:
    """Return Content-Length.

    Raises:
        TooLarge: it announces more than can be taken; nothing was read yet.
    """
    text = header(scope, b"content-length")
    if text is None or not text.isdigit():
        return None
    length = int(text)
    if length > limit + FORM_OVERHEAD:
        raise TooLarge(f"The file is larger than {limit} bytes")
    return length


class Service:
    """Everything a worker process holds."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.doors = Doors(settings, settled_tokens(settings.tokens, settings.tokens_file))
        self.rows: Rows
        self.registry: Registry
        self.uploader: Uploader
        self.downloader: Downloader
        self.health: Health
        self.archive_rows: ArchiveRows
        self.archives: ArchiveRequests

    async def open(self) -> None:
        """Build the parts; nothing here needs PostgreSQL, Redis or a storage to be up."""
        settings = self.settings
        pool = await open_pool(
            settings.database_url.get_secret_value(), size=settings.database_pool, name="filator-serve"
        )
        grace = timedelta(seconds=settings.gc_grace_seconds)
        self.rows = Rows(pool, gc_grace=grace, keep_replaced=settings.keep_replaced)
        self.registry = Registry.from_settings(settings, pool)
        self.uploader = Uploader(settings, self.rows, self.registry, processes=settings.workers)
        self.downloader = Downloader(self.rows, self.registry, settings, processes=settings.workers)
        self.health = Health(settings, pool, self.registry)
        self.archive_rows = ArchiveRows(self.rows, settings)
        self.archives = ArchiveRequests(self.archive_rows, self.registry, settings)
        try:
            await asyncio.wait_for(self.registry.start(), 10)
        except TimeoutError:
            log.warning("storages answer slowly; going on without them")

    async def close(self) -> None:
        """Finish uploads, then let go of everything."""
        await self.uploader.close()
        await self.registry.close()
        await self.health.close()
        try:
            await asyncio.wait_for(self.rows.pool.close(), 5)
        except TimeoutError:
            self.rows.pool.terminate()

    # -- handlers --------------------------------------------------------------------------------------------

    async def post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /attachments."""
        await self._upload(None, scope, receive, send)

    async def attachment(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Everything under /attachments/<uuid>."""
        method = scope["method"]
        text = scope["path_params"]["uuid"]
        as_json = text.endswith(".json")
        uuid = text.removesuffix(".json").lower()
        if not _UUID.fullmatch(uuid) or (as_json and method not in ("GET", "HEAD")):
            if method == "PUT":
                raise Unprocessable("The uuid must be 64 hex characters")
            raise NotFound
        if method == "PUT":
            await self._upload(uuid, scope, receive, send)
        elif method == "DELETE":
            await self._delete(uuid, scope, send)
        elif as_json:
            item = await self.downloader.find(uuid)
            await send_json(send, 200, item.describe(self.settings.timezone), body=method == "GET")
        elif scope["query_string"] and query(scope).get("redirect") == "1" and await self._redirect(uuid, scope, send):
            return
        else:
            await self._download(uuid, scope, receive, send)

    async def _upload(self, uuid: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        length = content_length(scope, self.settings.max_body_bytes)
        # A POST makes a uuid of its own: there is nothing that a condition could be about.
        condition = condition_of(scope) if uuid is not None else ANYTHING
        parameters = query(scope)
        check_query(parameters)
        request = Request(uuid, scope["headers"], parameters, length, condition, scope["filator.token"])
        form = FormReader(receive, header(scope, b"content-type") or "", length, self.settings)
        item, created = await self.uploader.take(request, form)
        await send_json(send, 201 if created else 200, item.describe(self.settings.timezone))

    async def _delete(self, uuid: str, scope: Scope, send: Send) -> None:
        condition = condition_of(scope)
        item = await self.downloader.find(uuid)
        try:
            readonly = self.registry.get(item.pointer.store).readonly
        except StorageError:
            readonly = False
        if readonly:
            raise Conflict(f"The storage {item.pointer.store} is read only")
        if await self.rows.delete(uuid, now(), condition) is None:
            raise NotFound
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def _asked(self, scope: Scope) -> str:
        """What a link is signed for: the endpoint that the edge names, where edges do, else that of the Host asked."""
        name = self.settings.public_endpoint_header
        named = header(scope, name.lower().encode()) if name else None
        known = self.settings.signable_endpoint(named) if named else None
        return known or header(scope, b"host") or ""

    async def _redirect(self, uuid: str, scope: Scope, send: Send) -> bool:
        item = await self.downloader.find(uuid)
        seconds = self.settings.presign_seconds
        if item.delete_at is not None:
            seconds = max(1, min(seconds, int((item.delete_at - now()).total_seconds())))
        try:
            url = self.registry.get(item.pointer.store).presign(
                item.pointer,
                authority=self._asked(scope),
                seconds=seconds,
                filename=disposition(item.filename),
                mime_type=item.mime_type,
            )
        except StorageError:
            return False
        if url is None:
            return False
        headers = [(b"location", url.encode()), (b"cache-control", b"no-store"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 307, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return True

    async def _download(self, uuid: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        answer = await self.downloader.answer(uuid, headers, head=scope["method"] == "HEAD")
        start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        if answer.body is None:
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            await self._send_blocks(start, answer.body, receive, send)
        finally:
            if answer.lease is not None:
                answer.lease.release()

    async def _send_blocks(
        self, start: dict[str, object], body: AsyncGenerator[bytes], receive: Receive, send: Send
    ) -> None:
        started = False
        client: Client | None = None
        async with aclosing(body) as blocks:
            async for block in blocks:
                if client is not None:
                    client.check()
                elif started:
                    # Only files of several blocks are worth a watcher.
                    client = Client(receive)
                if not started:
                    await send(start)
                    started = True
                await send({"type": "http.response.body", "body": block, "more_body": True})
        if not started:
            await send(start)
        # Comes back when the kernel has the last block too: until then its memory is not free.
        await send({"type": "http.response.body", "body": b""})

    async def archive_open(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /attachments/archive/tx."""
        await self.archives.open(scope, receive, send)

    async def archive(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Everything under /attachments/archive/<uuid>."""
        await self.archives.one(scope, receive, send)

    async def healthz(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /healthz: the process lives."""
        await send_json(send, 200, {"status": "ok"})

    async def readyz(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /readyz: what works, by name, with a reason."""
        usable, report = await self.health.report()
        await send_json(send, 200 if usable else 503, report)

    async def metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /metrics for Prometheus."""
        data = metrics.render("PROMETHEUS_MULTIPROC_DIR" in os.environ)
        headers = [
            (b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),
            (b"content-length", str(len(data)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": data})

    async def page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /: the state for people."""
        facts = await page.gather(self.rows.pool, self.health, self.archive_rows)
        data = page.render(facts, self.settings.timezone)
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", str(len(data)).encode()),
            (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": data if scope["method"] == "GET" else b""})

    async def openapi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /openapi.json."""
        await send_json(send, 200, json.loads((Path(__file__).parent / "openapi.json").read_text("utf-8")))


def routes(service: Service) -> list[Route]:
    """List the routes with what each method needs."""

    def endpoint(name: str, handler: Handler, **needs: Need) -> Any:
        return Endpoint(service.doors, name, handler, **needs)

    return [
        Route("/attachments", endpoint("attachments", service.post, POST=WRITE)),
        Route("/attachments/archive/tx", endpoint("archive", service.archive_open, POST=ARCHIVE)),
        Route(
            "/attachments/archive/{uuid}",
            endpoint("archive", service.archive, GET=ARCHIVE, HEAD=ARCHIVE, POST=ARCHIVE, DELETE=ARCHIVE),
        ),
        Route(
            "/attachments/{uuid}",
            endpoint("attachment", service.attachment, GET=READ, HEAD=READ, PUT=WRITE, DELETE=DELETE),
        ),
        Route("/", endpoint("page", service.page, GET=STATUS, HEAD=STATUS)),
        Route("/healthz", endpoint("healthz", service.healthz, GET=ALIVE, HEAD=ALIVE)),
        Route("/readyz", endpoint("readyz", service.readyz, GET=WATCH, HEAD=WATCH)),
        Route("/metrics", endpoint("metrics", service.metrics, GET=WATCH, HEAD=WATCH)),
        Route("/openapi.json", endpoint("openapi", service.openapi, GET=DESCRIBE, HEAD=DESCRIBE)),
    ]


def build(settings: Settings) -> App:
    """Build the application for settings that were checked."""
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        await service.open()
        try:
            yield
        finally:
            await service.close()

    async def nowhere(scope: Scope, _receive: Receive, _send: Send) -> None:
        raise NotFound

    # The bare router: Starlette's error middleware would answer before the gateway, in another form.
    return Gateway(Router(routes(service), lifespan=lifespan, redirect_slashes=False, default=nowhere))


def create_app() -> App:
    """Build the application from the environment, in each worker process."""
    settings = load_settings()
    logs.configure(settings.log_level)
    for warning in settings.warnings:
        log.warning(warning)
    return build(settings)
