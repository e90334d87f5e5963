"""What can be seen on a host that runs RustFS as a program; other install methods are looked at in molecule/nas."""

import re

import pytest

testinfra_hosts = ["nas"]


@pytest.fixture(autouse=True, scope="module")
def unit(host):
    if not host.file("/etc/systemd/system/rustfs.service").exists:
        pytest.skip("needs rustfs_install_method binary on this host")
    return host.service("rustfs.service")


def settings(host):
    return dict(re.findall(r'^(\w+)="(.*)"$', host.file("/etc/rustfs/rustfs.env").content_string, re.MULTILINE))


def receivers(host):
    found = [value for name, value in settings(host).items() if "_WEBHOOK_ENDPOINT_" in name]
    if not found:
        pytest.skip("needs rustfs_event_targets on this host")
    return found


def pid(host):
    return host.service("rustfs.service").systemd_properties["MainPID"]


def test_the_unit_runs_and_starts_at_boot(host, unit):
    assert unit.is_running, host.check_output("journalctl -u rustfs.service -n 20 --no-pager")
    assert unit.is_enabled


def test_the_unit_is_active_only_after_the_server_has_said_so(host):
    assert host.service("rustfs.service").systemd_properties["Type"] == "notify"


def test_it_runs_as_its_own_user(host):
    assert host.check_output(f"stat -c %u /proc/{pid(host)}") == "10001"


def test_the_root_secret_is_not_in_the_environment_or_the_process_list(host):
    secret = host.file("/etc/rustfs/keys/secret_key").content_string
    assert len(secret) >= 16
    told = host.check_output(f"tr '\\0' '\\n' < /proc/{pid(host)}/environ")
    assert "RUSTFS_SECRET_KEY_FILE=/etc/rustfs/keys/secret_key" in told
    assert secret not in told
    assert secret not in host.check_output("ps -eo args")
    assert secret not in host.file("/etc/rustfs/rustfs.env").content_string


def test_the_key_files_are_the_server_s_alone(host):
    assert host.file("/etc/rustfs/keys").mode == 0o750
    for name in ("access_key", "secret_key"):
        file = host.file(f"/etc/rustfs/keys/{name}")
        assert (file.uid, file.mode) == (10001, 0o400)


def test_it_listens_on_the_site_s_address_only(host):
    address = settings(host)["RUSTFS_ADDRESS"]
    assert not address.startswith((":", "0.0.0.0"))
    assert address in host.check_output("ss -Hltn")
    port = address.rpartition(":")[2]
    assert not host.socket(f"tcp://0.0.0.0:{port}").is_listening


def test_it_is_ready(host):
    url = f"http://{settings(host)['RUSTFS_ADDRESS']}/health/ready"
    assert host.check_output(f"curl -s -o /dev/null -w '%{{http_code}}' {url}") == "200"


def test_anonymous_requests_are_refused(host):
    url = f"http://{settings(host)['RUSTFS_ADDRESS']}/"
    assert host.check_output(f"curl -s -o /dev/null -w '%{{http_code}}' {url}") == "403"


def test_the_queue_lies_inside_the_data_and_belongs_to_the_server(host):
    assert receivers(host)
    queues = {value for name, value in settings(host).items() if "_QUEUE_DIR_" in name}
    assert len(queues) == 1, "one target, one queue"
    folder = host.file(queues.pop())
    assert (folder.uid, folder.mode) == (10001, 0o750)
    assert folder.path.startswith(settings(host)["RUSTFS_VOLUMES"].split()[0] + "/")


def test_every_receiver_of_events_is_an_allowed_origin(host):
    for endpoint in receivers(host):
        origins = settings(host)["RUSTFS_OUTBOUND_ALLOW_ORIGINS"].split(",")
        assert re.match(r"https?://[^/]+", endpoint).group() in origins


def test_what_is_known_to_harm_is_not_set(host):
    assert [name for name in settings(host) if name.startswith(("RUSTFS_AUDIT_", "RUSTFS_SERVER_DOMAINS"))] == []


def test_the_unit_is_hardened(host):
    verdict = host.check_output("systemd-analyze security --no-pager rustfs.service | tail -n 1")
    print(verdict)
    assert float(re.search(r": ([0-9.]+)", verdict).group(1)) <= 2.0
