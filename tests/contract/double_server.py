"""A double of RustFS 1.0.0-beta.5: its admin API and notification rules, over a real S3 server for the data.

It exists because RustFS is in no package registry, so CI can not have it. It is trusted only for what the contract
tests have also shown on the real server. Started by the tests, or for Molecule as

    python tests/contract/double_server.py --port 9000 --upstream http://127.0.0.1:8333 \\
        --target qatlas=http://127.0.0.1:9880/

with ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY`` in the environment: the upstream's key and the double's root
key.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import queue
import re
import socket
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote_plus, unquote, urlsplit
from xml.sax.saxutils import escape

import double_signature
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from double_admin import Access, RefusedError

from stowage.s3.connection import S3Settings

_ADMIN = "/rustfs/admin/v3/"
_ARN_TAGS = ("Queue", "Topic", "CloudFunction")
_PASSED_ON = re.compile(r"^(content-(type|md5|encoding|disposition|language)|range|if-.*|cache-control|x-amz-.*)$")
_NOT_PASSED_ON = {"x-amz-date", "x-amz-content-sha256", "x-amz-security-token"}


@dataclass
class Double:
    """All state of one double.

    Args:
        upstream: The real S3 server and its root key, which is the double's root key too.
        targets: Webhook URLs by target id.
        token: Sent to them as a bearer token.
    """

    upstream: S3Settings
    targets: dict[str, str]
    token: str = "contract-token"
    notifications: dict[str, bytes] = field(default_factory=dict)
    events: queue.Queue[tuple[str, dict[str, Any]]] = field(default_factory=queue.Queue)

    def __post_init__(self) -> None:
        assert self.upstream.access_key
        assert self.upstream.secret_key
        self.access = Access(self.upstream.access_key, self.upstream.secret_key)
        self.http = urllib3.PoolManager(retries=False, maxsize=8)
        threading.Thread(target=self._deliver, daemon=True).start()

    def _deliver(self) -> None:
        while True:
            url, body = self.events.get()
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                self.http.request("POST", url, body=json.dumps(body).encode(), headers=headers)

    def online(self, target: str) -> bool:
        parts = urlsplit(self.targets[target])
        with socket.socket() as sock:
            return sock.connect_ex((str(parts.hostname), parts.port or 80)) == 0

    def send(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Any:
        """Pass a request on to the real S3 server, signed with its root key."""
        url = f"{self.upstream.endpoint}{path}" + (f"?{query}" if query else "")
        kept = {k: v for k, v in headers.items() if _PASSED_ON.match(k) and k not in _NOT_PASSED_ON}
        kept["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()
        request = AWSRequest(method=method, url=url, data=body, headers=kept)
        key = Credentials(str(self.upstream.access_key), str(self.upstream.secret_key))
        S3SigV4Auth(key, "s3", "us-east-1").add_auth(request)
        return self.http.request(method, url, body=body, headers=dict(request.headers.items()), decode_content=False)


def actions_of(method: str, bucket: str, key: str, query: dict[str, str]) -> list[tuple[tuple[str, ...], str]]:
    """The rights a call asks for: each a choice of actions, one of which is enough, and the resource."""
    arn = f"arn:aws:s3:::{bucket}"
    if key:
        thing = f"{arn}/{key}"
        if method in ("GET", "HEAD"):
            return [(("s3:GetObject", "s3:GetObjectVersion"), thing)]
        if method == "DELETE":
            both = [(("s3:DeleteObject",), thing)]
            return [*both, (("s3:DeleteObjectVersion",), thing)] if "versionId" in query else both
        return [(("s3:PutObject",), thing)]
    sub = next((one for one in ("versioning", "policy", "notification", "object-lock") if one in query), None)
    part = {"versioning": "Versioning", "policy": "Policy", "notification": "Notification"}.get(
        sub or "", "ObjectLockConfiguration"
    )
    if method == "POST" and "delete" in query:
        return [(("s3:DeleteObject",), f"{arn}/*")]
    if method in ("GET", "HEAD"):
        if "versions" in query:
            return [(("s3:ListBucketVersions", "s3:ListBucket"), arn)]
        if "location" in query:
            return [(("s3:GetBucketLocation",), arn)]
        return [((f"s3:GetBucket{part}" if sub else "s3:ListBucket",), arn)]
    verb = "Delete" if method == "DELETE" else ("Put" if sub else "Create")
    return [((f"s3:{verb}Bucket{part if sub else ''}",), arn)]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    double: Double

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        self.lowered = {name.lower(): value for name, value in self.headers.items()}
        try:
            if path == "/health/ready":
                return self._answer(200, b"{}")
            caller = self._caller(path, query, body)
            if path.startswith(_ADMIN):
                return self._admin(caller, path.removeprefix(_ADMIN), query, body)
            return self._s3(caller, path, query, body)
        except RefusedError as error:
            text = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
            return self._answer(error.status, text.encode(), {"Content-Type": "application/xml"})

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815

    def _caller(self, path: str, query: str, body: bytes) -> str | None:
        name = double_signature.access_key_of(self.lowered, query)
        if name is None:
            return None
        account = self.double.access.accounts.get(name)
        if account is None:
            raise RefusedError(403, "InvalidAccessKeyId", "The Access Key Id you provided does not exist.")
        double_signature.check(self.command, path, query, self.lowered, body, account.secret)
        if account.parent is not None and not account.enabled:
            raise RefusedError(400, "InvalidRequest", "ErrAccessKeyDisabled")
        return name

    def _admin(self, caller: str | None, path: str, query: str, body: bytes) -> None:
        if caller is None:
            raise RefusedError(403, "AccessDenied", "Signature is required")
        named = dict(parse_qsl(query, keep_blank_values=True))
        if path == "target/list":
            found = [
                {
                    "account_id": name,
                    "service": "webhook",
                    "status": "online" if self.double.online(name) else "offline",
                }
                for name in self.double.targets
            ]
            return self._json({"notification_endpoints": found})
        answer = self.double.access.call(caller, self.command, path, named, json.loads(body) if body else None)
        if path == "update-service-account":
            return self._answer(204, b"")
        return self._answer(200, b"") if answer is None else self._json(answer)

    def _s3(self, caller: str | None, path: str, query: str, body: bytes) -> None:
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        named = dict(parse_qsl(query, keep_blank_values=True))
        if not bucket:
            return self._list_buckets(caller, path, query, body)
        self._authorise(caller, bucket, key, named)
        if not key and "notification" in named:
            return self._notification(bucket, path, body)
        if not key and "policy" in named and self.command == "PUT":
            with_json = body.strip().startswith(b"{")
            if not with_json:
                raise RefusedError(400, "InvalidArgument", "parse policy failed")
        if not key and self.command == "DELETE" and not named:
            self._refuse_full(bucket, path)
        answer = self.double.send(self.command, path, query, self.lowered, body)
        if not key and self.command == "PUT" and not named and answer.status == 409:
            return self._answer(200, b"")  # RustFS: again by the owner is a success (facts/rustfs.md 3.1)
        self._pass(answer)
        if key and answer.status in (200, 204):
            self._event(str(caller or ""), bucket, key, named, answer)
        return None

    def _authorise(self, caller: str | None, bucket: str, key: str, named: dict[str, str]) -> None:
        for choice, resource in actions_of(self.command, bucket, key, named):
            if caller is None or not any(self.double.access.allowed(caller, one, resource) for one in choice):
                raise RefusedError(403, "AccessDenied", "Access Denied")

    def _list_buckets(self, caller: str | None, path: str, query: str, body: bytes) -> None:
        if caller is None:
            raise RefusedError(403, "AccessDenied", "Access Denied")
        answer = self.double.send(self.command, path, query, self.lowered, body)
        names = re.findall(rb"<Name>([^<]+)</Name>", answer.data)
        seen = [
            name
            for name in (one.decode() for one in names)
            if any(
                self.double.access.allowed(caller, action, f"arn:aws:s3:::{name}")
                for action in ("s3:ListBucket", "s3:GetBucketLocation")
            )
        ]
        if caller != self.double.access.root and not seen:
            raise RefusedError(403, "AccessDenied", "Access Denied")
        hidden = [name for name in names if name.decode() not in seen]
        text = answer.data
        for name in hidden:
            text = re.sub(rb"<Bucket>(?:(?!</Bucket>).)*<Name>" + name + rb"</Name>.*?</Bucket>", b"", text)
        return self._answer(answer.status, text, {"Content-Type": "application/xml"})

    def _refuse_full(self, bucket: str, path: str) -> None:
        """The upstream deletes a versioned bucket with objects in it (docs/quirks.md); RustFS does not."""
        held = self.double.send("GET", path, "versions=&max-keys=1", {}, b"")
        if b"<Key>" in held.data:
            raise RefusedError(409, "BucketNotEmpty", "The bucket you tried to delete is not empty")

    def _notification(self, bucket: str, path: str, body: bytes) -> None:
        if self.double.send("HEAD", path, "", {}, b"").status == 404:
            raise RefusedError(404, "NoSuchBucket", "The specified bucket does not exist")
        if self.command == "GET":
            empty = b'<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>'
            return self._answer(200, self.double.notifications.get(bucket, empty), {"Content-Type": "application/xml"})
        # As beta.5: stored first, looked at after; a target that does not exist is accepted and never served.
        self.double.notifications[bucket] = body
        arns = [one.text or "" for one in ET.fromstring(body).iter() if one.tag.rpartition("}")[2] in _ARN_TAGS]
        if any(not re.match(r"^arn:rustfs:sqs:[^:]*:[^:]+:[^:]+$", arn) for arn in arns):
            raise RefusedError(400, "InvalidArgument", "invalid ARN")
        return self._answer(200, b"")

    def _event(self, caller: str, bucket: str, key: str, named: dict[str, str], answer: Any) -> None:
        versioned = answer.headers.get("x-amz-version-id")
        if self.command == "PUT":
            name = "s3:ObjectCreated:Put"
        elif self.command == "DELETE":
            plain = "versionId" in named or not versioned
            name = f"s3:ObjectRemoved:{'Delete' if plain else 'DeleteMarkerCreated'}"
        else:
            return
        for target in self._bound(bucket, key, name):
            body = {
                "EventName": name,
                "Key": f"{bucket}/{key}",
                "Records": [self._record(name, caller, bucket, key, answer.headers)],
            }
            self.double.events.put((self.double.targets[target], body))

    def _bound(self, bucket: str, key: str, name: str) -> list[str]:
        """The targets whose rules fit; ids are compared with their case."""
        found = []
        stored = self.double.notifications.get(bucket)
        for rule in ET.fromstring(stored) if stored else []:
            texts = [(one.tag.rpartition("}")[2], one.text or "") for one in rule.iter()]
            arn = next(text for tag, text in texts if tag in _ARN_TAGS)
            events = [text for tag, text in texts if tag == "Event"]
            values = dict(zip(_texts(texts, "Name"), _texts(texts, "Value"), strict=True))
            fits = any(name == one or (one.endswith("*") and name.startswith(one[:-1])) for one in events)
            inside = key.startswith(values.get("prefix", "")) and key.endswith(values.get("suffix", ""))
            target = arn.split(":")[4]
            if fits and inside and target in self.double.targets:
                found.append(target)
        return found

    def _record(self, name: str, caller: str, bucket: str, key: str, headers: Any) -> dict[str, Any]:
        """As in facts/rustfs.md 4.6."""
        removed = "Removed" in name
        thing: dict[str, Any] = {"key": quote_plus(key), "versionId": headers.get("x-amz-version-id") or ""}
        if not removed:
            thing |= {"size": int(self.headers.get("Content-Length") or 0), "eTag": headers.get("etag", "").strip('"')}
        return {
            "eventVersion": "2.1",
            "eventSource": "rustfs:s3",
            "awsRegion": "",
            "eventTime": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z"),
            "eventName": name,
            "userIdentity": {"principalId": caller},
            "requestParameters": {"principalId": caller, **self.lowered},
            "responseElements": {"x-amz-request-id": "", "x-amz-id-2": ""},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "Config",
                "bucket": {"name": bucket, "ownerIdentity": {"principalId": caller}, "arn": f"arn:aws:s3:::{bucket}"},
                "object": thing,
            },
            "source": {"host": self.lowered.get("host", ""), "port": "", "userAgent": ""},
        }

    def _pass(self, answer: Any) -> None:
        hop = {"connection", "transfer-encoding", "content-length", "date", "server"}
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in hop}
        length = answer.headers.get("content-length") if self.command == "HEAD" else None
        self._answer(answer.status, answer.data, headers, length)

    def _json(self, found: Any) -> None:
        self._answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def _answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, length: str | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


def _texts(found: list[tuple[str, str]], tag: str) -> list[str]:
    return [text.lower() if tag == "Name" else text for name, text in found if name == tag]


@contextlib.contextmanager
def running(double: Double, port: int = 0) -> Iterator[str]:
    """Serve on loopback while the block runs; gives the endpoint."""
    handler = type("BoundHandler", (Handler,), {"double": double})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def main() -> None:
    """Serve until interrupted."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--upstream", required=True)
    arguments.add_argument("--target", action="append", default=[], metavar="ID=URL")
    given = arguments.parse_args()
    key = (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    upstream = S3Settings(endpoint=given.upstream, access_key=key[0], secret_key=key[1])
    targets = dict(one.split("=", 1) for one in given.target)
    with running(Double(upstream, targets), given.port), contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


if __name__ == "__main__":
    main()
