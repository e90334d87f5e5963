"""The archive requests, docs/contract.md 4."""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartSegment, PushMultipartParser  # type: ignore[import-untyped]

from filator.archive.rows import ArchiveRows, Transaction
from filator.archive.zipfile import Archive
from filator.errors import BadRequest, ClientGone, Conflict, NotFound, RequestTimeout, TooLarge, Unprocessable
from filator.form import boundary_of
from filator.gateway import Client, Receive, Scope, Send, send_json
from filator.settings import Settings
from filator.storages.registry import Registry

_UUID = re.compile(r"[0-9a-f]{64}")
_MAX_FORM = 65536


async def _small_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > _MAX_FORM:
            raise TooLarge("This request takes at most 64 KiB of fields")
        if not message.get("more_body", False):
            return bytes(body)


async def read_fields(scope: Scope, receive: Receive, seconds: float) -> dict[str, str]:
    """Collect the fields of a small request: address, urlencoded or multipart body, the body winning.

    Args:
        scope: of ASGI.
        receive: of ASGI.
        seconds: within which the whole body must come.

    Raises:
        BadRequest: the body cannot be read.
        RequestTimeout: it did not come in time.
        TooLarge: more than 64 KiB.
    """
    fields = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    try:
        async with asyncio.timeout(seconds):
            body = await _small_body(receive)
    except TimeoutError:
        raise RequestTimeout(f"The fields did not come within {seconds:g} seconds") from None
    kind = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"content-type"), "")
    if not body:
        return fields
    try:
        if kind.lower().startswith("multipart/form-data"):
            return fields | _multipart(body, boundary_of(kind))
        return fields | dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=50))
    except (MultipartError, UnicodeDecodeError, ValueError) as exc:
        raise BadRequest("The body must be a form (urlencoded or multipart/form-data)") from exc


def _multipart(body: bytes, boundary: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name, value = "", bytearray()
    parser = PushMultipartParser(boundary, max_segment_count=50)
    for event in parser.parse(body):
        if isinstance(event, MultipartSegment):
            name, value = event.name or "", bytearray()
        elif event is None:
            fields[name] = value.decode("utf-8")
        else:
            value += event
    parser.close()
    return fields


class ArchiveRequests:
    """Handlers of /attachments/archive."""

    def __init__(self, rows: ArchiveRows, registry: Registry, settings: Settings) -> None:
        self._rows = rows
        self._registry = registry
        self._settings = settings

    async def open(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /attachments/archive/tx."""
        fields = await read_fields(scope, receive, self._settings.idle_seconds)
        tx = await self._rows.open(fields.get("date") or None)
        await send_json(send, 200, self._rows.describe(tx))

    async def one(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET, POST and DELETE /attachments/archive/<uuid>."""
        uuid = scope["path_params"]["uuid"].lower()
        if not _UUID.fullmatch(uuid):
            raise NotFound
        fields = await read_fields(scope, receive, self._settings.idle_seconds)
        objects = fields.get("objects", "")
        if scope["method"] == "DELETE":
            if objects not in ("", "keep", "delete"):
                raise Unprocessable("objects must be keep or delete")
            message = fields.get("message")
            if message is not None and ("\x00" in message or len(message) > 4096):
                raise Unprocessable("message may have 4096 characters, none of them NUL")
            tx = await self._rows.close(uuid, message, delete_objects=objects == "delete")
            await send_json(send, 200, self._rows.describe(tx))
            return
        if objects not in ("", "keep", "include"):
            raise Unprocessable("objects must be keep or include")
        tx = await self._rows.get(uuid)
        if tx.state != "open":
            raise Conflict("The transaction is closed: its rows are deleted")
        wanted = (objects or self._settings.archive_objects) == "include"
        await self._send(tx, receive, send, include_objects=wanted, head=scope["method"] == "HEAD")

    async def _send(self, tx: Transaction, receive: Receive, send: Send, *, include_objects: bool, head: bool) -> None:
        headers: list[tuple[bytes, bytes]] = [
            (b"content-type", b"application/zip"),
            (b"content-disposition", f'attachment; filename="attachments_le{tx.ctx["date"]}.zip"'.encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if head:
            await send({"type": "http.response.body", "body": b""})
            return
        archive = Archive(self._rows, self._registry, tx, self._settings.timezone, include_objects=include_objects)
        client = Client(receive)
        download = await self._rows.begin_download(tx)
        try:
            async for chunk in archive.stream(download):
                client.check()
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            client.check()
            # The note comes before the last byte: a client that saw the end may delete at once.
            objects = "include" if include_objects else "keep"
            await self._rows.downloaded(download, {**asdict(archive.summary), "objects": objects})
        except BaseException:
            await asyncio.shield(self._rows.broken_off(download))
            raise
        await send({"type": "http.response.body", "body": b""})
