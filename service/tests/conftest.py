"""Fixtures: the servers once a session, a database and a bucket of its own for each site."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
import servers


def _need_servers() -> None:
    reason = servers.missing()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    _need_servers()
    with servers.running(servers.Postgres(fsync=False)) as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[servers.Redis]:
    _need_servers()
    with servers.running(servers.Redis()) as server:
        yield server


@pytest.fixture(scope="session")
def weed() -> Iterator[servers.Weed]:
    _need_servers()
    with servers.running(servers.Weed()) as server:
        yield server


@dataclass
class Site:
    """One deployment: a database, a bucket, and the filator on top."""

    app: servers.Filator
    database: str
    bucket: str
    s3: Any
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.app.url


def s3_entry(weed: servers.Weed, bucket: str | None, **more: Any) -> dict[str, Any]:
    entry = {
        "name": "s3",
        "type": "s3",
        "endpoint": weed.endpoint,
        "access_key": servers.ROOT_KEY,
        "secret_key": servers.ROOT_SECRET,
        "prefix": "files",
        **more,
    }
    return entry if bucket is None else {"bucket": bucket, **entry}


def sql(site: Site, statement: str, *values: Any) -> list[Any]:
    async def run() -> list[Any]:
        connection = await asyncpg.connect(site.database)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    return asyncio.run(run())


MakeSite = Callable[..., Site]


@pytest.fixture(scope="session")
def make_site(
    postgres: servers.Postgres, redis: servers.Redis, weed: servers.Weed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeSite]:
    """Build sites; all are closed at the end of the session."""
    sites: list[Site] = []
    # Migrated once, copied for each site: the migration itself has tests of its own.
    template = servers.Filator(
        {
            "FILATOR_DATABASE_URL": postgres.create("migrated"),
            "FILATOR_REDIS_URL": redis.url,
            "STORAGES_CONFIGURATIONS": '[{"name": "db", "type": "db"}]',
        }
    )
    template.run("migrate")
    template.close()

    def make(
        storages: Any = "s3", *, app: str | None = None, start: bool = True, migrated: bool = True, **settings: str
    ) -> Site:
        name = f"t{secrets.token_hex(6)}"
        database = postgres.create(name, template="migrated" if migrated else "template1")
        s3 = weed.client()
        s3.create_bucket(Bucket=name)
        entries = {
            "s3": [s3_entry(weed, name, public_endpoint="http://files.example.org:9000")],
            "db": [{"name": "db", "type": "db"}],
            "local": [{"name": "here", "type": "local", "path": str(tmp_path_factory.mktemp("store"))}],
        }
        chosen = storages(weed, name) if callable(storages) else entries[storages]
        site = Site(
            servers.Filator(
                {
                    "FILATOR_DATABASE_URL": database,
                    "FILATOR_REDIS_URL": redis.url,
                    "STORAGES_CONFIGURATIONS": json.dumps(chosen),
                    **settings,
                },
                app=app,
            ),
            database,
            name,
            s3,
        )
        sites.append(site)
        if start:
            site.app.start(migrate=False)
        return site

    yield make
    # All are told before the first is waited for: each takes a second or two, and there are many.
    for site in sites:
        site.app.tell_to_stop()
    for site in sites:
        site.app.close()


@pytest.fixture(scope="session", params=["s3", "db", "local"])
def site(request: pytest.FixtureRequest, make_site: MakeSite) -> Site:
    """The storage contract: every test that takes this runs on all three types."""
    return make_site(request.param, FILATOR_GC_GRACE_SECONDS="0")


@pytest.fixture(scope="session")
def s3_site(make_site: MakeSite) -> Site:
    return make_site("s3", FILATOR_GC_GRACE_SECONDS="0", FILATOR_ORPHAN_GRACE_SECONDS="0")


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "data.txt"
    path.write_bytes(b"hello filator\n")
    return path
