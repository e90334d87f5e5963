"""Make an old version the file again, through the running service, so that row and store agree."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError

from filator.client import Client
from filator.commandline import Failed
from filator.models import Attachment
from filator.storages.s3 import S3Store
from filator.versions import FileVersion

BLOCK = 1 << 20
_PREFIXED = re.compile(r"(.+)-\d{4}-\d{2}-\d{2}/\d{2}-\d{2}/[0-9a-f]{64}(?:\.[0-9a-f]{8})?")


def store_prefix(identifier: str, configured: str) -> str | None:
    """Return the store_prefix that keeps a file under its key, None when the storage's own does.

    >>> store_prefix("mine-2026-11-22/10-30/" + "0" * 64, "files")
    'mine'
    """
    match = _PREFIXED.fullmatch(identifier)
    return match[1] if match and match[1] != configured else None


def form(
    boundary: str, filename: str, mime_type: str, blocks: Iterator[bytes], checksum: str | None
) -> Iterator[bytes]:
    """Write the form of a PUT as it goes.

    The field expected_sha256 comes last, so that also bytes whose sum nobody recorded are proven to arrive as they
    were read.

    Args:
        boundary: of the multipart body.
        filename: of the file.
        mime_type: declared for it.
        blocks: its bytes.
        checksum: sha256 in hex, None when unknown.
    """
    name = re.sub(r'[\x00-\x1f\x7f"\\]', "_", filename)
    kind = mime_type if re.fullmatch(r"[\w.+-]+/[\w.+-]+", mime_type) else "application/octet-stream"
    begin = f'--{boundary}\r\nContent-Disposition: form-data; name="body"; filename="{name}"\r\n'
    yield f"{begin}Content-Type: {kind}\r\n\r\n".encode("utf-8", "replace")
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
        yield block
    field = f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="expected_sha256"\r\n\r\n'
    yield f"{field}{checksum or digest.hexdigest()}\r\n--{boundary}--\r\n".encode()


class Service:
    """The running service, as `filator archive` reaches it."""

    def __init__(self, url: str) -> None:
        self._client = Client(url)

    def check(self, item: Attachment) -> None:
        """Make sure that this service serves that row, and that the token is taken, before any byte is sent.

        Raises:
            Failed: it does not.
        """
        answer = self._client.call("GET", f"/attachments/{item.uuid}.json")
        if answer.get("checksum") != item.checksum:
            raise Failed(
                f"{self._client.url} has other bytes under this uuid than the database of FILATOR_DATABASE_URL: "
                "does it serve the same one? if so, the file was replaced just now: run it again"
            )

    def put(
        self, item: Attachment, version: FileVersion, store: S3Store, seen: Callable[[int], None]
    ) -> dict[str, Any]:
        """Send the version's bytes as the file's.

        Args:
            item: the row; its metadata and delete_at stay, as with every PUT that does not name them.
            version: what to send.
            store: where its bytes are.
            seen: told the bytes of each block.

        Returns:
            The description that the service answered.

        Raises:
            Failed: nothing was replaced.
        """
        where = version.pointer
        options = {"VersionId": where.version_id} if where.version_id else {}
        try:
            got = store.control.get_object(Bucket=where.bucket, Key=where.identifier, **options)
        except (ClientError, BotoCoreError) as exc:
            raise Failed(f"storage {store.name} does not give version {version.version_id}: {exc}") from None
        if got["ContentLength"] != version.size:
            raise Failed(f"storage {store.name} gives {got['ContentLength']} bytes, listed were {version.size}")

        def blocks() -> Iterator[bytes]:
            try:
                while block := got["Body"].read(BLOCK):
                    seen(len(block))
                    yield block
            except (BotoCoreError, OSError) as exc:
                raise Failed(f"storage {store.name} broke off: {exc}; nothing was replaced, run it again") from None

        boundary = secrets.token_hex(16)
        filename, kind = version.filename or item.filename, version.mime_type or item.mime_type
        around = sum(map(len, form(boundary, filename, kind, iter(()), "0" * 64)))
        prefix = None if store.conf.use_dynamic_buckets else store_prefix(item.pointer.identifier, store.conf.prefix)
        return self._client.call(
            "PUT",
            f"/attachments/{item.uuid}" + (f"?store_prefix={quote(prefix)}" if prefix else ""),
            form(boundary, filename, kind, blocks(), version.checksum),
            Content_Type=f"multipart/form-data; boundary={boundary}",
            Content_Length=str(version.size + around),
        )
