"""Bytes in a directory of this host: development and first boot. No versions, no presigned addresses."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from filator.errors import StorageError, StorageMissing
from filator.models import Pointer
from filator.storages.base import MIB, ExternalStore, dated, key_path
from filator.times import in_zone


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LocalStore(ExternalStore):
    """A directory. A file appears under its name only when it is whole and on disk."""

    kind = "local"
    inline_bytes = MIB
    stream_cost = 4 * MIB

    def __init__(self, name: str, path: Path, *, readonly: bool, zone: ZoneInfo) -> None:
        super().__init__(name, readonly=readonly)
        self._path = path
        self._zone = zone

    async def start(self) -> None:
        """Make the directory."""
        with suppress(OSError):
            self._path.mkdir(parents=True, exist_ok=True)

    async def check(self) -> str | None:
        """Say whether the directory can be used."""
        # Unlike Path.is_dir, which raises where a folder above may not be entered.
        if not os.path.isdir(self._path):  # noqa: PTH112
            return f"directory {self._path} does not exist, or may not be entered"
        if not self.readonly and not os.access(self._path, os.W_OK | os.X_OK):
            return f"directory {self._path} cannot be written"
        return None

    async def place(self, uuid: str, created_at: datetime, prefix: str | None, *, replacing: bool) -> Pointer:
        """Choose the path; one that may exist gets a suffix, because there are no versions to tell them apart."""
        created = in_zone(created_at, self._zone)
        key = f"{dated(prefix or '', created)}/{key_path(uuid, created)}"
        return Pointer(self.name, None, f"{key}.{secrets.token_hex(4)}" if replacing else key, None)

    def _file(self, pointer: Pointer) -> Path:
        path = (self._path / pointer.identifier).resolve()
        if not path.is_relative_to(self._path.resolve()):
            raise StorageError(f"storage {self.name}: identifier leaves the directory")
        return path

    @contextmanager
    def _writing(self, pointer: Pointer) -> Iterator[int]:
        target = self._file(pointer)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.part")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            try:
                yield descriptor
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            partial.replace(target)
            for directory in (target.parent, target.parent.parent, self._path):
                _sync_directory(directory)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    async def put(self, pointer: Pointer, data: bytes) -> Pointer:
        """Write and sync a whole file."""

        def write() -> None:
            with self._writing(pointer) as descriptor:
                _write_all(descriptor, data)

        try:
            await asyncio.to_thread(write)
        except OSError as exc:
            raise StorageError(f"storage {self.name}: write failed: {exc.strerror}") from exc
        return pointer

    async def put_stream(self, pointer: Pointer, source: AsyncIterator[bytes], size: int | None) -> Pointer:
        """Write block by block, sync, rename."""
        context = self._writing(pointer)
        try:
            descriptor = await asyncio.to_thread(context.__enter__)
        except OSError as exc:
            raise StorageError(f"storage {self.name}: write failed: {exc.strerror}") from exc
        try:
            async for block in source:
                try:
                    await asyncio.to_thread(_write_all, descriptor, block)
                except OSError as exc:
                    raise StorageError(f"storage {self.name}: write failed: {exc.strerror}") from exc
        except BaseException as exc:
            with suppress(type(exc)):
                context.__exit__(type(exc), exc, exc.__traceback__)
            raise
        await asyncio.to_thread(context.__exit__, None, None, None)
        return pointer

    async def read(self, pointer: Pointer, start: int, end: int, *, block: int | None = None) -> AsyncIterator[bytes]:
        """Stream a part of the file."""
        size = block or self.read_block
        try:
            file = await asyncio.to_thread(self._file(pointer).open, "rb")
        except FileNotFoundError as exc:
            raise StorageMissing(f"storage {self.name}: the bytes are gone") from exc
        except OSError as exc:
            raise StorageError(f"storage {self.name}: read failed: {exc.strerror}") from exc
        with file:
            file.seek(start)
            while start < end:
                data = await asyncio.to_thread(file.read, min(size, end - start))
                if not data:
                    raise StorageError(f"storage {self.name}: the file is shorter than its row says")
                start += len(data)
                yield data

    async def delete(self, pointers: Sequence[Pointer]) -> dict[Pointer, str]:
        """Unlink files; empty directories stay."""
        failed: dict[Pointer, str] = {}
        for pointer in pointers:
            try:
                await asyncio.to_thread(self._file(pointer).unlink, True)
            except (OSError, StorageError) as exc:
                failed[pointer] = str(exc)
        return failed


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
