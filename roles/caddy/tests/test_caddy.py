import re

import pytest

testinfra_hosts = ["edge"]


@pytest.fixture(autouse=True)
def _only_where_it_runs(host):
    if host.ansible.get_variables().get("edge_proxy", "caddy") != "caddy":
        pytest.skip("needs an edge whose edge_proxy is caddy")


def test_service_runs_and_starts_at_boot(host):
    service = host.service("caddy")
    assert service.is_running, host.check_output("journalctl -u caddy -n 20 --no-pager")
    assert service.is_enabled


def test_configuration_is_what_caddy_calls_valid(host):
    own_folders = "env XDG_DATA_HOME=/run/v XDG_CONFIG_HOME=/run/v"
    assert host.run(f"{own_folders} caddy validate --adapter caddyfile --config /etc/caddy/Caddyfile").succeeded


def test_nobody_sets_host_on_the_way(host):
    assert not re.search(r"header_up\s+(-?X-Forwarded-)?Host", host.file("/etc/caddy/Caddyfile").content_string)


def test_nothing_is_compressed_on_the_way(host):
    assert "encode" not in host.file("/etc/caddy/Caddyfile").content_string


def test_private_keys_are_not_for_everybody(host):
    for key in host.file("/etc/caddy/tls").listdir():
        assert host.file(f"/etc/caddy/tls/{key}").mode == 0o640


def test_unit_is_hardened(host):
    verdict = host.check_output("systemd-analyze security --no-pager caddy.service | tail -n 1")
    print(verdict)
    assert float(re.search(r": ([0-9.]+)", verdict).group(1)) <= 2.0
