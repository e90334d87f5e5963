"""A small signed HTTP client for admin APIs: plain JSON, SigV4 by botocore, typed errors, retries of the line only."""

from __future__ import annotations

import hashlib
import html
import json
import re
import time
from typing import Any
from urllib.parse import quote, urlencode

from stowage import errors
from stowage.s3.connection import S3Settings, from_status
from stowage.s3.transport import broken, pool

_RETRIED_STATUS = 503


class SignedHttp:
    """Calls below one path prefix of a store.

    A 500 is never retried: RustFS answers it for permanent conditions such as "does not exist" or "in use"
    (facts/rustfs.md 1.10). Only a broken line and 503 are.

    Args:
        settings: The endpoint and the key that signs.
        prefix: ``/rustfs/admin/v3/``.
    """

    def __init__(self, settings: S3Settings, prefix: str) -> None:
        self._settings = settings
        self._prefix = prefix
        self._pool = pool(settings)

    def call(self, method: str, path: str, doing: str, *, query: dict[str, str] | None = None, body: Any = None) -> Any:
        """One call.

        Args:
            method: HTTP method.
            path: Below the prefix.
            doing: What is being done, as it follows "failed to".
            query: Parameters, encoded here.
            body: Sent as JSON; ``None`` sends nothing.

        Returns:
            The parsed JSON of the answer, ``None`` when it is empty.

        Raises:
            StowageError: Typed by the answer's status and code.
        """
        data = b"" if body is None else json.dumps(body).encode()
        url = f"{self._settings.endpoint}{self._prefix}{path}"
        if query:
            url += "?" + urlencode(sorted(query.items()), quote_via=quote, safe="")
        status, answer = self._sent(method, url, data, doing)
        if status >= 300:
            code, message = _said(answer)
            raise from_status(status, code, message, doing)
        try:
            return json.loads(answer) if answer.strip() else None
        except ValueError:
            raise errors.ServerFaultError(f"failed to {doing}: the answer is no JSON") from None

    def _sent(self, method: str, url: str, data: bytes, doing: str) -> tuple[int, bytes]:
        import urllib3  # noqa: PLC0415

        for attempt in range(1, self._settings.max_attempts + 1):
            last = attempt == self._settings.max_attempts
            try:
                headers = self._signature(method, url, data)
                answer = self._pool.request(method, url, body=data, headers=headers, redirect=False)
            except urllib3.exceptions.HTTPError as error:
                if not last:
                    time.sleep(0.2 * 2**attempt)
                    continue
                raise broken(error, doing, self._settings.endpoint) from None
            if answer.status == _RETRIED_STATUS and not last:
                time.sleep(0.2 * 2**attempt)
                continue
            return answer.status, answer.data
        raise AssertionError("max_attempts is at least 1")

    def _signature(self, method: str, url: str, data: bytes) -> dict[str, str]:
        """Header authentication, real hash of the body, service ``s3``: what RustFS wants (facts/rustfs.md 1.2)."""
        from botocore.auth import SigV4Auth  # noqa: PLC0415
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415
        from botocore.credentials import Credentials  # noqa: PLC0415

        headers = {"X-Amz-Content-SHA256": hashlib.sha256(data).hexdigest()}
        if data:
            headers["Content-Type"] = "application/json"
        request = AWSRequest(method=method, url=url, data=data, headers=headers)
        if not self._settings.anonymous:
            key = Credentials(
                self._settings.access_key or "", self._settings.secret_key or "", self._settings.session_token
            )
            SigV4Auth(key, "s3", self._settings.region).add_auth(request)
        return dict(request.headers.items())

    def plain_status(self, path: str) -> int:
        """The status of an unsigned GET from the endpoint's root, such as a health path."""
        import urllib3  # noqa: PLC0415

        try:
            return self._pool.request("GET", f"{self._settings.endpoint}{path}", redirect=False).status
        except urllib3.exceptions.HTTPError as error:
            raise broken(error, f"ask for {path}", self._settings.endpoint) from None


def _said(answer: bytes) -> tuple[str, str]:
    """Code and message of an S3 error document; both empty when there is none."""
    code = re.search(rb"<Code>([^<]*)</Code>", answer)
    message = re.search(rb"<Message>([^<]*)</Message>", answer)
    return (
        html.unescape(code.group(1).decode(errors="replace")) if code else "",
        html.unescape(message.group(1).decode(errors="replace"))[:500] if message else "",
    )
