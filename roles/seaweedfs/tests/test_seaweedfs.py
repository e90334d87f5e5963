import re

import pytest

testinfra_hosts = ["nas"]

SAFE = [
    "-ip.bind=127.0.0.1",
    "-master.telemetry=false",
    "-s3.autoCreateBucket=false",
    "-s3.allowDeleteBucketNotEmpty=false",
    "-disableHttp=true",
    "-webdav=false",
    "-admin.ui=false",
]


@pytest.mark.parametrize("unit", ["seaweedfs.service", "seaweedfs-s3.socket"])
def test_units_run_and_start_at_boot(host, unit):
    assert host.service(unit).is_running, host.check_output(f"journalctl -u {unit} -n 20 --no-pager")
    assert host.service(unit).is_enabled


@pytest.mark.parametrize("flag", SAFE)
def test_unsafe_defaults_are_undone(host, flag):
    pid = host.service("seaweedfs.service").systemd_properties["MainPID"]
    assert flag in host.check_output(f"tr '\\0' '\\n' < /proc/{pid}/cmdline").splitlines()


def test_only_the_signed_port_leaves_loopback(host):
    listening = [line for line in host.check_output("ss -Hltnp").splitlines() if '"weed"' in line]
    assert len(listening) > 5, "these are all ports of the server, gRPC included"
    assert all(line.split()[3].startswith("127.0.0.1:") for line in listening), listening


def test_anonymous_requests_are_refused(host):
    address = host.check_output("ss -Hltn sport = :9000").split()[3]
    assert host.check_output(f"curl -s -o /dev/null -w '%{{http_code}}' http://{address}/") == "403"


def test_the_first_key_pair_is_readable_by_root_only(host):
    keys = host.file("/etc/default/seaweedfs")
    assert (keys.user, keys.group, keys.mode) == ("root", "root", 0o600)


def test_no_secret_stands_in_the_process_list(host):
    secret = re.search(r"AWS_SECRET_ACCESS_KEY='(.+)'", host.file("/etc/default/seaweedfs").content_string).group(1)
    assert secret not in host.check_output("ps -eo args")


def test_data_folder_belongs_to_the_service(host):
    data = host.file("/var/lib/seaweedfs")
    assert (data.user, data.mode) == ("seaweedfs", 0o700)


@pytest.mark.parametrize("unit", ["seaweedfs.service", "seaweedfs-s3.service"])
def test_unit_is_hardened(host, unit):
    verdict = host.check_output(f"systemd-analyze security --no-pager {unit} | tail -n 1")
    print(verdict)
    assert float(re.search(r": ([0-9.]+)", verdict).group(1)) <= 2.0
