"""Requests to the running service, for the commands that talk to it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filator.commandline import EX_UNAVAILABLE, Failed


class Client:
    """A running service, with the token of FILATOR_TOKEN if there is one.

    Attributes:
        url: of the service, without a slash at its end.
    """

    def __init__(self, url: str) -> None:
        """Check address and token; nothing is sent yet.

        Raises:
            Failed: one of them cannot be used.
        """
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", url)
        except ValueError:
            usable = False
        if not usable:
            raise Failed(f"--url {url}: must be an address such as http://127.0.0.1:8080", 2)
        self.url = url.rstrip("/")
        self._headers = {}
        token = os.environ.get("FILATOR_TOKEN")
        if token:
            if not (token.isascii() and token.isprintable()):
                raise Failed("FILATOR_TOKEN holds a character that no token has; is it cut at its line end?", 2)
            self._headers["Authorization"] = f"Bearer {token}"

    @contextmanager
    def _told(self, *, sending: bool) -> Iterator[None]:
        try:
            yield
        except HTTPError as exc:
            try:
                text = json.loads(exc.read())["msg"]
            except (ValueError, KeyError, TypeError, OSError):
                text = exc.reason
            raise Failed(f"the service answered {exc.code}: {text}") from None
        except (OSError, HTTPException) as exc:
            # HTTPException: what answers there does not speak HTTP, or stops in the middle.
            reason = getattr(exc, "reason", None) or str(exc) or type(exc).__name__
            hint = "nothing was replaced, run it again" if sending else "is `filator serve` running there?"
            raise Failed(f"{self.url} does not answer ({reason}); {hint}", EX_UNAVAILABLE) from None

    def open(self, method: str, path: str, data: Iterator[bytes] | None = None, **headers: str) -> HTTPResponse:
        """Send a request and return the answer, whose body the caller reads.

        Args:
            method: of the request.
            path: with its query.
            data: blocks of the body; what raises in there goes through, unless it is an OSError.
            **headers: further ones, with _ for -.

        Raises:
            Failed: the service refused, or does not answer.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        # The scheme was checked above: no file:// gets here.
        request = Request(self.url + path, method=method, data=data, headers={**self._headers, **named})  # noqa: S310
        with self._told(sending=data is not None):
            answer: HTTPResponse = urlopen(request, timeout=600)  # noqa: S310
        return answer

    def call(self, method: str, path: str, data: Iterator[bytes] | None = None, **headers: str) -> dict[str, Any]:
        """Send a request, as open() does, and return the JSON object of the answer.

        Raises:
            Failed: the service refused, does not answer, or is another one.
        """
        with self._told(sending=data is not None), self.open(method, path, data, **headers) as answer:
            body = answer.read()
        try:
            return dict(json.loads(body))
        except (ValueError, TypeError):
            raise Failed(f"{self.url} is no file service: its answer is no JSON") from None
