"""The outermost layer: request id, access, errors as JSON, one log line and one count a request."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from starlette.exceptions import HTTPException

from filator import jsontext, logs, metrics
from filator.download import BrokenOff
from filator.errors import ApiError, ClientGone
from filator.unread import Body

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


async def send_json(
    send: Send, status: int, value: object, headers: dict[str, str] | None = None, *, body: bool = True
) -> None:
    """Send a JSON answer.

    Args:
        send: of ASGI.
        status: HTTP status.
        value: anything JSON can hold.
        headers: extra ones.
        body: False for HEAD: the length is announced, nothing is sent.
    """
    data = jsontext.dumps(value)
    pairs = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    pairs += [(name.encode(), text.encode("latin-1", "replace")) for name, text in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": data if body else b""})


class Client:
    """Watches for the end of the connection while an answer streams: uvicorn drops what is sent to nobody."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def check(self) -> None:
        """Raise ClientGone when nobody reads any more."""
        if self._task.done():
            raise ClientGone


class Gateway:
    """Wraps the routes."""

    def __init__(self, app: App) -> None:
        self._app = app
        # Each request's own random number would be a system call each.
        self._process = secrets.token_hex(5)
        self._number = 0

    def _new_id(self) -> bytes:
        self._number += 1
        return f"{self._process}-{self._number:x}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given if given and _REQUEST_ID.fullmatch(given) else self._new_id()
        status = 0

        async def tracked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        scope["filator.request_id"] = request_id.decode()
        outcome: dict[str, object] = {}
        body = None if scope["method"] in ("GET", "HEAD") else Body(receive, scope["headers"])
        try:
            await self._app(scope, body or receive, tracked)
        except ClientGone:
            outcome["ended"] = "client gone"
            status = 499
        except BrokenOff as exc:
            outcome["ended"] = str(exc)
            if status == 0:
                # Nothing was sent yet: a file of one block is held back whole.
                answer = {"status": "error", "msg": "The bytes of this file cannot be read"}
                await send_json(tracked, 503, answer)
        except (ApiError, HTTPException) as exc:
            text = exc.msg if isinstance(exc, ApiError) else str(exc.detail)
            outcome["reason"] = text
            if status == 0:
                code = exc.status if isinstance(exc, ApiError) else exc.status_code
                headers = dict(exc.headers or {})
                if body is not None and not await body.discarded(code):
                    # The connection cannot carry another request.
                    headers["connection"] = "close"
                await send_json(
                    tracked, code, {"status": "error", "msg": text}, headers, body=scope["method"] != "HEAD"
                )
        except Exception:
            log.exception("request failed", request_id=request_id.decode())
            outcome["ended"] = "error"
            if status == 0:
                message = f"Internal error; the log tells more under {request_id.decode()}"
                await send_json(tracked, 500, {"status": "error", "msg": message})
        if "filator.cut_off" in scope:
            outcome["ended"] = scope["filator.cut_off"]
        route = scope.get("filator.route", "none")
        elapsed = time.perf_counter() - started
        metrics.count(route, scope["method"] if route != "none" else "any", status, elapsed)
        logs.request(
            {
                "request_id": request_id.decode(),
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "ms": round(elapsed * 1000, 1),
                "token": scope.get("filator.token"),
                **outcome,
            },
            warn=status >= 500 or "ended" in outcome,
        )
