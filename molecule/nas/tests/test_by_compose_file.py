"""What was rendered for a NAS that Ansible never logs into, and what became of it there."""

import json
import stat
from pathlib import Path

import pytest
import yaml

testinfra_hosts = ["by_compose_file"]
RENDERED = Path(__file__).parents[3] / ".lab" / "molecule" / "nas" / "compose"


@pytest.fixture(scope="module")
def service():
    return yaml.safe_load((RENDERED / "compose.yaml").read_text())["services"]["rustfs"]


@pytest.fixture(scope="module")
def container(host):
    return json.loads(host.check_output("docker inspect rustfs"))[0]


def test_the_role_has_put_nothing_on_the_host(host):
    assert not host.file("/etc/rustfs").exists


def test_the_container_it_describes_has_limits(service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "10001:10001"


def test_the_container_that_compose_made_of_it_has_them_too(container):
    limits = container["HostConfig"]
    assert limits["ReadonlyRootfs"]
    assert limits["CapDrop"] == ["ALL"]
    assert limits["SecurityOpt"] == ["no-new-privileges:true"]
    assert limits["NetworkMode"] == "host"
    assert limits["RestartPolicy"]["Name"] == "unless-stopped"
    assert set(limits["Tmpfs"]) == {"/tmp", "/data"}
    assert container["Config"]["User"] == "10001:10001"
    assert (container["Config"]["StopSignal"], container["Config"]["StopTimeout"]) == ("SIGKILL", 45)


def test_every_setting_reaches_the_container_as_it_was_rendered(service, container):
    told = dict(setting.split("=", 1) for setting in container["Config"]["Env"])
    assert service["environment"].items() <= told.items()


def test_the_question_for_its_health_is_one_that_its_shell_understands(host, service, container):
    question = container["Config"]["Healthcheck"]["Test"]
    assert question == service["healthcheck"]["test"]
    assert host.run("docker exec rustfs sh -c %s", question[1]).rc == 0


def test_a_project_that_is_built_again_is_left_as_it_is(host, container):
    host.check_output("cd /volume1/docker/stowage && docker-compose --project-name stowage up --detach")
    assert json.loads(host.check_output("docker inspect rustfs"))[0]["Id"] == container["Id"]


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
