"""side_effect.yml let everybody connect and stopped Redis; site.yml has mended it."""

testinfra_hosts = ["db"]


def test_nobody_is_trusted(host):
    sql = "select count(*) from pg_hba_file_rules where auth_method = 'trust'"
    assert host.check_output(f'su postgres -c "psql -AtXc \\"{sql}\\""') == "0"


def test_redis_runs_and_starts_at_boot_again(host):
    assert host.service("redis-server").is_running
    assert host.service("redis-server").is_enabled
