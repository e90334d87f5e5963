"""The background worker: SAQ on Redis starts the sweeps; the truth about what is to do stands in PostgreSQL.

A lost job, a flushed Redis or a killed worker only delays: each sweep finds the rest by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from redis.exceptions import RedisError
from saq import CronJob, Worker
from saq.queue.redis import RedisQueue

from filator import figures
from filator.archive.rows import ArchiveRows
from filator.database import Rows, open_pool
from filator.settings import Settings
from filator.storages.registry import Registry
from filator.sweeps import Sweeper

log = structlog.get_logger()

Sweep = Callable[..., Awaitable[dict[str, int]]]
# A job whose worker died is given up after this many seconds without a sign of life and started again.
HEARTBEAT = 30
_SCHEDULE = {
    "expire": "* * * * *",
    "collect": "* * * * *",
    "intents": "*/10 * * * *",
    "archives": "*/10 * * * *",
    "figures": f"*/{figures.EVERY.seconds // 60} * * * *",
    "orphans": "17 3 * * *",
    # Once a week every day's keys: a copy made in the store itself may lie above an old file's version (prune!).
    "all_orphans": "47 3 * * 0",
}


@asynccontextmanager
async def sweeper(settings: Settings, *, name: str) -> AsyncIterator[dict[str, Sweep]]:
    """Open what the sweeps need.

    Args:
        settings: checked ones.
        name: shown in pg_stat_activity.

    Returns:
        The sweeps by name.
    """
    pool = await open_pool(settings.database_url.get_secret_value(), size=settings.database_pool, name=name)
    registry = Registry.from_settings(settings, pool)
    work = Sweeper(settings, pool, registry)
    grace = timedelta(seconds=settings.gc_grace_seconds)
    archives = ArchiveRows(Rows(pool, gc_grace=grace, keep_replaced=settings.keep_replaced), settings)
    try:
        yield {
            "expire": work.expire,
            "intents": work.intents,
            "archives": archives.resume,
            "orphans": work.orphans,
            # It removes what the others found.
            "collect": work.collect,
            # Last: it counts what they left.
            "figures": partial(figures.count, pool),
        }
    finally:
        await registry.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(pool.close(), 5)


def _job(name: str) -> Callable[..., Awaitable[dict[str, int]]]:
    async def run(ctx: dict[str, Any]) -> dict[str, int]:
        async def beat() -> None:
            while True:
                await asyncio.sleep(HEARTBEAT / 3)
                with suppress(RedisError, OSError):
                    await ctx["job"].update()

        beating = asyncio.create_task(beat())
        try:
            done = await ctx["sweeps"][name]()
        finally:
            beating.cancel()
        # That the figures were counted says the page.
        if any(done.values()) and name != "figures":
            log.info("sweep", sweep=name, **done)
        return dict(done)

    run.__qualname__ = run.__name__ = name
    return run


async def _run(settings: Settings) -> None:
    queue = RedisQueue.from_url(settings.redis_url.get_secret_value(), name="filator")
    async with sweeper(settings, name="filator-worker") as sweeps:

        async def startup(ctx: dict[str, Any]) -> None:
            ctx["sweeps"] = {**sweeps, "all_orphans": partial(sweeps["orphans"], days=None)}

        jobs = {name: _job(name) for name in _SCHEDULE}
        worker: Worker[Any] = Worker(
            queue,
            functions=list(jobs.values()),
            concurrency=2,
            cron_jobs=[
                CronJob(jobs[name], cron=cron, heartbeat=HEARTBEAT, timeout=0, retries=3, ttl=60)
                for name, cron in _SCHEDULE.items()
            ],
            cron_tz=settings.timezone,
            startup=startup,
            timers={"schedule": 1, "worker_info": 10, "sweep": 10, "abort": 1},
            shutdown_grace_period_s=settings.stop_seconds,
        )
        try:
            await worker.start()
        finally:
            await queue.disconnect()


def run_worker(settings: Settings) -> None:
    """Work until SIGTERM; a sweep that runs then may finish within the stop limit."""
    asyncio.run(_run(settings))
