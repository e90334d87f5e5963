import re

testinfra_hosts = ["app"]

ENV = "/etc/quantum-atlas/.env"


def test_it_runs_and_starts_at_boot(host):
    assert host.service("qatlasd").is_running, host.check_output("journalctl -u qatlasd -n 20 --no-pager")
    assert host.service("qatlasd").is_enabled


def test_address_and_database_are_given_on_the_command_line(host):
    pid = host.service("qatlasd").systemd_properties["MainPID"]
    arguments = host.check_output(f"tr '\\0' '\\n' < /proc/{pid}/cmdline").splitlines()
    assert "--dir=/var/lib/quantum-atlas/pb_data" in arguments
    assert any(re.fullmatch(r"--http=.+:4200", argument) for argument in arguments)


def test_settings_are_readable_by_the_services_user_only(host):
    settings = host.file(ENV)
    assert (settings.user, settings.group, settings.mode) == ("qatlasd", "qatlasd", 0o600)


def test_no_secret_stands_in_the_process_list_or_the_unit(host):
    secret = re.search(r"QATLAS_S3_SECRET_ACCESS_KEY='(.+)'", host.file(ENV).content_string).group(1)
    assert secret not in host.check_output("ps -eo args")
    assert secret not in host.check_output("systemctl show qatlasd")


def test_every_folder_that_the_unit_may_write_is_there_and_its_own(host):
    paths = host.service("qatlasd").systemd_properties["ReadWritePaths"].split()
    assert paths
    for path in paths:
        assert host.file(path).is_directory
        assert host.file(path).user == "qatlasd"


def test_it_is_stopped_by_sigint_within_15_seconds(host):
    properties = host.service("qatlasd").systemd_properties
    assert (properties["KillSignal"], properties["TimeoutStopUSec"]) == ("2", "15s")
    assert properties["Restart"] == "on-failure"


def test_unit_is_hardened(host):
    verdict = host.check_output("systemd-analyze security --no-pager qatlasd.service | tail -n 1")
    print(verdict)
    assert float(re.search(r": ([0-9.]+)", verdict).group(1)) <= 2.0
