"""Schema migrations: Alembic over asyncpg, one at a time for the whole site."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

# Any fixed number; two hosts that migrate at once wait for each other here.
_LOCK = 7_161_204_318


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def sqlalchemy_url(url: str) -> str:
    """Turn a libpq URL into SQLAlchemy's asyncpg form; `sslmode` is `ssl` there."""
    parts = urlsplit(url)
    query = urlencode([("ssl" if key == "sslmode" else key, value) for key, value in parse_qsl(parts.query)])
    return urlunsplit(("postgresql+asyncpg", parts.netloc, parts.path, query, ""))


def head() -> str:
    """Return the newest revision that this package brings."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def _current(connection: Connection) -> str:
    context = MigrationContext.configure(connection, opts={"version_table": "filator_alembic_version"})
    return context.get_current_revision() or "nothing"


def _upgrade(connection: Connection) -> tuple[str, str]:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
    connection.commit()
    try:
        before = _current(connection)
        connection.commit()
        if before != head():
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
        return before, head()
    finally:
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
        connection.commit()


async def _run(url: str, *, check: bool) -> tuple[str, str]:
    settings = {"application_name": "filator-migrate"}
    if check:
        settings["default_transaction_read_only"] = "on"
    engine = create_async_engine(
        sqlalchemy_url(url), poolclass=NullPool, connect_args={"server_settings": settings, "timeout": 10}
    )
    try:
        async with engine.connect() as connection:
            if check:
                return await connection.run_sync(_current), head()
            return await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def migrate(url: str) -> tuple[str, str]:
    """Bring the schema to the newest revision; safe to run twice and from two hosts at once.

    Args:
        url: postgresql://USER:PASSWORD@HOST:PORT/DATABASE.

    Returns:
        The revision before and the one after; `nothing` for an empty database.
    """
    return asyncio.run(_run(url, check=False))


def pending(url: str) -> tuple[str, str]:
    """Compare the schema with this package on a read-only connection.

    Returns:
        The revision in the database and the newest one.
    """
    return asyncio.run(_run(url, check=True))
