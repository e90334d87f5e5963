testinfra_hosts = ["db"]


def test_service_runs_and_starts_at_boot(host):
    service = host.service("redis-server")
    assert service.is_running, host.check_output("journalctl -u redis-server -n 20 --no-pager")
    assert service.is_enabled


def test_nobody_gets_in_without_a_name(host):
    assert "NOAUTH" in host.run("redis-cli ping").stdout + host.run("redis-cli ping").stderr


def test_it_listens_on_loopback_and_the_mesh_only(host):
    where = [line.split()[3] for line in host.check_output("ss -Hltn sport = :6379").splitlines()]
    assert "0.0.0.0:6379" not in where
    assert "*:6379" not in where
    assert "127.0.0.1:6379" in where


def test_writes_go_to_the_append_only_file(host):
    assert host.file("/var/lib/redis/appendonlydir").is_directory


def test_passwords_lie_there_as_hashes_for_the_server_only(host):
    users = host.file("/etc/redis/users.acl")
    assert (users.user, users.mode) == ("redis", 0o600)
    assert "user default off" in users.content_string
    assert " >" not in users.content_string
