"""Archives that were open, half committed or committed when schema 0005 came."""

from __future__ import annotations

import asyncio
import json

from alembic import command
from conftest import MakeSite, Site, sql
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from test_archive import age, close, fetch, rows
from test_files import get

from filator import migrate

OPEN, HALF, DONE = ("a" * 64, "b" * 64, "c" * 64)
NOTES = {"archive": {"files": 2, "sha256": "d" * 64, "objects": "keep"}}


def migrate_to(site: Site, revision: str) -> None:
    """Bring the schema as far as an older filator did."""

    def upgrade(connection: Connection) -> None:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()

    async def run() -> None:
        engine = create_async_engine(migrate.sqlalchemy_url(site.database))
        async with engine.connect() as connection:
            await connection.run_sync(upgrade)
        await engine.dispose()

    asyncio.run(run())


def old_transaction(site: Site, uuid: str, state: str, **ctx: object) -> None:
    """Write what filator wrote before schema 0005."""
    sql(
        site,
        "INSERT INTO archive_txs (uuid, before, state, ctx, created_at, updated_at) "
        "VALUES ($1, '2022-09-01', $2, $3::jsonb, now(), now())",
        uuid,
        state,
        json.dumps({"date": "2022-09-01T00:00:00+03:00", **ctx}),
    )


def test_open_and_half_committed_archives_are_downloaded_again_and_closed_ones_stay(make_site: MakeSite) -> None:
    site = make_site("db", start=False, migrated=False)
    migrate_to(site, "0004")
    uuids = [f"{number:064x}" for number in range(1, 4)]
    for uuid in uuids:
        sql(
            site,
            "INSERT INTO attachments (uuid, checksum, created_at, updated_at, mime_type, filename, store, "
            "identifier_in_store, size) VALUES ($1, encode(sha256(convert_to($1, 'UTF8')), 'hex'), '2022-01-01', "
            "'2022-01-01', 'text/plain', 'f', 'db', $1, 64)",
            uuid,
        )
        sql(
            site, "INSERT INTO attachment_blobs (id, attachment_id, blob) VALUES ($1, $1, convert_to($1, 'UTF8'))", uuid
        )
    closing = {"objects": "keep", "message": "vault 7", "deleted": 5}
    old_transaction(site, OPEN, "open", **NOTES)
    old_transaction(site, HALF, "committing", **NOTES, closing=closing)
    old_transaction(site, DONE, "committed", **NOTES, count=7, objects="keep")
    site.app.start()

    for uuid in (OPEN, HALF):
        # Nobody knows what the ZIP held that was downloaded before.
        assert close(site, {"uuid": uuid}).status_code == 409
        assert close(site, {"uuid": uuid}, sha256="d" * 64).status_code == 409
    assert [get(site, uuid).text for uuid in uuids] == uuids
    assert close(site, {"uuid": DONE}).json()["ctx"]["count"] == 7

    assert {row["uuid"] for row in rows(fetch(site, {"uuid": OPEN}))} == set(uuids)
    archive = fetch(site, {"uuid": HALF})
    assert {row["uuid"] for row in rows(archive)} == set(uuids)
    # A change since that download, as any writer makes it.
    age(site, uuids[0])
    done = close(site, {"uuid": HALF}, message="again").json()
    # Those that the older filator had deleted still count.
    assert (done["ctx"]["count"], done["commit"]) == (5 + 2, "again")
    assert [get(site, uuid).status_code for uuid in uuids] == [200, 404, 404]
    assert close(site, {"uuid": OPEN}).json()["ctx"]["count"] == 0
    assert get(site, uuids[0]).status_code == 200
