"""One key per app host, or one for all: the real wiring and the real access play on a real store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from servers import Server, seaweedfs

from stowage.s3.connection import S3Settings, s3_client

ROOT = Path(__file__).parents[2]
EDGE = {"edge_name": "north", "edge_site_host": "files.example.org", "edge_tls": "acme"}


class Site:
    """A site of the real wiring with its own app hosts, whose store is a server of the tests."""

    def __init__(self, folder: Path, server: Server, app: list[str], **variables: object) -> None:
        self.folder, self.server = folder, server
        everywhere = folder / "site" / "group_vars" / "all"
        everywhere.mkdir(parents=True)
        (folder / "password").write_text("a vault password of the tests")
        (everywhere / "00-wiring.yml").symlink_to(ROOT / "inventories" / "wiring.yml")
        values = {
            "object_store_provider": "seaweedfs",
            "object_store_driver": server.driver,
            "object_store_endpoint": server.settings.endpoint,
            "object_store_root_access_key": server.settings.access_key,
            "object_store_root_secret_key": server.settings.secret_key,
            "object_store_filator_bucket": "per-edge",
            "object_store_trace": False,
            **variables,
        }
        (everywhere / "site.yml").write_text(yaml.safe_dump(values))
        edges = {"north.edge": EDGE | {"edge_s3_public_endpoint": "https://s3.example.org"}}
        groups = {
            "nas": {"hosts": {"nas1": None}},
            "db": {"hosts": {"vps1": None}},
            "app": {"hosts": dict.fromkeys(app)},
            "edge": {"hosts": edges},
        }
        local = {"localhost": {"ansible_connection": "local"}}
        (folder / "site" / "hosts.yml").write_text(
            yaml.safe_dump({"all": {"hosts": local, "children": groups}}, sort_keys=False)
        )

    def run(self, command: str, *arguments: str) -> str:
        ran = subprocess.run(
            [Path(sys.executable).with_name(command), *arguments],
            cwd=ROOT,
            env=os.environ
            | {
                "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.folder / "facts"),
                "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.timer",
                "STOWAGE_VAULT_PASSWORD_FILE": str(self.folder / "password"),
                "NO_COLOR": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout

    def access(self, *arguments: str) -> int:
        """Run the play; returns how many tasks changed something on the controller."""
        said = self.run("ansible-playbook", "playbooks/access.yml", "-i", str(self.folder / "site"), *arguments)
        return int(said.split("changed=")[1].split()[0])

    def vault(self) -> dict[str, str]:
        path = self.folder / "site" / "group_vars" / "all" / "vault.yml"
        found: dict[str, str] = yaml.safe_load(self.run("ansible-vault", "view", str(path)))
        return {name: value for name, value in found.items() if "_filator_" in name or "_qatlasd_" in name}

    def used_by(self, host: str) -> str:
        """The key that the program on a host is given."""
        given = ["-m", "debug", "-a", "msg={{ filator_storages[0].access_key }}"]
        said = self.run("ansible", host, "-i", str(self.folder / "site"), "-e", "ansible_connection=local", *given)
        return said.split("msg:")[1].split()[0].strip('"}')

    def writes(self, access_key: str, secret_key: str) -> None:
        settings = S3Settings(endpoint=self.server.settings.endpoint, access_key=access_key, secret_key=secret_key)
        s3_client(settings).put_object(Bucket="per-edge", Key="probe", Body=b"x")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Server]:
    """A store of its own for each test: users and their keys stay."""
    (tmp_path / "weed").mkdir()
    with seaweedfs(tmp_path / "weed") as server:
        yield server


def test_a_second_app_host_gets_a_key_of_its_own_and_the_first_keeps_its_own(fresh: Server, tmp_path: Path) -> None:
    before = Site(tmp_path / "one", fresh, ["vps1"])
    assert before.access() > 0
    old = before.vault()
    assert set(old) == {"vault_filator_s3_access_key", "vault_filator_s3_secret_key"}

    site = Site(tmp_path / "two", fresh, ["vps1", "north.edge"])
    vault = Path("site/group_vars/all/vault.yml")
    (site.folder / vault).write_bytes((before.folder / vault).read_bytes())
    assert site.access() > 0
    stored = site.vault()
    assert {name: stored[name] for name in old} == old
    first, second = stored["vault_filator_s3_access_key"], stored["vault_filator_s3_access_key_north_edge"]
    assert first != second
    assert (site.used_by("vps1"), site.used_by("north.edge")) == (first, second)
    site.writes(first, stored["vault_filator_s3_secret_key"])
    site.writes(second, stored["vault_filator_s3_secret_key_north_edge"])
    assert site.access() == 0


def test_a_shared_key_is_one_per_program_whatever_the_number_of_hosts(fresh: Server, tmp_path: Path) -> None:
    site = Site(tmp_path, fresh, ["vps1", "north.edge"], edge_keys="shared", app_services=["filator", "qatlasd"])
    site.access()
    stored = site.vault()
    programs = ("filator", "qatlasd")
    assert set(stored) == {f"vault_{name}_s3_{kind}_key" for name in programs for kind in ("access", "secret")}
    assert stored["vault_qatlasd_s3_access_key"] != stored["vault_filator_s3_access_key"]
    assert {site.used_by(host) for host in ("vps1", "north.edge")} == {stored["vault_filator_s3_access_key"]}
    there = {bucket["Name"] for bucket in s3_client(fresh.settings).list_buckets()["Buckets"]}
    assert {"qatlas-pdf", "qatlas-md", "qatlas-images"} <= there
