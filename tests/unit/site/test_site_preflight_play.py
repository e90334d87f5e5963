"""playbooks/preflight.yml, run for real: what is wrong stops it before any host is touched, one line each."""

from __future__ import annotations

import re

import pytest
from plays import Play

PREFLIGHT = "playbooks/preflight.yml"
CHECKSUM = "sha256:" + "a" * 64


def lines_of(result):
    """The problems as they stand in Ansible's output, each on a line of its own."""
    return [line.strip() for line in result.stdout.splitlines() if "; right: " in line and "; mend: " in line]


def test_the_example_as_it_comes_names_every_placeholder(tmp_path):
    result = Play.of("example", tmp_path).run(PREFLIGHT)
    assert result.returncode != 0
    told = [line for line in lines_of(result) if "placeholder" in line]
    assert len(told) == 8
    assert all("${EDITOR:-vi} +" in line for line in told)


def test_the_example_passes_when_it_is_filled(filled_example):
    result = filled_example.run(PREFLIGHT, "--limit", "localhost")
    assert result.returncode == 0, result.stdout
    assert "changed=0" in result.stdout


def test_a_good_site_goes_on_to_the_hosts(mine):
    result = mine.run(PREFLIGHT)
    assert mine.hosts_were_called, result.stdout
    assert result.stdout.count("UNREACHABLE!") == 4


SUPPORT = "S3Proxy"
WRONG = {
    "missing secret": ("group_vars/all/vault.yml", {}, "secret vault_redis_filator_password is not set"),
    "endpoint without scheme": (
        "group_vars/all/site.yml",
        {"object_store_endpoint": "10.9.0.1:9000"},
        'object_store_endpoint "10.9.0.1:9000" has no scheme; right: http://10.9.0.1:9000',
    ),
    "two edges of one name": (
        "host_vars/edge-south.yml",
        {"edge_name": "north"},
        "edge-north and edge-south have the same edge_name",
    ),
    "two edges of one public endpoint": (
        "host_vars/edge-south.yml",
        {"edge_s3_public_endpoint": "https://s3.north.example.org"},
        "edge-north and edge-south have the same edge_s3_public_endpoint",
    ),
    "unknown provider": (
        "group_vars/all/site.yml",
        {"object_store_provider": "seaweed"},
        'unknown object_store_provider "seaweed"; right: "seaweedfs" (nearest name)',
    ),
    "misspelt variable": (
        "group_vars/all/site.yml",
        {"filator_default_livetime": 60},
        "no role or play reads the variable filator_default_livetime; right: filator_default_lifetime",
    ),
    "Azure": ("group_vars/all/site.yml", {"object_store_provider": "azure"}, SUPPORT),
    "GCS native": ("group_vars/all/site.yml", {"object_store_provider": "gcs"}, SUPPORT),
    "WebDAV": ("group_vars/all/site.yml", {"object_store_provider": "webdav"}, SUPPORT),
    "NFS": ("group_vars/all/site.yml", {"object_store_provider": "nfs"}, SUPPORT),
    "SMB": ("group_vars/all/site.yml", {"object_store_provider": "smb"}, SUPPORT),
    "FTP": ("group_vars/all/site.yml", {"object_store_provider": "ftp"}, SUPPORT),
    "storages that do not parse": (
        "group_vars/all/site.yml",
        {"filator_storages": [{"name": "main", "type": "s4"}]},
        'filator_storages entry 0, field type: "s4" is unknown',
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_site_stops_before_any_host_is_touched(case, mine):
    file, values, told = WRONG[case]
    if case == "missing secret":
        kept = {name: value for name, value in mine.secrets().items() if "redis" not in name}
        mine.vault.unlink()
        values = kept
    mine.set(file, **values)
    result = mine.run(PREFLIGHT)
    assert result.returncode != 0
    lines = lines_of(result)
    assert len(lines) == 1, result.stdout
    assert told in lines[0]
    assert lines[0].startswith(str(mine.inventory))
    assert not mine.hosts_were_called
    assert "Traceback" not in result.stdout


def test_the_keys_of_the_trace_are_demanded_only_while_it_is_on(mine):
    mine.set("group_vars/all/site.yml", object_store_provider="rustfs", rustfs_archive_checksum=CHECKSUM)
    mine.run("playbooks/ops/secrets_init.yml")
    secrets = mine.secrets()
    mine.vault.unlink()
    lost = "vault_events_writer_s3_secret_key"
    mine.set("group_vars/all/vault.yml", **{name: value for name, value in secrets.items() if name != lost})
    lines = lines_of(mine.run(PREFLIGHT))
    assert len(lines) == 1, lines
    assert f"secret {lost} is not set" in lines[0]
    off = mine.run(PREFLIGHT, "--limit", "localhost", "-e", "object_store_trace=false")
    assert off.returncode == 0, off.stdout


def test_all_faults_of_a_site_are_told_in_one_run(mine):
    mine.set("group_vars/all/site.yml", object_store_endpoint="nas1", filator_worker=3)
    mine.set("host_vars/edge-south.yml", edge_name="north", edge_tls="files")
    mine.set("host_vars/edge-south.yml", edge_tls_cert="/nowhere.crt")
    assert len(lines_of(mine.run(PREFLIGHT))) == 5


def test_a_name_that_the_operator_claims_is_left_alone(mine):
    mine.set("group_vars/all/site.yml", filator_rack="7", preflight_own_variables=["filator_rack"])
    assert mine.run(PREFLIGHT, "--limit", "localhost").returncode == 0


def test_a_variable_that_refers_to_nothing_is_told_without_a_traceback(mine):
    mine.set("group_vars/all/site.yml", object_store_endpoint="http://{{ nas_adress }}:9000")
    lines = lines_of(mine.run(PREFLIGHT))
    assert any("object_store_endpoint refers to nas_adress, which is not defined" in line for line in lines), lines


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_what_a_host_lacks_is_told_in_one_go_and_changes_nothing(tmp_path, check):
    play = Play.of("single", tmp_path)
    play.set("group_vars/all/site.yml", preflight_min_free_mb=10**9, preflight_max_clock_skew=-1)
    play.set("group_vars/all/site.yml", preflight_debian_versions=["99"])
    play.set("host_vars/box.yml", ansible_python_interpreter="/nowhere/python3", ansible_become=False)
    play.run("playbooks/ops/secrets_init.yml")
    result = play.run(PREFLIGHT, *check, TZ="Asia/Tokyo")
    text = " ".join(lines_of(result))
    for part in ("MB free at", "the clock differs by", "none of the releases", "no Python at"):
        assert part in text, result.stdout
    # The same machine, so the same clock, whatever its time zone.
    assert abs(int(re.search(r"the clock differs by (-?\d+) s", text)[1])) < 60
    assert "changed=0" in result.stdout


def test_values_that_no_role_takes_are_all_named_at_once(mine):
    mine.set(
        "group_vars/all/site.yml",
        object_store_provider="rustfs",
        rustfs_install_method="container",
        rustfs_image_digest="sha256:...",
        rustfs_data_dirs="/data",
        filator_default_lifetime="1day",
        redis_bind_addresses="127.0.0.1",
        fluent_bit_heartbeat_seconds=["x"],
    )
    result = mine.run(PREFLIGHT)
    assert result.returncode != 0
    assert not mine.hosts_were_called
    told = "\n".join(lines_of(result))
    for words in (
        "rustfs_image_digest is no digest",
        "rustfs_data_dirs is text, not a list",
        "filator_default_lifetime: ",
        "redis_bind_addresses is text, not a list",
        "fluent_bit_heartbeat_seconds is a list, not a whole number",
    ):
        assert words in told


def test_the_rules_of_a_role_are_told_before_a_host_is_touched(mine):
    mine.set("group_vars/all/site.yml", object_store_provider="rustfs", rustfs_install_method="container")
    result = mine.run(PREFLIGHT)
    assert result.returncode != 0
    assert not mine.hosts_were_called
    told = "\n".join(lines_of(result))
    assert "rustfs_image_digest is not set, and a tag can be moved to another image; right: sha256:HEX" in told
