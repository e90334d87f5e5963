import re

import pytest

testinfra_hosts = ["app"]


@pytest.mark.parametrize("unit", ["filator", "filator-worker"])
def test_units_run_and_start_at_boot(host, unit):
    assert host.service(unit).is_running, host.check_output(f"journalctl -u {unit} -n 20 --no-pager")
    assert host.service(unit).is_enabled


@pytest.mark.parametrize("unit", ["filator", "filator-worker"])
def test_unit_is_hardened(host, unit):
    verdict = host.check_output(f"systemd-analyze security --no-pager {unit}.service | tail -n 1")
    print(verdict)
    assert float(re.search(r": ([0-9.]+)", verdict).group(1)) <= 2.0


def test_settings_are_readable_by_root_only(host):
    settings = host.file("/etc/filator/filator.env")
    assert (settings.user, settings.mode) == ("root", 0o600)


def test_no_secret_stands_in_the_process_list(host):
    text = host.file("/etc/filator/filator.env").content_string
    password = re.search(r"FILATOR_DATABASE_URL='postgresql://[^:]+:([^@]+)@", text).group(1)
    assert password not in host.check_output("ps -eo args")


def test_it_listens_on_the_mesh_only(host):
    where = [line.split()[3] for line in host.check_output("ss -Hltn sport = :8080").splitlines()]
    assert where
    assert not any(w.startswith(("0.0.0.0", "*", "[::]")) for w in where)


def test_it_says_it_is_ready(host):
    where = host.check_output("ss -Hltn sport = :8080").split()[3]
    assert host.check_output(f"curl -s -o /dev/null -w '%{{http_code}}' http://{where}/readyz") == "200"


def test_the_socket_for_edges_asks_for_a_token(host):
    where = host.check_output("ss -Hltn sport = :8081").split()[3]
    assert not where.startswith(("0.0.0.0", "*", "[::]"))
    code = "curl -s -o /dev/null -w '%{http_code}'"
    assert host.check_output(f"{code} http://{where}/healthz") == "200"
    for path in ("/", "/readyz", "/metrics", f"/attachments/{'0' * 64}"):
        assert host.check_output(f"{code} http://{where}{path}") == "401"


def test_tokens_stand_on_the_host_as_hashes(host):
    text = host.file("/etc/filator/filator.env").content_string
    tokens = re.search(r"^FILATOR_TOKENS='(.*)'$", text, re.MULTILINE).group(1)
    assert [line.split()[0] for line in tokens.split("; ")] == ["verify", "admin", "write", "read"]
    assert all(re.fullmatch(r"\w+ sha256:[0-9a-f]{64} [a-z,]+", line) for line in tokens.split("; "))
