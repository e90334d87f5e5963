import re

import pytest

testinfra_hosts = ["nas"]

CONFIG = "/etc/fluent-bit/stowage/stowage.yaml"


def test_the_sink_runs_and_starts_at_boot(host):
    unit = host.service("fluent-bit.service")
    assert unit.is_running, host.check_output("journalctl -u fluent-bit -n 20 --no-pager")
    assert unit.is_enabled


def test_the_program_reads_the_configuration_of_this_role(host):
    pid = host.service("fluent-bit.service").systemd_properties["MainPID"]
    assert CONFIG in host.check_output(f"tr '\\0' '\\n' < /proc/{pid}/cmdline").splitlines()


def test_nobody_else_reaches_the_port_of_events(host):
    listening = [line.split()[3] for line in host.check_output("ss -Hltnp").splitlines() if '"fluent-bit"' in line]
    assert sorted(listening) == ["127.0.0.1:2020", "127.0.0.1:9880"]


def test_the_process_is_not_root_and_cannot_read_its_key_file(host):
    pid = host.service("fluent-bit.service").systemd_properties["MainPID"]
    assert host.check_output(f"stat -c %U /proc/{pid}") == "fluent-bit"
    keys = host.file("/etc/default/fluent-bit")
    assert (keys.user, keys.group, keys.mode) == ("root", "root", 0o600)


def test_no_secret_stands_in_the_process_list_or_the_configuration(host):
    secret = re.search(r"AWS_SECRET_ACCESS_KEY=(.+)", host.file("/etc/default/fluent-bit").content_string).group(1)
    assert secret not in host.check_output("ps -eo args")
    assert secret not in host.file(CONFIG).content_string


@pytest.mark.parametrize("folder", ["engine", "uploads"])
def test_both_buffers_are_on_a_disk_that_outlives_a_restart(host, folder):
    found = host.file(f"/var/lib/fluent-bit/{folder}")
    assert (found.user, found.mode) == ("fluent-bit", 0o700)
    assert host.check_output(f"stat -f -c %T {found.path}") != "tmpfs"


def test_a_stop_has_time_to_upload_and_a_crash_is_followed_by_a_start(host):
    unit = host.service("fluent-bit.service").systemd_properties
    assert (unit["TimeoutStopUSec"], unit["Restart"]) == ("1min", "always")


def test_unit_is_hardened(host):
    verdict = host.check_output("systemd-analyze security --no-pager fluent-bit.service | tail -n 1")
    assert float(re.search(r": ([0-9.]+)", verdict).group(1)) <= 2.0
