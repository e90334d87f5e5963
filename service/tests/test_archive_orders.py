"""Writers, archives and sweeps in any order: no acknowledged byte goes, except into a ZIP that was downloaded.

In the process of the test, on real PostgreSQL and SeaweedFS: requests stop in their middle and go on later.
STOWAGE_ARCHIVE_ORDERS=2000 tries so many orders instead of a few.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import MakeSite
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from inside import Exchange, Inside, crashing_forget

from filator.archive import rows as archive_rows

INLINE = 1000
ORDERS = int(os.environ.get("STOWAGE_ARCHIVE_ORDERS", "12"))
STEPS = 40
MOST_AT_ONCE = 3
UUIDS = [f"{number:x}" * 64 for number in range(1, 4)]

which = st.integers(0, 9)
# What writers do right before a commit: left to chance, few commits would meet a file that changed behind its ZIP.
writes = st.lists(
    st.tuples(st.sampled_from(["put", "put_the_same", "delete_and_put", "finish_put"]), which), max_size=2
)
Writes = list[tuple[str, int]]
sizes = st.sampled_from([10, 10, 3 * INLINE])


@dataclass
class Zip:
    """A whole ZIP that a client got."""

    sha256: str
    with_objects: bool
    # By uuid: revision and checksum of the row, bytes where the ZIP holds them.
    held: dict[str, tuple[int, str, bytes | None]] = field(default_factory=dict)

    def holds(self, uuid: str, data: bytes, *, need_bytes: bool) -> bool:
        """Say whether exactly these bytes stand in it under the uuid."""
        if uuid not in self.held:
            return False
        _revision, checksum, found = self.held[uuid]
        return checksum == hashlib.sha256(data).hexdigest() and (found == data or (found is None and not need_bytes))


@dataclass
class Tx:
    """A transaction, with the complete downloads of it."""

    uuid: str
    zips: list[Zip] = field(default_factory=list)
    # Those whose rows the first commit may delete; None before it.
    allowed: list[Zip] | None = None
    delete_objects: bool = False
    committed: bool = False


def read_zip(data: bytes, *, with_objects: bool) -> Zip | None:
    """Read a ZIP; None where its end is missing."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        archive.getinfo("archive.json")
    except (zipfile.BadZipFile, KeyError):
        return None
    assert archive.testzip() is None
    assert len(archive.namelist()) == len(set(archive.namelist()))
    found = Zip(hashlib.sha256(data).hexdigest(), with_objects)
    for name in archive.namelist():
        for line in archive.read(name).splitlines() if name.startswith("attachments/") else ():
            row = json.loads(line)
            entry = archive.read(row["entry"]) if row["entry"] is not None else None
            assert row["uuid"] not in found.held
            found.held[row["uuid"]] = (row["revision"], row["checksum"], entry)
    return found


class Orders(RuleBasedStateMachine):
    """One order of writers, archives, sweeps and deaths."""

    inside: Inside
    kind: str

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.files: dict[str, bytes] = {}
        self.uuids = list(UUIDS)
        self.puts: list[tuple[str, bytes, Exchange]] = []
        self.downloads: list[tuple[Tx, bool, Exchange]] = []
        self.txs: list[Tx] = []
        self.kept: list[bytes] = []

    # -- writers -----------------------------------------------------------------------------------------------

    def data(self, size: int) -> bytes:
        self.number += 1
        return b"%d." % self.number + b"x" * size

    @initialize()
    def some_files_and_a_transaction(self) -> None:
        for at in range(len(UUIDS)):
            self.put(at, 10)
        self.open()

    @rule(size=sizes)
    def post(self, size: int) -> None:
        data = self.data(size)
        done = self.inside.ask("POST", "/attachments", form=data)
        assert done.status == 201, done.body
        self.uuids.append(done.json["uuid"])
        # A POST leaves after a day; the test does not last so long.
        self.files[self.uuids[-1]] = data

    @rule(at=which, size=sizes)
    def put(self, at: int, size: int) -> None:
        uuid, data = self.uuids[at % len(self.uuids)], self.data(size)
        done = self.inside.ask("PUT", f"/attachments/{uuid}", form=data)
        assert done.status in (200, 201), done.body
        self.files[uuid] = data

    @precondition(lambda self: self.files)
    @rule(at=which)
    def put_the_same(self, at: int) -> None:
        uuid = sorted(self.files)[at % len(self.files)]
        done = self.inside.ask("PUT", f"/attachments/{uuid}", form=self.files[uuid])
        assert done.status == 200, done.body

    @precondition(lambda self: len(self.puts) < MOST_AT_ONCE)
    @rule(at=which, size=sizes)
    def begin_put(self, at: int, size: int) -> None:
        uuid, data = self.uuids[at % len(self.uuids)], self.data(size)
        begun = self.inside.begin("PUT", f"/attachments/{uuid}", form=data, half=True)
        assert not begun.task.done(), begun.body
        self.puts.append((uuid, data, begun))

    @precondition(lambda self: self.puts)
    @rule(at=which)
    def finish_put(self, at: int) -> None:
        uuid, data, begun = self.puts.pop(at % len(self.puts))
        done = self.inside.run(begun.go_on())
        # An upload that the sweep `intents` took for dead (it waits no time here) is refused, never lost.
        assert done.status in (200, 201, 503), done.body
        if done.status != 503:
            self.files[uuid] = data

    @precondition(lambda self: self.puts)
    @rule(at=which)
    def break_put_off(self, at: int) -> None:
        _uuid, _data, begun = self.puts.pop(at % len(self.puts))
        begun.hang_up()
        self.inside.run(begun.go_on())

    @rule(at=which)
    def delete(self, at: int) -> None:
        uuid = self.uuids[at % len(self.uuids)]
        done = self.inside.ask("DELETE", f"/attachments/{uuid}")
        assert done.status == (204 if uuid in self.files else 404), done.body
        self.files.pop(uuid, None)

    @precondition(lambda self: self.files)
    @rule(at=which)
    def let_expire(self, at: int) -> None:
        uuid = sorted(self.files)[at % len(self.files)]
        self.inside.sql("UPDATE attachments SET delete_at = now() - interval '1 second' WHERE uuid = $1", uuid)
        del self.files[uuid]

    # -- archives ----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.txs) < 4)
    @rule()
    def open(self) -> None:
        tx = self.inside.ask("POST", "/attachments/archive/tx").json
        # As if the files of this test were old.
        self.inside.sql("UPDATE archive_txs SET before = now() + interval '1 day' WHERE uuid = $1", tx["uuid"])
        self.txs.append(Tx(tx["uuid"]))

    def got(self, tx: Tx, done: Exchange, *, with_objects: bool, noted: bool = False) -> None:
        if tx.allowed is not None:
            # Whatever came: it counts for nothing any more.
            return
        found = read_zip(bytes(done.body), with_objects=with_objects)
        if done.ended or noted:
            assert found is not None
            tx.zips.append(found)

    def a_tx(self, at: int, *, with_zip: bool = False) -> Tx:
        """Choose one; of those that are still of interest, where there are any."""
        open_ones = [tx for tx in self.txs if not tx.committed]
        wanted = [tx for tx in open_ones if tx.zips] if with_zip else [tx for tx in open_ones if tx.allowed is None]
        # Now and then any of them, and so the refusals.
        chosen = self.txs if at == 0 else wanted or self.txs
        return chosen[at % len(chosen)]

    @rule(at=which, objects=st.booleans())
    def download(self, at: int, objects: bool) -> None:
        self.try_download(at, objects)

    @rule(
        at=which,
        objects=st.booleans(),
        end=st.sampled_from([1, 2, 3, 5, 8, "archive-listed", "archive-noted"]),
    )
    def download_that_ends_early(self, at: int, objects: bool, end: int | str) -> None:
        if isinstance(end, int):
            self.try_download(at, objects, cut=end)
        else:
            self.try_download(at, objects, crash=end)

    def try_download(self, at: int, objects: bool, cut: int | None = None, crash: str = "") -> None:
        tx = self.a_tx(at)
        query = "objects=" + ("include" if objects else "keep")
        self.inside.crash_at = crash
        done = self.inside.ask("GET", f"/attachments/archive/{tx.uuid}", query, cut_after=cut)
        self.inside.crash_at = ""
        assert done.status == (200 if tx.allowed is None else 409), done.body
        if done.status == 200:
            self.got(tx, done, with_objects=objects, noted=self.noted(done))

    def noted(self, done: Exchange) -> bool:
        """The service died behind its note: for a commit without a digest this ZIP has arrived."""
        digest = hashlib.sha256(bytes(done.body)).hexdigest()
        return bool(self.inside.sql("SELECT 1 FROM archive_downloads WHERE notes ->> 'sha256' = $1", digest))

    @precondition(lambda self: len(self.downloads) < MOST_AT_ONCE)
    @rule(at=which, objects=st.booleans(), after=st.integers(1, 6))
    def begin_download(self, at: int, objects: bool, after: int) -> None:
        tx = self.a_tx(at)
        query = "objects=" + ("include" if objects else "keep")
        begun = self.inside.begin("GET", f"/attachments/archive/{tx.uuid}", query, hold_after=after)
        self.downloads.append((tx, objects, begun))

    @precondition(lambda self: self.downloads)
    @rule(at=which)
    def finish_download(self, at: int) -> None:
        tx, objects, begun = self.downloads.pop(at % len(self.downloads))
        done = self.inside.run(begun.go_on())
        if done.status == 200 and done.ended:
            self.got(tx, done, with_objects=objects)

    def write(self, what: str, at: int) -> None:
        if what == "put":
            self.put(at, 10)
        elif what == "put_the_same" and self.files:
            self.put_the_same(at)
        elif what == "delete_and_put":
            self.delete(at)
            self.put(at, 10)
        elif what == "finish_put" and self.puts:
            self.finish_put(at)

    @rule(at=which, before=writes)
    def commit(self, at: int, before: Writes) -> None:
        self.try_commit(at, before, "none", delete_objects=False)

    @rule(
        at=which,
        before=writes,
        digest=st.sampled_from(["none", "first", "last", "wrong"]),
        delete_objects=st.booleans(),
    )
    def commit_by_digest(self, at: int, before: Writes, digest: str, *, delete_objects: bool) -> None:
        self.try_commit(at, before, digest, delete_objects=delete_objects)

    @rule(
        at=which,
        before=writes,
        delete_objects=st.booleans(),
        crash=st.sampled_from(["archive-committing", "archive-batch", "in-batch"]),
    )
    def commit_and_die(self, at: int, before: Writes, crash: str, *, delete_objects: bool) -> None:
        self.try_commit(at, before, "last", delete_objects=delete_objects, crash=crash)

    def try_commit(self, at: int, before: Writes, digest: str, *, delete_objects: bool, crash: str = "") -> None:
        for what, whose in before:
            self.write(what, whose)
        tx = self.a_tx(at, with_zip=True)
        query = "objects=" + ("delete" if delete_objects else "keep")
        zips = tx.zips
        sha256 = None
        if digest == "wrong" or (digest != "none" and not zips):
            sha256 = "0" * 64
        elif digest != "none":
            sha256 = zips[0 if digest == "first" else -1].sha256
        if sha256 is not None:
            query += f"&sha256={sha256}"
        if tx.allowed is None:
            chosen = [it for it in zips if sha256 in (None, it.sha256) and (it.with_objects or not delete_objects)]
            refused = not chosen
            if chosen:
                tx.allowed, tx.delete_objects = chosen, delete_objects
        else:
            refused = sha256 not in (None, self.digest_of(tx))
        self.inside.crash_at = crash
        done = self.inside.ask("DELETE", f"/attachments/archive/{tx.uuid}", query)
        self.inside.crash_at = ""
        if refused:
            assert done.status == 409, done.body
            self.settle()
            return
        assert done.status == 200 or (crash and done.status == 0), done.body
        assert self.digest_of(tx) in [it.sha256 for it in tx.allowed or ()]
        self.settle(tx)
        if done.status == 200 and not tx.committed:
            self.nothing_is_left(tx)

    def digest_of(self, tx: Tx) -> str:
        found = self.inside.sql("SELECT ctx -> 'archive' ->> 'sha256' AS it FROM archive_txs WHERE uuid = $1", tx.uuid)
        return str(found[0]["it"])

    def nothing_is_left(self, tx: Tx) -> None:
        """What all the ZIPs hold as it is now has gone: a commit that deletes nothing would lose nothing either."""
        tx.committed = True
        rows = self.inside.sql("SELECT uuid, revision FROM attachments")
        for row in rows:
            assert not all(it.held.get(row["uuid"], (0,))[0] == row["revision"] for it in tx.allowed or ())

    def settle(self, *committed: Tx) -> None:
        """Take files out of the books that commits deleted, if a ZIP has them."""
        there = {row["uuid"] for row in self.inside.sql("SELECT uuid FROM attachments")}
        for uuid, data in list(self.files.items()):
            if uuid in there:
                continue
            need_bytes = self.kind == "db"
            by = [
                tx
                for tx in committed
                if all(it.holds(uuid, data, need_bytes=need_bytes or tx.delete_objects) for it in tx.allowed or ())
            ]
            assert by, f"{uuid} was deleted and its last bytes are in no ZIP"
            if self.kind == "s3" and not any(tx.delete_objects for tx in by):
                self.kept.append(data)
            del self.files[uuid]

    @rule()
    def resume(self) -> None:
        closing = [tx for tx in self.txs if tx.allowed is not None]
        self.inside.sql("UPDATE archive_txs SET updated_at = updated_at - interval '11 minutes'")
        self.inside.run(self.inside.service.archive_rows.resume())
        self.settle(*closing)
        for tx in closing:
            if not tx.committed:
                self.nothing_is_left(tx)

    @rule(at=which)
    def let_lists_grow_old(self, at: int) -> None:
        tx = self.a_tx(at, with_zip=True)
        self.inside.sql("UPDATE archive_downloads SET beat_at = '2022-01-01' WHERE archive_uuid = $1", tx.uuid)
        self.resume()
        if tx.allowed is None:
            tx.zips.clear()

    # -- sweeps ------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(["expire", "collect", "intents", "orphans"]))
    def sweep(self, name: str) -> None:
        self.inside.run(getattr(self.inside.sweeper, name)())
        self.settle()

    # -- what must hold ----------------------------------------------------------------------------------------

    @invariant()
    def what_was_acknowledged_last_can_be_read(self) -> None:
        for uuid in self.uuids:
            done = self.inside.ask("GET", f"/attachments/{uuid}")
            if uuid in self.files:
                assert (done.status, bytes(done.body)) == (200, self.files[uuid])
            else:
                assert done.status == 404

    def teardown(self) -> None:
        inside = self.inside
        for begun in [put[-1] for put in self.puts] + [download[-1] for download in self.downloads]:
            begun.hang_up()
            inside.run(begun.go_on())
        try:
            for name in ("expire", "intents", "orphans", "collect"):
                inside.run(getattr(inside.sweeper, name)())
            self.what_was_acknowledged_last_can_be_read()
            self.check_kept()
        finally:
            clear(inside)

    def check_kept(self) -> None:
        """Objects that a commit kept are still in the store, with the bytes that their rows had."""
        left = [
            self.inside.site.s3.get_object(Bucket=row["bucket"], Key=row["identifier"], VersionId=row["version_id"])[
                "Body"
            ].read()
            for row in self.inside.sql("SELECT bucket, identifier, version_id FROM kept_objects")
        ]
        assert [data for data in self.kept if data not in left] == []


def clear(inside: Inside) -> None:
    inside.sql(
        "TRUNCATE attachments, attachment_blobs, blob_gc, kept_objects, replaced_versions, upload_intents, "
        "archive_txs, archive_downloads, archive_rows"
    )
    s3, bucket = inside.site.s3, inside.site.bucket
    listed = s3.list_object_versions(Bucket=bucket)
    gone = [
        {"Key": it["Key"], "VersionId": it["VersionId"]}
        for it in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
    ]
    if gone:
        s3.delete_objects(Bucket=bucket, Delete={"Objects": gone})


@pytest.fixture(params=["db", "s3"])
def inside(request: pytest.FixtureRequest, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inside]:
    none = dict.fromkeys(("GC", "ORPHAN", "INTENT"), "0")
    site = make_site(request.param, start=False, **{f"FILATOR_{name}_GRACE_SECONDS": it for name, it in none.items()})
    running = Inside(site)
    # Small files go the way of large ones, and a few rows fill several pages and batches.
    monkeypatch.setattr(type(running.service.registry.candidates()[0]), "inline_bytes", INLINE)
    monkeypatch.setattr(archive_rows, "PAGE", 2)
    monkeypatch.setattr(archive_rows, "BATCH", 2)
    monkeypatch.setattr(archive_rows, "reach", running.reach)
    monkeypatch.setattr(archive_rows, "forget", crashing_forget(running))
    yield running
    running.close()


def test_whatever_writers_archives_and_sweeps_do_no_acknowledged_byte_is_lost(inside: Inside) -> None:
    kind = inside.service.registry.candidates()[0].name
    machine: Any = type("OrdersHere", (Orders,), {"inside": inside, "kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=ORDERS,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
