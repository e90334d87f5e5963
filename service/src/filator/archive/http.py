"""The archive requests, docs/contract.md 4."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartSegment, PushMultipartParser  # type: ignore[import-untyped]

from filator.archive.rows import ArchiveRows, Transaction
from filator.archive.zipfile import Archive
from filator.errors import (
    ApiError,
    BadRequest,
    ClientGone,
    Conflict,
    NotFound,
    RequestTimeout,
    TooLarge,
    Unprocessable,
)
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


async def read_fields(scope: Scope, receive: Receive, seconds: float, known: Sequence[str]) -> dict[str, str]:
    """Collect the fields of a small request, from its address and from its body: a form or JSON.

    What is not understood is refused: left unread, a date would open another range than the client asked for.

    Args:
        scope: of ASGI.
        receive: of ASGI.
        seconds: within which the whole body must come.
        known: names of the fields that this request takes.

    Raises:
        BadRequest: the body cannot be read.
        ApiError: 415, the body is of another type.
        RequestTimeout: it did not come in time.
        TooLarge: more than 64 KiB.
        Unprocessable: an unknown field, or one with two values.
    """
    try:
        async with asyncio.timeout(seconds):
            body = await _small_body(receive)
    except TimeoutError:
        raise RequestTimeout(f"The fields did not come within {seconds:g} seconds") from None
    kind = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"content-type"), "")
    try:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=50)
        if body:
            pairs += _pairs(body, kind)
    except (MultipartError, UnicodeDecodeError, ValueError, RecursionError) as exc:
        raise BadRequest(
            "The fields cannot be read: the body must be a form (urlencoded or multipart/form-data) or a JSON object"
        ) from exc
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise Unprocessable(f"The field {name[:40]!r} is unknown here; known: {', '.join(known)}")
        if fields.setdefault(name, value) != value:
            raise Unprocessable(f"The field {name} is given twice, with different values")
    return fields


def _pairs(body: bytes, kind: str) -> list[tuple[str, str]]:
    media = kind.partition(";")[0].strip().lower()
    if media == "multipart/form-data":
        return _multipart(body, boundary_of(kind))
    if media == "application/json":
        return _json(body)
    if media in ("", "application/x-www-form-urlencoded"):
        return parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=50)
    raise ApiError(
        f"A body of type {media[:60]} is not taken here: send a form or JSON, or give the fields in the address",
        status=415,
    )


def _json(body: bytes) -> list[tuple[str, str]]:
    found = json.loads(body)
    if not isinstance(found, dict):
        raise BadRequest("The JSON of this request must be an object")
    pairs = []
    for name, value in found.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise Unprocessable(f"The field {name[:40]!r} must be text")
        # A lone surrogate is valid JSON, but no text.
        str(value).encode()
        pairs.append((name, str(value)))
    return pairs


def _multipart(body: bytes, boundary: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    name, value = "", bytearray()
    parser = PushMultipartParser(boundary, max_segment_count=50)
    for event in parser.parse(body):
        if isinstance(event, MultipartSegment):
            name, value = event.name or "", bytearray()
        elif event is None:
            pairs.append((name, value.decode("utf-8")))
        else:
            value += event
    parser.close()
    return pairs


def _one_of(fields: dict[str, str], name: str, *values: str) -> str:
    value = fields.get(name, "")
    if value not in ("", *values):
        raise Unprocessable(f"{name} must be {' or '.join(values)}")
    return value


class ArchiveRequests:
    """Handlers of /attachments/archive."""

    def __init__(self, rows: ArchiveRows, registry: Registry, settings: Settings) -> None:
        self._rows = rows
        self._registry = registry
        self._settings = settings

    async def open(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /attachments/archive/tx."""
        fields = await read_fields(scope, receive, self._settings.idle_seconds, ("date",))
        tx = await self._rows.open(fields.get("date"))
        await send_json(send, 200, self._rows.describe(tx))

    async def one(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET, POST and DELETE /attachments/archive/<uuid>."""
        uuid = scope["path_params"]["uuid"].lower()
        if not _UUID.fullmatch(uuid):
            raise NotFound
        if scope["method"] == "DELETE":
            known = ("message", "objects", "sha256")
            await self._commit(uuid, await read_fields(scope, receive, self._settings.idle_seconds, known), send)
            return
        fields = await read_fields(scope, receive, self._settings.idle_seconds, ("objects", "unreadable"))
        objects = _one_of(fields, "objects", "keep", "include")
        skip = _one_of(fields, "unreadable", "refuse", "skip") == "skip"
        tx = await self._rows.get(uuid)
        if tx.state != "open":
            raise Conflict("The transaction is closed: its rows are deleted")
        if scope["http_version"] == "1.0":
            # Its length is not known before, so the end of the connection would be the only sign of the ZIP's end.
            raise ApiError(
                "HTTP/1.0 cannot tell a whole archive from one that broke off: use HTTP/1.1, also between proxy and "
                "service",
                status=505,
            )
        wanted = (objects or self._settings.archive_objects) == "include"
        await self._send(
            tx, receive, send, include_objects=wanted, skip_unreadable=skip, head=scope["method"] == "HEAD"
        )

    async def _commit(self, uuid: str, fields: dict[str, str], send: Send) -> None:
        objects = _one_of(fields, "objects", "keep", "delete")
        message = fields.get("message")
        if message is not None and ("\x00" in message or len(message) > 4096):
            raise Unprocessable("message may have 4096 characters, none of them NUL")
        sha256 = fields.get("sha256")
        if sha256 is not None:
            sha256 = sha256.lower()
            if not _UUID.fullmatch(sha256):
                raise Unprocessable("sha256 must be the 64 hex characters that `sha256sum` prints for the ZIP")
        tx = await self._rows.close(uuid, message, delete_objects=objects == "delete", sha256=sha256)
        await send_json(send, 200, self._rows.describe(tx))

    async def _send(
        self, tx: Transaction, receive: Receive, send: Send, *, include_objects: bool, skip_unreadable: bool, head: bool
    ) -> None:
        headers: list[tuple[bytes, bytes]] = [
            (b"content-type", b"application/zip"),
            (b"content-disposition", f'attachment; filename="attachments_le{tx.ctx["date"]}.zip"'.encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if head:
            await send({"type": "http.response.body", "body": b""})
            return
        archive = Archive(
            self._rows,
            self._registry,
            tx,
            self._settings.timezone,
            include_objects=include_objects,
            skip_unreadable=skip_unreadable,
        )
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
