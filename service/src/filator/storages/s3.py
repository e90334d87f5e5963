"""Bytes in an S3-compatible store: obstore moves them, boto3 does what obstore cannot (versions, buckets, signing)."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import boto3
import obstore
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError
from obstore.store import S3Store as Obstore

from filator.errors import StopUpload, StorageError, StorageMissing
from filator.models import Pointer
from filator.settings import S3Storage
from filator.storages.base import MIB, ExternalStore, Listed, dated, key_path
from filator.times import in_zone

log = structlog.get_logger()

PART_BYTES = 8 * MIB
PARTS_IN_FLIGHT = 2
READ_BYTES = MIB // 2
# Below it obstore 0.12.1 is quicker with SHA-256: CRC64NVME costs 40 us more to begin with, 0.4 us less for each KiB.
HASHED_BYTES = 96 << 10
# S3 takes 10,000 parts; a few are left for the rounding of an unknown length.
MOST_PARTS = 9_900
IDLE_CONNECTIONS = 32
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}$")
_T = TypeVar("_T")
Checksum = Literal["sha256", "crc64nvme"]
# CRC64NVME of the empty string.
_WRONG_CRC = "AAAAAAAAAAA="
# MinIO's code has a name of its own.
_MISMATCH = {"BadDigest", "XAmzContentChecksumMismatch"}
_GONE = {"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "NotFound", "404"}


def part_size(size: int | None, limit: int) -> int:
    """Choose the part size so that `size` bytes (or `limit`, when unknown) fit into S3's 10,000 parts."""
    expected = limit if size is None else size
    needed = -(-expected // MOST_PARTS)
    return max(PART_BYTES, -(-needed // MIB) * MIB)


def out_of_reach(conf: S3Storage) -> bool:
    """Whether nobody between this process and the store could change a body: verified TLS, or the same machine."""
    parts = urlsplit(conf.endpoint)
    if parts.scheme == "https":
        return conf.ssl_verify_peer
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"


def _code(exc: Exception) -> str:
    if isinstance(exc, ClientError):
        return str(exc.response.get("Error", {}).get("Code", "ClientError"))
    return type(exc).__name__


class S3Store(ExternalStore):
    """One entry of type s3."""

    kind = "s3"
    inline_bytes = PART_BYTES
    # Measured 17 MiB over base for one upload, 27 MiB each with 24: two parts in flight, one filling, copies.
    stream_cost = 30 * MIB
    read_block = READ_BYTES
    # Each block holds on to all that the client library received together with it: measured 4 MiB for a read.
    read_cost = 2 * MIB

    def __init__(
        self,
        conf: S3Storage,
        *,
        zone: ZoneInfo,
        public: dict[str, str],
        limit: int,
        endpoints: frozenset[str] = frozenset(),
        agent: str = "filator",
    ) -> None:
        super().__init__(conf.name, readonly=conf.readonly)
        self.conf = conf
        self.late_prefix = "unused" if conf.use_dynamic_buckets else "copied"
        self._zone = zone
        self._public = public
        self._endpoints = endpoints
        self._limit = limit
        self._agent = agent
        self._stores: dict[tuple[str, Checksum], Obstore] = {}
        self._ready: dict[str, bool] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        # A client costs 12 MiB. There is one for each configured endpoint; no request can add another.
        self._signers: dict[str, Any] = {}
        self._control: Any = None
        self.checksum: Checksum = "sha256" if conf.checksum == "auto" else conf.checksum
        """What large uploads carry; see `choose_checksum`."""
        self._chosen = conf.checksum != "auto"
        self._may_abort = True

    # -- clients ---------------------------------------------------------------------------------------------

    def _client(self, endpoint: str, *, retries: int) -> Any:
        conf = self.conf
        return boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=conf.access_key,
            aws_secret_access_key=conf.secret_key.get_secret_value(),
            region_name=conf.region,
            verify=str(conf.ca_bundle) if conf.ca_bundle and conf.ssl_verify_peer else conf.ssl_verify_peer,
            config=Config(
                signature_version="s3v4",
                user_agent_extra=self._agent,
                s3={"addressing_style": conf.addressing_style},
                connect_timeout=conf.open_timeout,
                read_timeout=conf.read_timeout,
                retries={"total_max_attempts": retries + 1, "mode": "standard"},
            ),
        )

    @property
    def control(self) -> Any:
        """The boto3 client for everything but moving bytes; calls belong into a thread."""
        if self._control is None:
            self._control = self._client(self.conf.endpoint, retries=self.conf.retry_limit)
        return self._control

    def _store(self, bucket: str, checksum: Checksum = "sha256") -> Obstore:
        store = self._stores.get((bucket, checksum))
        if store is None:
            conf = self.conf
            endpoint = conf.endpoint
            virtual = conf.addressing_style == "virtual"
            if virtual:
                parts = urlsplit(endpoint)
                endpoint = urlunsplit(parts._replace(netloc=f"{bucket}.{parts.netloc}"))
            options: dict[str, Any] = {
                "user_agent": self._agent,
                "allow_http": conf.endpoint.startswith("http://"),
                "allow_invalid_certificates": not conf.ssl_verify_peer,
                "connect_timeout": timedelta(seconds=conf.open_timeout),
                "read_timeout": timedelta(seconds=conf.read_timeout),
                # An idle connection keeps the buffers of its last answer.
                "pool_max_idle_per_host": str(IDLE_CONNECTIONS),
                # The library's 30 s for a whole request would cut long downloads; silence is what read_timeout ends.
                "timeout": timedelta(hours=24),
            }
            if conf.ca_bundle is not None:
                options["root_certificate"] = conf.ca_bundle.read_bytes()
            store = Obstore(
                bucket,
                endpoint=endpoint,
                region=conf.region,
                access_key_id=conf.access_key,
                secret_access_key=conf.secret_key.get_secret_value(),
                virtual_hosted_style_request=virtual,
                # Without it SeaweedFS 4.48 stores a flipped byte: it does not check the signed payload hash.
                checksum_algorithm=checksum.upper(),
                # CRC64NVME finds the same accidents for half the CPU, once the body is not hashed for the signature.
                unsigned_payload=checksum == "crc64nvme",
                client_options=options,  # type: ignore[arg-type]
                retry_config={"max_retries": conf.retry_limit, "retry_timeout": timedelta(minutes=3)},
            )
            self._stores[bucket, checksum] = store
        return store

    # -- buckets ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Ensure versioning of the static bucket, or make today's dynamic bucket."""
        if self.conf.bucket is not None and not self.conf.use_dynamic_buckets:
            await asyncio.to_thread(self._set_up, self.conf.bucket)
        self.health.reason = await self.check()
        if self.health.reason is not None:
            log.warning("storage not ready", storage=self.name, reason=self.health.reason)

    def _set_up(self, bucket: str) -> None:
        self._ensure_versioning(bucket)
        # A store that did not answer would only be waited for once more.
        if bucket in self._ready:
            self.choose_checksum(bucket)

    def _ensure_versioning(self, bucket: str) -> None:
        try:
            status = self.control.get_bucket_versioning(Bucket=bucket).get("Status")
            if status != "Enabled" and self.conf.versioning and not self.readonly:
                self.control.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
                status = self.control.get_bucket_versioning(Bucket=bucket).get("Status")
        except (ClientError, BotoCoreError) as exc:
            log.warning("versioning not ensured", storage=self.name, bucket=bucket, reason=_code(exc))
            return
        self._ready[bucket] = status == "Enabled"
        if status != "Enabled" and self.conf.versioning:
            log.warning("bucket keeps no versions", storage=self.name, bucket=bucket, status=status)

    def choose_checksum(self, bucket: str) -> None:
        """Take the cheap checksum where nobody on the way could forge it and the store proves that it looks at it.

        The proof is a PUT with a wrong one, which must be refused (SeaweedFS 4.48 and RustFS 1.0.0-beta.5 do, single
        PUTs and parts alike). It lies where the sweep looks, should a store take it and the process end right then.
        """
        if self._chosen or self.readonly:
            return
        if not out_of_reach(self.conf):
            self._chosen = True
            return
        folder = "" if self.conf.use_dynamic_buckets else f"{dated(self.conf.prefix, datetime.now(self._zone))}/"
        key = f"{folder}checksum-probe-{secrets.token_hex(8)}"
        try:
            answer = self.control.put_object(Bucket=bucket, Key=key, Body=b"probe", ChecksumCRC64NVME=_WRONG_CRC)
        except (ClientError, BotoCoreError) as exc:
            if _code(exc) in _MISMATCH:
                self.checksum = "crc64nvme"
                self._chosen = True
            # Any other answer says nothing about checksums: sha256 stays, and the next bucket or start asks again.
            return
        self._chosen = True
        self._delete(bucket, [Pointer(self.name, bucket, key, answer.get("VersionId"))])

    def _make_bucket(self, bucket: str) -> None:
        try:
            self.control.head_bucket(Bucket=bucket)
        except ClientError as exc:
            if _code(exc) not in _GONE:
                raise
            region = self.conf.region
            extra: dict[str, Any] = {}
            if region not in ("us-east-1", "region"):
                extra["CreateBucketConfiguration"] = {"LocationConstraint": region}
            try:
                self.control.create_bucket(Bucket=bucket, **extra)
            except ClientError as again:
                # Another worker or host was faster.
                if _code(again) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    raise

    async def prepare(self, bucket: str) -> None:
        """Have a dynamic bucket with versions, once per process.

        Raises:
            StorageError: it cannot be made.
        """
        if bucket in self._ready:
            return
        async with self._locks.setdefault(bucket, asyncio.Lock()):
            if bucket in self._ready:
                return
            try:
                if self.conf.use_dynamic_buckets:
                    await asyncio.to_thread(self._make_bucket, bucket)
                await asyncio.to_thread(self._set_up, bucket)
            except (ClientError, BotoCoreError) as exc:
                self.health.fail(f"bucket {bucket}: {_code(exc)}")
                raise StorageError(f"storage {self.name}: bucket {bucket}: {_code(exc)}") from exc

    def bucket_of(self, created: datetime) -> str:
        """Return the bucket for a file made at `created` (in the service's zone)."""
        if self.conf.use_dynamic_buckets:
            return dated(self.conf.prefix, created)
        assert self.conf.bucket is not None
        return self.conf.bucket

    async def check(self) -> str | None:
        """Ask for the bucket's head (ListBucket is enough)."""
        if self.conf.bucket is None or self.conf.use_dynamic_buckets:
            bucket = dated(self.conf.prefix, datetime.now(self._zone))
            fine = _GONE
        else:
            bucket, fine = self.conf.bucket, set[str]()
        try:
            await asyncio.to_thread(self.control.list_objects_v2, Bucket=bucket, MaxKeys=1)
        except (ClientError, BotoCoreError) as exc:
            code = _code(exc)
            if code not in fine:
                if code in _GONE:
                    return f"bucket {bucket} does not exist at {self.conf.endpoint}"
                return f"{self.conf.endpoint} answers {code}"
        self.health.recover()
        return None

    # -- bytes -----------------------------------------------------------------------------------------------

    async def place(self, uuid: str, created_at: datetime, prefix: str | None, *, replacing: bool) -> Pointer:
        """Build the key of section 1; prepares the bucket when it is not known yet."""
        created = in_zone(created_at, self._zone)
        bucket = self.bucket_of(created)
        if bucket not in self._ready:
            await self.prepare(bucket)
        key = key_path(uuid, created)
        if not self.conf.use_dynamic_buckets:
            key = f"{dated(prefix if prefix is not None else self.conf.prefix, created)}/{key}"
        if replacing and not self._ready.get(bucket, False):
            # Without versions a second PUT in the same minute would overwrite bytes that a row points to.
            key = f"{key}.{secrets.token_hex(4)}"
        return Pointer(self.name, bucket, key, None)

    def _written(self, pointer: Pointer, result: Any) -> Pointer:
        self.health.recover()
        version = result.get("version")
        return Pointer(pointer.store, pointer.bucket, pointer.identifier, None if version == "null" else version)

    def _failed(self, doing: str, exc: BaseException) -> StorageError:
        # obstore's text holds the address and the server's answer; the class is enough for clients.
        log.warning("storage failed", storage=self.name, doing=doing, error=str(exc)[:500])
        self.health.fail(f"{doing} failed ({type(exc).__name__})")
        return StorageError(f"storage {self.name}: {doing} failed ({type(exc).__name__})")

    async def put(self, pointer: Pointer, data: bytes) -> Pointer:
        """Store in one PutObject, checksum verified by the server."""
        assert pointer.bucket is not None
        small = self.conf.checksum == "auto" and len(data) < HASHED_BYTES
        store = self._store(pointer.bucket, "sha256" if small else self.checksum)
        try:
            result = await obstore.put_async(store, pointer.identifier, data, use_multipart=False)
        except (BaseError, OSError) as exc:
            raise self._failed("put", exc) from exc
        return self._written(pointer, result)

    def stream_bytes(self, length: int | None) -> int:
        """Return the memory of one upload: that of its parts, which grow with what it may become."""
        return self.stream_cost * part_size(length, self._limit) // PART_BYTES

    async def put_stream(self, pointer: Pointer, source: AsyncIterator[bytes], size: int | None) -> Pointer:
        """Store as a multipart upload; each part's checksum is verified by the server."""
        assert pointer.bucket is not None
        broke: list[BaseException] = []

        async def watched() -> AsyncIterator[bytes]:
            try:
                async for block in source:
                    yield block
            except BaseException as exc:
                # obstore wraps what the source raises; the caller wants it as it was.
                broke.append(exc)
                raise

        try:
            result = await obstore.put_async(
                self._store(pointer.bucket, self.checksum),
                pointer.identifier,
                watched(),
                use_multipart=True,
                chunk_size=part_size(size, self._limit),
                max_concurrency=PARTS_IN_FLIGHT,
            )
        except BaseException as exc:
            if broke:
                raise broke[0] from None
            if isinstance(exc, BaseError | StopUpload | OSError):
                raise self._failed("put", exc) from exc
            raise
        return self._written(pointer, result)

    async def copy(self, source: Pointer, target: Pointer, size: int) -> Pointer:
        """Copy on the server (at most 5 GiB, S3's limit for one copy)."""
        origin = {"Bucket": source.bucket, "Key": source.identifier}
        if source.version_id is not None:
            origin["VersionId"] = source.version_id

        def run() -> Pointer:
            answer = self.control.copy_object(Bucket=target.bucket, Key=target.identifier, CopySource=origin)
            written = self._written(target, {"version": answer.get("VersionId")})
            exact = {"VersionId": written.version_id} if written.version_id else {}
            head = self.control.head_object(Bucket=target.bucket, Key=target.identifier, **exact)
            if head["ContentLength"] != size:
                raise StorageError(f"storage {self.name}: the copy has {head['ContentLength']} bytes, not {size}")
            return written

        try:
            return await asyncio.to_thread(run)
        except (ClientError, BotoCoreError) as exc:
            raise self._failed("copy", exc) from exc

    async def read(self, pointer: Pointer, start: int, end: int, *, block: int | None = None) -> AsyncIterator[bytes]:
        """Stream bytes of the exact version."""
        if start >= end:
            return
        assert pointer.bucket is not None
        options: dict[str, Any] = {} if pointer.version_id is None else {"version": pointer.version_id}
        store = self._store(pointer.bucket)
        try:
            if block is None:
                options["range"] = (start, end)
                result = await obstore.get_async(store, pointer.identifier, options=options)  # type: ignore[arg-type]
                async for data in result.stream(min_chunk_size=READ_BYTES):
                    # A view, not a copy: obstore's buffer goes to the hash and to the socket as it is.
                    yield memoryview(data)  # type: ignore[misc]
                return
            # A request for each block: no connection to the store, and nothing it sent ahead, waits for the client.
            for first in range(start, end, block):
                options["range"] = (first, min(first + block, end))
                result = await obstore.get_async(store, pointer.identifier, options=options)  # type: ignore[arg-type]
                yield memoryview(await result.bytes_async())  # type: ignore[misc]
        except FileNotFoundError as exc:
            # What obstore raises for 404; its own NotFoundError is never used.
            raise StorageMissing(f"storage {self.name}: the bytes are gone") from exc
        except (BaseError, OSError) as exc:
            raise self._failed("get", exc) from exc

    def _delete(self, bucket: str, pointers: Sequence[Pointer]) -> dict[Pointer, str]:
        failed: dict[Pointer, str] = {}
        for first in range(0, len(pointers), 1000):
            batch = pointers[first : first + 1000]
            objects = [
                {"Key": it.identifier, "VersionId": it.version_id} if it.version_id else {"Key": it.identifier}
                for it in batch
            ]
            try:
                answer = self.control.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            except (ClientError, BotoCoreError) as exc:
                if _code(exc) != "NoSuchBucket":
                    failed.update(dict.fromkeys(batch, _code(exc)))
                continue
            by_key = {(it.identifier, it.version_id): it for it in batch}
            for error in answer.get("Errors", []):
                if error.get("Code") not in _GONE:
                    found = by_key.get((error.get("Key", ""), error.get("VersionId") or None))
                    for it in [found] if found else batch:
                        failed[it] = str(error.get("Code"))
        return failed

    async def delete(self, pointers: Sequence[Pointer]) -> dict[Pointer, str]:
        """Delete by version: a plain delete in a versioned bucket only adds a marker and frees nothing."""
        failed: dict[Pointer, str] = {}
        buckets = {it.bucket for it in pointers}
        for bucket in buckets:
            assert bucket is not None
            failed |= await asyncio.to_thread(self._delete, bucket, [it for it in pointers if it.bucket == bucket])
        return failed

    # -- listing, for the sweeps ------------------------------------------------------------------------------

    async def versions(self, bucket: str, prefix: str) -> list[Listed]:
        """List all versions below a prefix, without delete markers, of each key the newest first.

        A missing bucket is empty.

        Raises:
            StorageError: the listing failed.
        """

        def run() -> list[Listed]:
            found: list[Listed] = []
            for page in self.control.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
                for it in page.get("Versions", []):
                    version = it.get("VersionId")
                    version = None if version in (None, "", "null") else version
                    found.append(Listed(Pointer(self.name, bucket, it["Key"], version), it["LastModified"], it["Size"]))
            return found

        return await self._listing(run)

    async def day_prefixes(self, since: datetime | None) -> list[tuple[str, str]]:
        """Find the places `(bucket, prefix)` that hold the keys of the days from `since` on.

        Raises:
            StorageError: the listing failed.
        """
        first = None if since is None else f"{since.astimezone(self._zone):%Y-%m-%d}"

        def run() -> list[tuple[str, str]]:
            if self.conf.use_dynamic_buckets:
                names = [it["Name"] for it in self.control.list_buckets().get("Buckets", [])]
                mine = [name for name in names if name.startswith(f"{self.conf.prefix}-") and _DAY.search(name)]
                return [(name, "") for name in mine if first is None or name[-10:] >= first]
            assert self.conf.bucket is not None
            # store_prefix may hold slashes: walk down until a folder ends with a date.
            found, open_prefixes = [], [""]
            while open_prefixes:
                prefix = open_prefixes.pop()
                pages = self.control.get_paginator("list_objects_v2").paginate(
                    Bucket=self.conf.bucket, Prefix=prefix, Delimiter="/"
                )
                for page in pages:
                    for it in page.get("CommonPrefixes", []):
                        folder = it["Prefix"]
                        day = _DAY.search(folder[:-1])
                        if day is None:
                            open_prefixes.append(folder)
                        elif first is None or day[0] >= first:
                            found.append((self.conf.bucket, folder))
            return found

        return await self._listing(run)

    async def _listing(self, run: Callable[[], _T]) -> _T:
        try:
            return await asyncio.to_thread(run)
        except (ClientError, BotoCoreError) as exc:
            if _code(exc) == "NoSuchBucket":
                return []  # type: ignore[return-value]
            raise StorageError(f"storage {self.name}: listing failed ({_code(exc)})") from exc

    async def abort_uploads(self, bucket: str, key: str, before: datetime) -> None:
        """Abort unfinished multipart uploads of a key. Keys without that right leave it to the bucket's lifecycle."""

        def run() -> None:
            answer = self.control.list_multipart_uploads(Bucket=bucket, Prefix=key)
            for it in answer.get("Uploads", []):
                if it["Key"] == key and it["Initiated"] < before:
                    self.control.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=it["UploadId"])

        if self._may_abort:
            try:
                await asyncio.to_thread(run)
            except (ClientError, BotoCoreError) as exc:
                if _code(exc) in ("AccessDenied", "MethodNotAllowed", "NotImplemented"):
                    self._may_abort = False
                log.warning("unfinished parts stay until the bucket's lifecycle", storage=self.name, reason=_code(exc))

    def presign(self, pointer: Pointer, *, authority: str, seconds: int, filename: str, mime_type: str) -> str | None:
        """Sign for the public endpoint of the edge that was asked; the host must never be changed afterwards."""
        if authority in self._endpoints:
            endpoint: str | None = authority
        else:
            endpoint = self._public.get(authority.lower(), self.conf.public_endpoint)
        if endpoint is None:
            return None
        signer = self._signers.get(endpoint)
        if signer is None:
            signer = self._signers[endpoint] = self._client(endpoint, retries=0)
        params = {
            "Bucket": pointer.bucket,
            "Key": pointer.identifier,
            "ResponseContentDisposition": filename,
            "ResponseContentType": mime_type,
        }
        if pointer.version_id is not None:
            params["VersionId"] = pointer.version_id
        return str(signer.generate_presigned_url("get_object", Params=params, ExpiresIn=seconds))
