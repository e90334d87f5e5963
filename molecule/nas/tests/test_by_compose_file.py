"""What was rendered for a NAS that Ansible never logs into, and what became of it there."""

import stat
from pathlib import Path

import pytest
import yaml

testinfra_hosts = ["by_compose_file"]
RENDERED = Path(__file__).parents[3] / ".lab" / "molecule" / "nas" / "compose"


@pytest.fixture(scope="module")
def service():
    return yaml.safe_load((RENDERED / "compose.yaml").read_text())["services"]["rustfs"]


def test_the_role_has_put_nothing_on_the_host(host):
    assert not host.file("/etc/rustfs").exists


def test_the_container_it_describes_has_limits(service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "10001:10001"


def test_every_setting_is_a_string_as_compose_wants_it(service):
    assert {type(value) for value in service["environment"].values()} == {str}


def test_the_folders_of_the_settings_are_mounted(service):
    mounts = dict(volume.split(":")[:2] for volume in service["volumes"])
    environment = service["environment"]
    for folder in (environment["RUSTFS_VOLUMES"], environment["RUSTFS_OBS_LOG_DIRECTORY"]):
        assert mounts[folder] == folder
    assert mounts["./keys"] == environment["RUSTFS_SECRET_KEY_FILE"].rpartition("/")[0]


def test_the_keys_lie_beside_it_and_not_in_it():
    secret = RENDERED / "keys" / "secret_key"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text() not in (RENDERED / "compose.yaml").read_text()
    assert secret.read_text() not in (RENDERED / "prepare.sh").read_text()


def test_the_script_gave_the_folders_to_the_server(host):
    for folder in ("/volume1/stowage/data", "/volume1/stowage/log", "/volume1/stowage/data/.notify-events"):
        assert (host.file(folder).uid, host.file(folder).mode) == (10001, 0o750)
    key = host.file("/volume1/docker/stowage/keys/secret_key")
    assert (key.uid, key.mode) == (10001, 0o400)
