from __future__ import annotations

import pytest
from example_site import GROUPS
from hypothesis import given, settings
from hypothesis import strategies as st

from stowage.site.check import read_names
from stowage.site.model import STAND_IN, Failure, Problem

HOSTS = GROUPS["all"]
SECRETS_INIT = "ansible-playbook playbooks/ops/secrets_init.yml -i inventories/mine"


def only(lines):
    assert len(lines) == 1, lines
    return lines[0]


def test_a_good_site_has_no_problem(faults):
    assert faults() == []


def test_a_problem_is_one_line_with_place_fault_right_and_mend():
    line = str(Problem("a file:3", "two\nlines", "one", "do  it"))
    assert line == "a file:3: two lines; right: one; mend: do it"


def test_everything_wrong_is_reported_at_once(faults):
    lines = faults(
        ("*", "object_store_endpoint", "10.0.0.1:9000"),
        ("south", "edge_name", "north"),
        ("*", "vault_redis_filator_password", ""),
        ("nas1", "edge_nmae", "x"),
    )
    assert len(lines) == 4


@pytest.mark.parametrize("value", [..., "", None])
def test_a_missing_or_empty_secret_names_the_command_that_makes_it(faults, value):
    line = only(faults(("*", "vault_redis_filator_password", value)))
    assert "secret vault_redis_filator_password is" in line
    assert line.endswith(f"mend: {SECRETS_INIT}")


def test_a_secret_that_another_variable_would_have_carried_is_told_once(faults):
    name = "vault_object_store_root_secret_key"
    stand_in = STAND_IN.format(name=name)
    lines = faults(("*", name, ...), ("*", "object_store_root_secret_key", stand_in))
    assert [name in line for line in lines] == [True]


def test_a_site_that_sets_the_variable_itself_needs_no_vault_entry(faults):
    assert faults(("*", "vault_object_store_root_secret_key", ...)) == []


def test_a_key_that_seaweedfs_mints_is_not_missing_before_the_first_run(faults):
    names = ("vault_filator_s3_access_key", "vault_filator_s3_secret_key")
    storages = [{"name": "main", "type": "s3", "endpoint": "http://a", "bucket": "files"}]
    storages[0] |= {"access_key": STAND_IN.format(name=names[0]), "secret_key": STAND_IN.format(name=names[1])}
    assert faults(*(("*", name, ...) for name in names), ("*", "filator_storages", storages)) == []


def test_the_same_key_is_demanded_where_the_store_takes_a_chosen_one(faults):
    name = "vault_filator_s3_secret_key"
    storages = [{"name": "main", "type": "s3", "endpoint": "http://a", "bucket": "files", "access_key": "E" * 20}]
    storages[0]["secret_key"] = STAND_IN.format(name=name)
    line = only(faults(("*", name, ...), ("*", "filator_storages", storages), ("*", "object_store_provider", "rustfs")))
    assert name in line
    assert SECRETS_INIT in line


TRACE_KEYS = {
    "vault_events_writer_s3_access_key": "fluent_bit_s3_access_key",
    "vault_events_writer_s3_secret_key": "fluent_bit_s3_secret_key",
    "vault_events_reader_s3_access_key": "object_store_events_reader_access_key",
    "vault_events_reader_s3_secret_key": "object_store_events_reader_secret_key",
}


@pytest.mark.parametrize("on", [True, "yes"])
@pytest.mark.parametrize("missing", TRACE_KEYS)
def test_a_key_of_the_trace_is_demanded_where_the_trace_is_on(faults, missing, on):
    spoilt = [("*", "object_store_provider", "rustfs"), ("*", "object_store_trace", on)]
    spoilt += [("*", name, "K" * 40) for name in TRACE_KEYS if name != missing]
    # The wiring's default('') meets the stand-in of an undefined secret.
    line = only(faults(*spoilt, ("*", TRACE_KEYS[missing], STAND_IN.format(name=missing))))
    assert f"secret {missing} is not set" in line
    assert line.endswith(f"mend: {SECRETS_INIT}")


@pytest.mark.parametrize("off", [False, "no", ...])
def test_no_key_of_the_trace_is_asked_for_where_there_is_none(faults, off):
    spoilt = [("*", "object_store_provider", "rustfs"), ("*", "object_store_trace", off)]
    assert faults(*spoilt, *(("*", name, "") for name in (*TRACE_KEYS, *TRACE_KEYS.values()))) == []


def test_a_switch_that_a_secret_waits_for_is_a_variable_of_the_site(rules):
    assert {secret.only_if for secret in rules.secrets} - {""} <= rules.known & read_names(rules)


def test_a_key_of_a_store_without_access_driver_is_asked_of_the_operator(faults):
    spoilt = [("*", "object_store_provider", "external"), ("*", "object_store_preset", "r2")]
    spoilt += [("*", "object_store_buckets", ["filator"]), ("*", "vault_filator_s3_access_key", "")]
    spoilt += [("*", "filator_storages", ...)]
    line = only(faults(*spoilt))
    assert "provider's console" in line
    assert "ansible-vault edit inventories/mine/group_vars/all/vault.yml" in line


def test_an_admin_key_is_not_asked_for_where_no_driver_could_use_it(faults):
    spoilt = [("*", "object_store_provider", "external"), ("*", "object_store_preset", "b2")]
    names = ["vault_object_store_root_access_key", "vault_object_store_root_secret_key"]
    names += ["object_store_root_access_key", "object_store_root_secret_key"]
    assert faults(*spoilt, *(("*", name, ...) for name in names)) == []


def test_a_short_secret_is_told_by_its_length_and_never_by_its_value(faults):
    line = only(faults(("*", "vault_postgresql_filator_password", "hunter2")))
    assert "has 7 characters; right: at least 16" in line
    assert "-e replace=vault_postgresql_filator_password" in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("nas1:9000", "has no scheme"),
        ("http://", "has no host"),
        ("http://:9000", "has no host"),
        ("ftp://nas1", "has the scheme ftp"),
        ("http://nas1:9000/s3", "has something behind the host"),
        ("http://nas1:port", "has a malformed host or port"),
        ("http://nas1 :9000", "has a space in it"),
        ("", "is empty"),
    ],
)
def test_an_endpoint_that_no_client_could_use_is_refused(faults, value, fault):
    line = only(faults(("*", "object_store_endpoint", value)))
    assert fault in line
    assert "right: http://" in line


def test_a_missing_endpoint_is_told_with_the_pattern_of_the_store(faults):
    assert "http://{host}:9000" in only(faults(("*", "object_store_endpoint", ...)))


def test_a_password_in_an_endpoint_is_not_repeated(faults):
    line = only(faults(("*", "object_store_endpoint", "http://me:geheim@nas1:9000")))
    assert "has a user or password in it" in line
    assert "geheim" not in line


def test_a_password_in_a_public_address_is_not_repeated(faults):
    address = "https://me:geheim@s3.example.org"
    lines = faults(("north", "edge_s3_public_endpoint", address), ("south", "edge_s3_public_endpoint", address))
    assert len(lines) > 1
    assert "geheim" not in str(lines)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("edge_name", "NORTH"),
        ("edge_s3_public_endpoint", "https://S3.north.example.org:443/"),
        ("edge_site_host", "files.north.example.org"),
    ],
)
def test_two_edges_must_not_share_a_name_or_a_public_address(faults, name, value):
    lines = faults(("south", name, value))
    assert any(f"north and south have the same {name}" in line for line in lines), lines


def test_the_store_needs_a_public_name_or_port_of_its_own(faults):
    line = only(faults(("south", "edge_s3_public_endpoint", "https://198.51.100.7")))
    assert "same name and port as edge_site_host" in line


@pytest.mark.parametrize(("mode", "scheme"), [("internal", "http"), ("off", "https")])
def test_the_scheme_of_the_public_endpoint_fits_the_certificates(faults, mode, scheme):
    spoilt = [("south", "edge_tls", mode), ("south", "edge_s3_public_endpoint", f"{scheme}://198.51.100.7:9443")]
    line = only(faults(*spoilt))
    assert f"does not fit edge_tls {mode}; right: {'https' if mode == 'internal' else 'http'}://198" in line


@pytest.mark.parametrize(("host", "right"), [("fd00::3", "[fd00::3]"), ("fd00::3:8443", "[fd00::3]:8443")])
def test_a_public_ipv6_address_without_brackets_is_told_with_them(host, right, faults):
    (line,) = [one for one in faults(("south", "edge_site_host", host)) if "malformed" in one]
    assert f"right: {right}, an IPv6 address in brackets" in line


@pytest.mark.parametrize("name", ["edge_name", "edge_site_host", "edge_s3_public_endpoint"])
def test_an_edge_must_say_who_it_is(faults, name):
    assert f"{name} of south is not set" in only(faults(("south", name, ...)))


def test_an_unknown_way_to_certificates_is_told_with_the_nearest(faults):
    line = only(faults(("south", "edge_tls", "internl")))
    assert 'unknown edge_tls "internl" (south); right: internal (nearest)' in line


def test_a_bare_off_is_explained(faults):
    assert 'right: edge_tls: "off", with quotes' in only(faults(("south", "edge_tls", False)))


def test_certificates_from_files_need_both_paths(faults):
    lines = faults(("south", "edge_tls", "files"))
    assert [line.split(": ")[1].split(";")[0] for line in lines] == [
        "edge_tls_cert is not set (south)",
        "edge_tls_key is not set (south)",
    ]


@pytest.mark.parametrize("name", ["198.51.100.7", "[2001:db8::1]", "edgebox", "files.lan"])
def test_acme_needs_a_public_name(faults, name):
    lines = faults(("south", "edge_tls", "acme"), ("south", "edge_site_host", name))
    assert any(f'edge_site_host "{name}" is no name that a public authority' in line for line in lines), lines


def test_a_misspelt_variable_is_told_with_the_nearest_name(faults):
    line = only(faults(("nas1", "object_store_endpont", "http://nas1")))
    assert "no role or play reads the variable object_store_endpont; right: object_store_endpoint (nearest" in line


def test_a_misspelt_beginning_is_found_too(faults):
    assert "right: object_store_region (nearest known name)" in only(faults(("nas1", "objct_store_region", "x")))


def test_a_name_of_the_operators_own_is_left_alone(faults):
    assert faults(("nas1", "rack", "7"), ("nas1", "my_backup_window", "night")) == []


def test_placeholders_are_told_where_they_are_written(faults):
    written = {"north": {"edge_site_host": "files.example.invalid"}, "vps1": {"hosts": ["a", {"b": "CHANGE_ME_key"}]}}
    lines = faults(written=written, origins={"north": {"edge_site_host": "host_vars/north.yml:3"}})
    assert lines[0].startswith(
        "host_vars/north.yml:3: edge_site_host still holds the placeholder files.example.invalid"
    )
    assert "hosts still holds the placeholder CHANGE_ME_key" in lines[1]
    assert lines[0].endswith("mend: ${EDITOR:-vi} +3 host_vars/north.yml")


def test_a_fault_that_comes_from_the_shared_wiring_is_mended_in_the_sites_own_file(faults):
    origins = {host: {"object_store_endpoint": "inventories/mine/group_vars/all/00-wiring.yml:22"} for host in HOSTS}
    line = only(faults(("*", "object_store_endpoint", "nas1"), origins=origins))
    assert line.startswith("inventories/mine/group_vars/all/00-wiring.yml:22: ")
    assert line.endswith("set object_store_endpoint in ${EDITOR:-vi} inventories/mine/group_vars/all/site.yml")


@pytest.mark.parametrize("group", ["nas", "db", "app", "edge"])
def test_a_group_without_a_host_is_told(faults, group):
    assert f"group {group} has no host" in only(faults(groups=GROUPS | {group: []}))


def test_the_file_service_must_not_run_with_the_admin_key(faults):
    storages = [{"name": "main", "type": "s3", "endpoint": "http://a", "bucket": "files", "secret_key": "B" * 40}]
    line = only(faults(("*", "filator_storages", [storages[0] | {"access_key": "A" * 20}])))
    assert "entry 0, field access_key: is the store's admin key" in line
    assert "A" * 20 not in line


def test_a_file_that_is_not_on_the_controller_is_told_before_a_role_would_copy_it(faults):
    spoilt = [("south", "edge_tls", "files"), ("south", "edge_tls_cert", "/tls/a.crt"), ("south", "edge_tls_key", "/k")]
    line = only(faults(*spoilt, absent_files=frozenset({"/tls/a.crt"})))
    assert "edge_tls_cert names /tls/a.crt, which is no file on the controller" in line


def test_the_controller_must_be_in_the_inventory(faults):
    line = only(faults(groups=GROUPS | {"all": ["nas1", "vps1", "north", "south"]}))
    assert "localhost is not in the inventory" in line


def test_users_and_keys_are_made_by_the_api_that_the_store_has(faults):
    line = only(faults(("*", "object_store_driver", "rustfs")))
    assert 'is "rustfs", but SeaweedFS has "iam"; right: object_store_driver: iam' in line


def test_a_site_with_an_external_store_needs_no_nas(faults):
    spoilt = [("*", "object_store_provider", "external"), ("*", "object_store_preset", "ceph")]
    assert faults(*spoilt, groups=GROUPS | {"nas": []}) == []


def test_an_unknown_provider_is_told_with_the_nearest_name(faults):
    assert 'unknown object_store_provider "rustfss"; right: "rustfs"' in only(
        faults(("*", "object_store_provider", "rustfss"))
    )


def test_a_provider_without_a_role_in_this_checkout_is_refused(faults, rules):
    from dataclasses import replace

    from stowage.site.check_store import check_provider
    from stowage.site.model import Site

    site = Site("i", {"nas": ["a"]}, {"a": {"object_store_provider": "rustfs"}})
    problem = only(check_provider(site, replace(rules, roles=frozenset({"seaweedfs"}))))
    assert problem.right == "seaweedfs or external"


@pytest.mark.parametrize(
    ("word", "title"),
    [
        ("azure", "Azure"),
        ("gcs", "Google Cloud Storage"),
        ("webdav", "WebDAV"),
        ("nfs", "NFS"),
        ("smb", "SMB"),
        ("ftp", "FTP"),
        ("CIFS", "SMB"),
    ],
)
def test_a_store_that_cannot_carry_the_service_is_refused_with_the_way_round(faults, word, title):
    line = only(faults(("*", "object_store_provider", word)))
    assert f'"{word}" is not supported' in line
    assert title in line
    assert "S3Proxy" in line
    assert "object_store_preset: s3proxy" in line


def test_hosts_that_disagree_on_the_provider_are_told(faults):
    assert "differs between hosts" in only(faults(("nas1", "object_store_provider", "rustfs")))


def test_versioning_is_not_asked_of_a_store_that_has_none(faults):
    spoilt = [("*", "object_store_provider", "external"), ("*", "object_store_preset", "r2")]
    assert "asks for versioning, which Cloudflare R2 does not have" in only(faults(*spoilt))


@pytest.mark.parametrize(
    ("bucket", "fault"),
    [
        ("My_Bucket", "must have 3 to 63 characters"),
        ("10.0.0.1", "must not look like an IPv4 address"),
        ("a..b", "must not hold"),
        ("xn--files", "is reserved"),
        ("", "must have 3 to 63 characters"),
    ],
)
def test_a_malformed_bucket_name_is_refused(faults, bucket, fault):
    assert fault in only(faults(("*", "object_store_buckets", [{"name": bucket}])))


def test_a_bucket_stands_once(faults):
    assert "stands twice" in only(faults(("*", "object_store_buckets", ["files", "files"])))


def test_half_of_a_pair_is_told(faults):
    line = only(faults(("*", "object_store_root_access_key", ...), groups=GROUPS | {"db": ["vps1"]})[:1])
    assert "object_store_root_secret_key without object_store_root_access_key" in line


def test_a_value_that_only_lacks_a_secret_is_not_told_besides_the_secret(faults):
    failures = {"nas1": {"object_store_region": Failure("vault_redis_filator_password", "")}}
    assert faults(failures=failures) == []


def test_a_value_that_refers_to_nothing_names_what_is_missing(faults):
    failures = {"nas1": {"object_store_region": Failure("site_region", "")}}
    line = only(faults(failures=failures))
    assert "object_store_region refers to site_region, which is not defined on nas1" in line


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["edge_name", "edge_site_host", "edge_tls", "object_store_endpoint"]), st.text())
)
def test_no_value_makes_the_check_itself_fail(values):
    from stowage.site.check import check_site
    from stowage.site.model import Rules, Site

    known = frozenset({"object_store_endpoint", "edge_s3_public_endpoint"})
    lines = check_site(Site("i", {"edge": ["e"]}, {"e": values}), Rules(known, frozenset({"edge_"})))
    assert all("\n" not in str(line) for line in lines)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("http://fd00::1:9000", "right: http://[fd00::1]:9000 or https://[fd00::1]:9000, an IPv6 address in brackets"),
        ("fd00::1", "right: http://[fd00::1] or https://[fd00::1], an IPv6 address in brackets"),
        ("http://10.0.0.1:99999", "with a port from 1 to 65535"),
        ("http://[fd00::1", "right: http://host:port or https://host:port"),
        ("[fd00::1]:9000", "right: http://[fd00::1]:9000 or https://[fd00::1]:9000;"),
    ],
)
def test_the_right_address_is_not_the_wrong_one(faults, wrong, right):
    line = only(faults(("*", "object_store_endpoint", wrong)))
    assert right in line


def test_an_address_in_brackets_is_good_in_a_url_and_nowhere_else(faults):
    assert faults(("*", "object_store_endpoint", "http://[fd00::1]:9000")) == []
    line = only(faults(("*", "stowage_address", "[fd00::1]")))
    assert 'stowage_address "[fd00::1]" has brackets' in line
    assert 'right: "fd00::1"' in line
