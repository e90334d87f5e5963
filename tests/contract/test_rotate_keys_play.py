"""playbooks/ops/rotate_keys.yml, run for real on the controller's side, against a real store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from servers import Server

from stowage.access.connect import connect
from stowage.access.keys import signs
from stowage.access.model import Credentials

ROOT = Path(__file__).parents[2]
BUCKET = "rotated"
NAMES = {"vault_access_key": "vault_rotated_access_key", "vault_secret_key": "vault_rotated_secret_key"}


class Site:
    """An inventory of localhost alone, whose store is a real server."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self.vault = folder / "site" / "group_vars" / "all" / "vault.yml"
        self.vault.parent.mkdir(parents=True)
        (folder / "password").write_text("a vault password of the tests")
        values = {
            "ansible_connection": "local",
            "object_store_endpoint": server.settings.endpoint,
            "object_store_driver": server.driver,
            "object_store_region": "us-east-1",
            "object_store_root_access_key": server.settings.access_key,
            "object_store_root_secret_key": server.settings.secret_key,
            "object_store_buckets": [{"name": BUCKET, "versioning": "enabled"}],
            "object_store_policies": [{"name": "rotated-rw", "template": "assets-rw", "buckets": [BUCKET]}],
            "object_store_users": [{"name": "rotated", "policies": ["rotated-rw"]}],
            "object_store_keys": [{"user": "rotated", **NAMES}],
            "stowage_vault_file": str(self.vault),
        }
        hosts = {"all": {"hosts": {"localhost": values}}}
        (folder / "site" / "hosts.yml").write_text(yaml.safe_dump(hosts))

    def run(self, command: str, *arguments: str) -> str:
        """Run one of Ansible's commands in the repository; it must succeed."""
        ran = subprocess.run(
            [Path(sys.executable).with_name(command), *arguments],
            cwd=ROOT,
            env=os.environ
            | {
                "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.folder / "facts"),
                "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.timer",
                "STOWAGE_VAULT_PASSWORD_FILE": str(self.folder / "password"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout

    def play(self, name: str, *arguments: str) -> str:
        return self.run("ansible-playbook", f"playbooks/{name}.yml", "-i", str(self.folder / "site"), *arguments)

    def rotate(self) -> str:
        return self.play("ops/rotate_keys", "-e", "rotate=keys", "--skip-tags", "verify")

    def pair(self) -> tuple[str, str]:
        stored = yaml.safe_load(self.run("ansible-vault", "view", str(self.vault)))
        return stored[NAMES["vault_access_key"]], stored[NAMES["vault_secret_key"]]

    def keys(self) -> list[str]:
        return [key.access_key_id for key in connect(self.server.driver, self.server.settings).keys_of("rotated")]

    def opens(self, pair: tuple[str, str]) -> bool:
        return signs(self.server.settings, Credentials(*pair))


@pytest.fixture
def site(tmp_path: Path, weed: Server) -> Site:
    made = Site(tmp_path, weed)
    made.play("access")
    yield made
    driver = connect(weed.driver, weed.settings)
    for key in driver.keys_of("rotated"):
        driver.remove_key(key)


def test_the_new_key_works_and_the_old_one_is_gone(site):
    old = site.pair()
    assert site.opens(old)
    output = site.rotate()
    new = site.pair()
    assert new[0] != old[0]
    assert site.keys() == [new[0]]
    assert site.opens(new)
    assert not site.opens(old)
    assert new[1] not in output
    assert "changed=0" in site.play("access")


def test_a_key_that_an_interrupted_rotation_left_goes_and_no_third_one_is_made(site):
    kept = site.pair()
    connect(site.server.driver, site.server.settings).create_key("rotated", None, "left over")
    assert len(site.keys()) == 2
    site.rotate()
    assert site.keys() == [kept[0]]
    assert site.pair() == kept
