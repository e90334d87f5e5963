"""Endpoint, key and bucket out of a site's inventory, worked out by Ansible, its vault included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stowage.cli import main
from stowage.cli.connect import _NAMES, target
from stowage.errors import BadInputError

VAULT = "vault_pruner: s3cret-pruner\nvault_filator: s3cret-filator\n"
VARIABLES = """
object_store_endpoint: "http://{{ hostvars['nas1'].ansible_host }}:9000"
object_store_region: eu-x
prune_bucket: files
prune_access_key: pruner
prune_secret_key: "{{ vault_pruner }}"
filator_storages:
  - { name: db, type: db }
  - name: main
    type: s3
    bucket: files
    access_key: filator
    secret_key: "{{ vault_filator }}"
    public_endpoint: https://s3.example.net
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    site = tmp_path / "inventories" / "mine"
    variables = site / "group_vars" / "all"
    variables.mkdir(parents=True)
    (site / "hosts.yml").write_text(
        "nas: {hosts: {nas1: {ansible_host: 192.0.2.1}}}\napp: {hosts: {vps1: {ansible_host: 192.0.2.2}}}\n"
    )
    (variables / "site.yml").write_text(VARIABLES)
    (variables / "vault.yml").write_text(VAULT)
    (tmp_path / "password").write_text("open sesame\n")
    (tmp_path / "ansible.cfg").write_text("[defaults]\nvault_password_file = password\n")
    encrypt = [str(Path(sys.executable).with_name("ansible-vault")), "encrypt", str(variables / "vault.yml")]
    subprocess.run(encrypt, cwd=tmp_path, check=True, capture_output=True)
    return site


def found(inventory: Path, **flags: Any) -> Any:
    return target({**dict.fromkeys(_NAMES), "site": inventory, **flags}, {})


def test_a_site_tells_endpoint_bucket_and_the_key_that_a_command_needs(inventory: Path) -> None:
    place = found(inventory, command="prune")
    assert (place.settings.endpoint, place.settings.region, place.bucket) == ("http://192.0.2.1:9000", "eu-x", "files")
    assert (place.settings.access_key, place.settings.secret_key) == ("pruner", "s3cret-pruner")
    service = found(inventory, command="doctor", bucket="other", endpoint="http://127.0.0.1:1")
    assert (service.settings.access_key, service.settings.secret_key) == ("filator", "s3cret-filator")
    assert (service.settings.endpoint, service.bucket) == ("http://127.0.0.1:1", "other")
    assert service.public_endpoint == "https://s3.example.net"
    with pytest.raises(BadInputError, match="has no key for restore"):
        found(inventory, command="restore")


def test_a_vault_that_can_not_be_opened_is_one_line(inventory: Path) -> None:
    (inventory.parents[1] / "password").write_text("another\n")
    with pytest.raises(BadInputError, match=r"the vault of .* can not be opened") as caught:
        found(inventory, command="prune")
    assert "STOWAGE_VAULT_PASSWORD_FILE" in str(caught.value.hint)
    assert "\n" not in str(caught.value)
    (inventory.parents[1] / "ansible.cfg").write_text("[defaults]\n")
    with pytest.raises(BadInputError, match=r"the vault of .* can not be opened"):
        found(inventory, command="prune")


def test_a_site_with_a_hole_is_one_line_without_a_secret(inventory: Path) -> None:
    with (inventory / "group_vars" / "all" / "site.yml").open("a") as file:
        file.write('object_store_endpoint: "{{ nobody_said }}"\n')
    with pytest.raises(BadInputError, match="nobody_said") as caught:
        found(inventory, command="doctor")
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_site_stands_before_the_command_or_behind_it(inventory: Path) -> None:
    for words in (["--site", str(inventory), "presign", "a.txt"], ["presign", "--site", str(inventory), "a.txt"]):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("https://s3.example.net/files/a.txt?")
    done = CliRunner().invoke(main, ["--site", "nowhere", "doctor"])
    assert (done.exit_code, "no inventory nowhere" in done.stdout) == (1, True)
