"""The storages of the settings, by name and in order."""

from __future__ import annotations

import asyncio

import asyncpg  # type: ignore[import-untyped]

from filator.errors import StorageError
from filator.settings import DbStorage, LocalStorage, S3Storage, Settings
from filator.storages.base import Store
from filator.storages.blobs import BlobStore
from filator.storages.local import LocalStore
from filator.storages.s3 import S3Store


class Registry:
    """All storages; files say by name in which one they are."""

    def __init__(self, stores: list[Store]) -> None:
        self._stores = {store.name: store for store in stores}

    @classmethod
    def from_settings(cls, settings: Settings, pool: asyncpg.Pool) -> Registry:
        """Build the storages without connecting."""
        stores: list[Store] = []
        for conf in settings.storages:
            match conf:
                case DbStorage():
                    streams = max(1, settings.database_pool - 3)
                    stores.append(BlobStore(conf.name, pool, readonly=conf.readonly, streams=streams))
                case LocalStorage():
                    stores.append(LocalStore(conf.name, conf.path, readonly=conf.readonly, zone=settings.timezone))
                case S3Storage():
                    stores.append(
                        S3Store(
                            conf,
                            zone=settings.timezone,
                            public=settings.public_endpoints,
                            endpoints=settings.signable_endpoints,
                            limit=settings.max_body_bytes,
                            agent=settings.user_agent,
                        )
                    )
        return cls(stores)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._stores.values())

    def get(self, name: str) -> Store:
        """Find the storage of a file.

        Raises:
            StorageError: the settings no longer name it.
        """
        store = self._stores.get(name)
        if store is None:
            raise StorageError(f"storage {name} is not in STORAGES_CONFIGURATIONS")
        return store

    def candidates(self) -> list[Store]:
        """Return the writable storages in the order to try: as configured, those that failed lately last."""
        writable = [store for store in self._stores.values() if not store.readonly]
        return sorted(writable, key=lambda store: store.health.resting)

    async def start(self) -> None:
        """Prepare all storages side by side."""
        await asyncio.gather(*(store.start() for store in self._stores.values()))

    async def close(self) -> None:
        """Close all storages."""
        for store in self._stores.values():
            await store.close()
