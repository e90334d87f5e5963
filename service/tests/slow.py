"""A PUT that takes its time: begun now, finished when the test says so."""

from __future__ import annotations

import http.client
import json
from typing import Any

from conftest import Site

_BOUNDARY = "slow"


class SlowPut:
    """Sends the head of a form and half of a file; `finish` sends the rest."""

    def __init__(self, site: Site, uuid: str, data: bytes) -> None:
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="body"; filename="slow"\r\n\r\n'.encode()
        tail = f"\r\n--{_BOUNDARY}--\r\n".encode()
        self._rest = data[len(data) // 2 :] + tail
        self._connection = http.client.HTTPConnection("127.0.0.1", site.app.port, timeout=60)
        self._connection.putrequest("PUT", f"/attachments/{uuid}")
        self._connection.putheader("Content-Type", f"multipart/form-data; boundary={_BOUNDARY}")
        self._connection.putheader("Content-Length", str(len(head) + len(data) + len(tail)))
        self._connection.endheaders()
        self._connection.send(head + data[: len(data) // 2])

    def finish(self) -> tuple[int, dict[str, Any]]:
        """Send the rest and return status and answer."""
        self._connection.send(self._rest)
        answer = self._connection.getresponse()
        body = answer.read()
        self._connection.close()
        return answer.status, json.loads(body)
