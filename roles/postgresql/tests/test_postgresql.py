import pytest

testinfra_hosts = ["db"]


def query(host, sql):
    return host.check_output(f'su postgres -c "psql -AtXc \\"{sql}\\""')


def test_service_runs_and_starts_at_boot(host):
    version = host.check_output("pg_lsclusters --no-header | cut -d' ' -f1")
    service = host.service(f"postgresql@{version}-main")
    assert service.is_running, host.check_output(f"journalctl -u postgresql@{version}-main -n 20 --no-pager")
    assert service.is_enabled


def test_database_belongs_to_its_own_role(host):
    owner = query(
        host,
        "select rolname from pg_roles r join pg_database d on d.datdba = r.oid where datname = 'aggredator-filator'",
    )
    assert owner == "filator"


def test_passwords_are_kept_as_scram(host):
    assert (
        query(
            host,
            "select count(*) from pg_authid where rolpassword is not null and rolpassword not like 'SCRAM-SHA-256%'",
        )
        == "0"
    )


def test_role_has_no_right_beyond_its_database(host):
    assert query(host, "select rolsuper or rolcreatedb or rolcreaterole from pg_roles where rolname = 'filator'") == "f"


def test_hosts_that_need_nothing_may_not_connect(host):
    rules = query(host, "select address, auth_method from pg_hba_file_rules where type = 'host'").splitlines()
    assert rules
    assert all(rule.endswith("|scram-sha-256") for rule in rules)
    assert not any(rule.startswith(("0.0.0.0|", "all|")) for rule in rules)


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit", "data_checksums"])
def test_acknowledged_commits_are_durable(host, setting):
    assert query(host, f"show {setting}") == "on"
