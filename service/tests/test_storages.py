"""Section 1 of the contract: several storages, dynamic buckets, failover, read-only, and a link that flips bytes."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest
import requests
import servers
from conftest import MakeSite, s3_entry, sql
from test_files import get, post, put
from test_sweeps import sweep, versions

DB = {"name": "db", "type": "db"}


class Link:
    """A TCP proxy in front of the S3 server that can flip a byte of what passes, or cut."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self.target = (str(parts.hostname), int(parts.port or 80))
        self.marker = b""
        self.cut = False
        self.flipped = 0
        self.open: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def part(self) -> None:
        """Cut what is open and refuse what comes."""
        self.cut = True
        for sock in self.open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.cut:
                client.close()
                continue
            server = socket.create_connection(self.target)
            self.open += [client, server]
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, outgoing: bool) -> None:
        try:
            while data := source.recv(65536):
                if outgoing and self.marker and self.marker in data:
                    data = data.replace(self.marker, self.marker[:-1] + b"?")
                    self.flipped += 1
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            end.close()


@contextmanager
def link(endpoint: str) -> Iterator[Link]:
    made = Link(endpoint)
    try:
        yield made
    finally:
        made.listener.close()


@pytest.mark.parametrize("checksum", ["sha256", "crc64nvme", "auto"])
@pytest.mark.parametrize("size", [100, 20 << 20], ids=["small", "large"])
def test_a_byte_flipped_on_the_way_to_the_store_is_never_acknowledged(
    make_site: MakeSite, weed: servers.Weed, size: int, checksum: str
) -> None:
    with link(weed.endpoint) as wire:
        site = make_site(
            lambda _weed, name: [s3_entry(weed, name, endpoint=wire.endpoint, retry_limit=1, checksum=checksum)]
        )
        data = os.urandom(size) + b"MARKER-THAT-IS-FLIPPED"
        wire.marker = b"MARKER-THAT-IS-FLIPPED"
        answer = requests.post(f"{site.url}/attachments", files={"body": data}, timeout=60)
        assert wire.flipped
        assert answer.status_code == 503
        assert sql(site, "SELECT 1 FROM attachments") == []
        assert versions(site) == []
        wire.marker = b""
        assert get(site, post(site, data)["uuid"]).content == data


def test_dynamic_buckets_are_made_with_versions_before_the_first_file(make_site: MakeSite) -> None:
    site = make_site(lambda weed, name: [s3_entry(weed, None, use_dynamic_buckets=True, prefix=name)])
    item = post(site, b"one")
    bucket = f"{site.bucket}-{item['created_at'][:10]}"
    assert re.fullmatch(rf"\d\d-\d\d/{item['uuid']}", item["identifier_in_store"])
    assert site.s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    put(site, item["uuid"], b"two")
    assert get(site, item["uuid"]).content == b"two"
    lost = post(site, b"lost")
    sql(site, "DELETE FROM attachments WHERE uuid = $1", lost["uuid"])
    done = sweep(site, "orphans", FILATOR_ORPHAN_GRACE_SECONDS="0")
    assert done["orphans"]["queued"] == 1


def test_uploads_go_to_the_next_storage_while_the_first_is_away(make_site: MakeSite, weed: servers.Weed) -> None:
    with link(weed.endpoint) as wire:
        site = make_site(
            lambda _weed, name: [s3_entry(weed, name, endpoint=wire.endpoint, retry_limit=0, open_timeout=1), DB]
        )
        before = post(site, b"to s3")
        assert before["store"] == "s3"
        wire.part()
        for size in (10, 3 << 20, 20 << 20):
            data = os.urandom(size)
            item = post(site, data)
            assert item["store"] == "db"
            assert get(site, item["uuid"]).content == data
        assert get(site, before["uuid"]).status_code in (200, 503)
        metrics = requests.get(f"{site.url}/metrics", timeout=10).text
        assert re.search(r'filator_failovers_total\{store="s3"\} [1-9]', metrics)


def test_files_of_a_read_only_storage_are_served_and_not_changed(make_site: MakeSite) -> None:
    site = make_site(lambda weed, name: [s3_entry(weed, name), DB])
    item = post(site, b"old")
    site.app.stop()
    site.app.env["STORAGES_CONFIGURATIONS"] = site.app.env["STORAGES_CONFIGURATIONS"].replace(
        '"type": "s3"', '"type": "s3", "readonly": true'
    )
    site.app.start(migrate=False)
    assert get(site, item["uuid"]).content == b"old"
    assert post(site, b"new")["store"] == "db"
    assert requests.delete(f"{site.url}/attachments/{item['uuid']}", timeout=10).status_code == 409
    moved = put(site, item["uuid"], b"changed").json()
    assert moved["store"] == "db"
    assert get(site, item["uuid"]).content == b"changed"
    sweep(site)
    assert len(versions(site)) == 1


def test_without_versions_a_put_writes_another_key(make_site: MakeSite) -> None:
    site = make_site(lambda weed, name: [s3_entry(weed, name, versioning=False)], FILATOR_GC_GRACE_SECONDS="0")
    item = post(site, b"one")
    changed = put(site, item["uuid"], b"two").json()
    assert changed["identifier_in_store"].startswith(f"{item['identifier_in_store']}.")
    assert sweep(site, "collect")["collect"]["removed"] == 1
    assert get(site, item["uuid"]).content == b"two"


def test_a_file_of_a_storage_that_is_no_longer_configured_says_so(make_site: MakeSite) -> None:
    site = make_site(lambda weed, name: [s3_entry(weed, name), DB])
    item = post(site, b"x")
    sql(site, "UPDATE attachments SET store = 'gone'")
    assert get(site, item["uuid"]).status_code == 503
    assert requests.get(f"{site.url}/attachments/{item['uuid']}.json", timeout=10).status_code == 200


def test_changed_bytes_in_the_store_are_never_served_whole(make_site: MakeSite) -> None:
    site = make_site("db")
    item = post(site, b"a" * 3_000_000)
    sql(site, "UPDATE attachment_blobs SET blob = overlay(blob placing 'b' from 5) WHERE seq = 2")
    with pytest.raises(requests.RequestException):
        get(site, item["uuid"])


def test_lost_bytes_are_an_answer_not_a_broken_200(make_site: MakeSite) -> None:
    site = make_site("s3")
    item = post(site, b"x")
    site.s3.delete_object(Bucket=site.bucket, Key=item["identifier_in_store"], VersionId=versions(site)[0])
    assert get(site, item["uuid"]).status_code == 503
