testinfra_hosts = ["app", "edge"]


def test_no_unit_has_failed(host):
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
