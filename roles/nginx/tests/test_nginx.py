import re

import pytest

testinfra_hosts = ["edge"]


@pytest.fixture(autouse=True)
def _only_where_it_runs(host):
    if host.ansible.get_variables().get("edge_proxy") != "nginx":
        pytest.skip("needs an edge whose edge_proxy is nginx")


@pytest.fixture
def configuration(host):
    """What nginx itself reads, comments left out."""
    text = host.file("/etc/nginx/nginx.conf").content_string
    return "\n".join(line for line in text.splitlines() if not line.strip().startswith("#"))


def test_service_runs_and_starts_at_boot(host):
    service = host.service("nginx")
    assert service.is_running, host.check_output("journalctl -u nginx -n 20 --no-pager")
    assert service.is_enabled


def test_the_other_proxy_does_not_run(host):
    assert not host.process.filter(comm="caddy")


def test_no_process_of_it_is_root(host):
    processes = host.process.filter(comm="nginx")
    assert processes
    assert {process.user for process in processes} == {"www-data"}


def test_host_and_port_are_handed_on_as_they_were_asked(configuration):
    said = re.findall(r"proxy_set_header\s+Host\s+(\S+);", configuration)
    # One at the top, where all sites inherit it; $host would lose the port.
    assert said == ["$http_host"]


def test_nothing_is_compressed_on_the_way(configuration):
    assert "gzip on" not in configuration
    assert "gzip off;" in configuration


def test_private_keys_are_not_for_everybody(host):
    names = host.file("/etc/nginx/tls").listdir()
    assert names
    for name in names:
        assert host.file(f"/etc/nginx/tls/{name}").mode == 0o640
    assert host.file("/etc/nginx/authority").mode == 0o700


def test_unit_is_hardened(host):
    verdict = host.check_output("systemd-analyze security --no-pager nginx.service | tail -n 1")
    print(verdict)
    assert float(re.search(r": ([0-9.]+)", verdict).group(1)) <= 2.0
