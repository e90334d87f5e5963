import json
import secrets

testinfra_hosts = ["app"]


def test_the_timer_waits_for_its_time(host):
    timer = host.service("stowage-prune.timer")
    assert timer.is_running
    assert timer.is_enabled
    assert "stowage-prune.service" in host.check_output("systemctl list-timers --no-legend")


def test_the_settings_are_for_root_only(host):
    settings = host.file("/etc/stowage/prune.env")
    assert (settings.user, settings.mode) == ("root", 0o600)


def test_a_run_removes_what_the_rules_let_go_and_logs_it(host):
    # keep_last is 1 in this scenario: of three writes the first goes.
    uuid = secrets.token_hex(32)
    address = f"http://{host.ansible.get_variables()['ansible_host']}:8080/attachments/{uuid}"
    for text in ("one", "two", "three"):
        host.check_output(f"printf {text} | curl -sS --fail -X PUT -F 'body=@-;filename=a.txt' {address}")
    host.check_output("systemctl start stowage-prune.service")
    told = host.check_output("journalctl --unit stowage-prune.service --output cat --lines 400")
    gone = [json.loads(line) for line in told.splitlines() if line.startswith("{") and uuid in line]
    assert len(gone) == 1, told
    assert host.check_output(f"curl -sS --fail {address}") == "three"


def test_the_command_looks_with_the_same_settings(host):
    told = host.run("stowage-prune --keep-last 1000000")
    assert told.rc == 0
    assert "dry-run" in told.stdout + told.stderr
    assert host.run("stowage-prune --no-such-option").rc == 2


def test_the_unit_is_hardened(host):
    told = host.run("systemd-analyze security --no-pager stowage-prune.service").stdout
    exposure = float(told.strip().splitlines()[-1].split(":")[1].split()[0])
    assert exposure <= 2.0, told.strip().splitlines()[-1]
