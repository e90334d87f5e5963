"""After the drift: the container has its limits again."""

import json
import re

import pytest

testinfra_hosts = ["by_container"]


@pytest.fixture(scope="module")
def container(host):
    return json.loads(host.check_output("docker inspect rustfs"))[0]


def test_it_runs_and_comes_back_after_a_boot(container):
    assert container["State"]["Running"]
    assert container["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_it_can_write_nothing_but_its_folders(container):
    assert container["HostConfig"]["ReadonlyRootfs"]
    writable = {mount["Destination"] for mount in container["Mounts"] if mount["RW"]}
    assert writable == {"/srv/rustfs", "/var/log/rustfs"}


def test_it_has_no_capability_and_gets_none(container):
    assert container["Config"]["User"] == "10001:10001"
    assert container["HostConfig"]["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in container["HostConfig"]["SecurityOpt"]


def test_the_root_secret_is_not_in_its_environment(host, container):
    secret = host.file("/etc/rustfs/keys/secret_key")
    assert (secret.uid, secret.mode) == (10001, 0o400)
    assert secret.content_string not in json.dumps(container)
    assert "RUSTFS_SECRET_KEY_FILE=/run/secrets/rustfs/secret_key" in container["Config"]["Env"]


def test_it_is_ready_on_the_site_s_address(host):
    address = re.search(r'^RUSTFS_ADDRESS="(.+)"$', host.file("/etc/rustfs/rustfs.env").content_string, re.M).group(1)
    assert host.check_output(f"curl -s -o /dev/null -w '%{{http_code}}' http://{address}/health/ready") == "200"
    assert not host.socket("tcp://0.0.0.0:9000").is_listening


def test_the_queue_lies_inside_the_data_volume(host):
    queue = host.file("/srv/rustfs/.notify-events/rustfs-webhook-qatlas")
    assert queue.is_directory
    assert queue.uid == 10001


def test_the_archive_of_the_image_is_not_left_behind(host):
    assert host.check_output("find /tmp /root -name '*.tar'") == ""
