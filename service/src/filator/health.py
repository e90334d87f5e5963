"""What works: PostgreSQL, Redis and each storage, by name and with a reason."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from redis.asyncio import Redis
from redis.exceptions import RedisError

from filator.database import LOST
from filator.migrate import head
from filator.settings import Settings
from filator.storages.base import Store
from filator.storages.registry import Registry

# Load balancers and the page ask often; the storages need not hear of each question.
_KEEP_SECONDS = 1.0
_PATIENCE = 4.0


class Health:
    """Asks the parts the service stands on."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool, registry: Registry) -> None:
        self._pool = pool
        self._registry = registry
        self._redis = Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=2, socket_connect_timeout=2)
        self._head = head()
        self._last: tuple[float, tuple[bool, dict[str, Any]]] | None = None
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        """Close the connection to Redis."""
        await self._redis.aclose()

    async def _database(self) -> str | None:
        try:
            found = await self._pool.fetchval("SELECT version_num FROM filator_alembic_version", timeout=_PATIENCE)
        except asyncpg.UndefinedTableError:
            return "the tables are missing; run: filator migrate"
        except (asyncpg.PostgresError, *LOST) as exc:
            return f"does not answer ({type(exc).__name__})"
        if found != self._head:
            return f"the schema is at {found}, this version needs {self._head}; run: filator migrate"
        return None

    async def _ping(self) -> str | None:
        try:
            await self._redis.ping()
        except (RedisError, OSError, TimeoutError) as exc:
            return f"does not answer ({type(exc).__name__}); expired files stay on disk until it does"
        return None

    async def _storage(self, store: Store) -> str | None:
        try:
            return await asyncio.wait_for(store.check(), _PATIENCE)
        except TimeoutError:
            return f"no answer within {_PATIENCE:g} s"

    async def report(self) -> tuple[bool, dict[str, Any]]:
        """Return whether any request could be served, and the report for /readyz."""
        async with self._lock:
            if self._last is not None and time.monotonic() - self._last[0] < _KEEP_SECONDS:
                return self._last[1]
            stores = list(self._registry)
            database, redis, *storages = await asyncio.gather(
                self._database(), self._ping(), *(self._storage(store) for store in stores)
            )
            parts = {
                "database": _part(database),
                "redis": _part(redis),
                "storages": {
                    store.name: _part(reason) | {"type": store.kind, "readonly": store.readonly}
                    for store, reason in zip(stores, storages, strict=True)
                },
            }
            # Without rows nothing can be served; without a storage descriptions still can, without Redis everything.
            usable = database is None
            fine = usable and redis is None and all(reason is None for reason in storages)
            status = "ok" if fine else "degraded" if usable else "down"
            self._last = (time.monotonic(), (usable, {"status": status, **parts}))
            return self._last[1]


def _part(reason: str | None) -> dict[str, Any]:
    return {"ok": True} if reason is None else {"ok": False, "reason": reason}
