"""The program came out of a release archive, over several disks."""

testinfra_hosts = ["by_archive"]


def test_the_program_that_runs_came_out_of_the_archive(host):
    program = host.check_output("readlink -f /opt/rustfs/current/rustfs")
    assert program.startswith("/opt/rustfs/releases/1.0.0-beta.5-")
    assert host.file(f"{program}.zip").exists
    assert (host.file(program).user, host.file(program).mode) == ("root", 0o755)


def test_every_disk_belongs_to_the_server(host):
    for number in range(1, 5):
        assert (host.file(f"/srv/d{number}").uid, host.file(f"/srv/d{number}").mode) == (10001, 0o750)


def test_the_server_was_told_all_disks_and_that_they_are_slow(host):
    told = host.file("/etc/rustfs/rustfs.env").content_string
    assert 'RUSTFS_VOLUMES="/srv/d1 /srv/d2 /srv/d3 /srv/d4"' in told
    assert 'RUSTFS_DRIVE_TIMEOUT_PROFILE="high_latency"' in told


def test_every_disk_is_writable_for_the_unit_and_nothing_else_is(host):
    properties = host.service("rustfs.service").systemd_properties
    assert properties["ReadWritePaths"].split() == [f"/srv/d{number}" for number in range(1, 5)] + ["/var/log/rustfs"]
    assert properties["ProtectSystem"] == "strict"
