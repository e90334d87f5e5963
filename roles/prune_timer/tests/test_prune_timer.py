import json

testinfra_hosts = ["app[0]"]


def test_the_timer_waits_for_its_time(host):
    timer = host.service("stowage-prune.timer")
    assert timer.is_running
    assert timer.is_enabled
    assert "stowage-prune.service" in host.check_output("systemctl list-timers --no-legend")


def test_the_settings_are_for_root_only(host):
    settings = host.file("/etc/stowage/prune.env")
    assert (settings.user, settings.mode) == ("root", 0o600)


def test_a_run_ends_well_and_says_what_it_saw(host):
    # Refused permissions, an unreadable env file or a missing bucket would end it with a status.
    host.check_output("systemctl start stowage-prune.service")
    told = host.check_output("journalctl --unit stowage-prune.service --output cat --lines 200")
    assert any(line.startswith("{") and json.loads(line) for line in told.splitlines()), told


def test_the_command_prunes_with_the_same_settings(host):
    before = host.check_output("stowage-prune --keep-last 1000000")
    assert "0" in before.splitlines()[-1], before
    refused = host.run("stowage-prune --no-such-option")
    assert refused.rc == 2


def test_the_unit_is_hardened(host):
    told = host.run("systemd-analyze security --no-pager stowage-prune.service").stdout
    exposure = float(told.strip().splitlines()[-1].split(":")[1].split()[0])
    assert exposure <= 2.0, told.strip().splitlines()[-1]
