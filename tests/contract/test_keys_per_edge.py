"""One key per app host, or one for all: the real wiring and the real access play on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Server, seaweedfs
from site_play import GROUPS, Site, changed

from stowage.s3.connection import S3Settings, s3_client


def site_of(folder: Path, server: Server, app: list[str], **variables: object) -> Site:
    """With these app hosts."""
    return Site(folder, server, {**GROUPS, "app": app}, object_store_filator_bucket="per-edge", **variables)


def access(site: Site) -> int:
    """Make access true; how many tasks had something to do."""
    return changed(site.play(["access"]))


def keys_of_programs(site: Site) -> dict[str, str]:
    return {name: value for name, value in site.vault().items() if "_filator_" in name or "_qatlasd_" in name}


def used_by(site: Site, host: str) -> str:
    """The key that the program on a host is given."""
    return site.asked(host, "filator_storages[0].access_key")


def writes(server: Server, access_key: str, secret_key: str) -> None:
    settings = S3Settings(endpoint=server.settings.endpoint, access_key=access_key, secret_key=secret_key)
    s3_client(settings).put_object(Bucket="per-edge", Key="probe", Body=b"x")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Server]:
    """A store of its own for each test: users and their keys stay."""
    (tmp_path / "weed").mkdir()
    with seaweedfs(tmp_path / "weed") as server:
        yield server


def test_a_second_app_host_gets_a_key_of_its_own_and_the_first_keeps_its_own(fresh: Server, tmp_path: Path) -> None:
    before = site_of(tmp_path / "one", fresh, ["vps1"])
    assert access(before) > 0
    old = keys_of_programs(before)
    assert set(old) == {"vault_filator_s3_access_key", "vault_filator_s3_secret_key"}

    site = site_of(tmp_path / "two", fresh, ["vps1", "north.edge"])
    site.vault_file.write_bytes(before.vault_file.read_bytes())
    assert access(site) > 0
    stored = keys_of_programs(site)
    assert {name: stored[name] for name in old} == old
    first, second = stored["vault_filator_s3_access_key"], stored["vault_filator_s3_access_key_north_edge"]
    assert first != second
    assert (used_by(site, "vps1"), used_by(site, "north.edge")) == (first, second)
    writes(fresh, first, stored["vault_filator_s3_secret_key"])
    writes(fresh, second, stored["vault_filator_s3_secret_key_north_edge"])
    assert access(site) == 0


def test_a_shared_key_is_one_per_program_whatever_the_number_of_hosts(fresh: Server, tmp_path: Path) -> None:
    programs = ("filator", "qatlasd")
    site = site_of(tmp_path, fresh, ["vps1", "north.edge"], edge_keys="shared", app_services=list(programs))
    access(site)
    stored = keys_of_programs(site)
    assert set(stored) == {f"vault_{name}_s3_{kind}_key" for name in programs for kind in ("access", "secret")}
    assert stored["vault_qatlasd_s3_access_key"] != stored["vault_filator_s3_access_key"]
    assert {used_by(site, host) for host in ("vps1", "north.edge")} == {stored["vault_filator_s3_access_key"]}
    there = {bucket["Name"] for bucket in s3_client(fresh.settings).list_buckets()["Buckets"]}
    assert {"qatlas-pdf", "qatlas-md", "qatlas-images"} <= there
