"""What preflight says about the programs of the app hosts and their keys."""

from __future__ import annotations

import pytest

from stowage.site.model import Secret, with_host_secrets

GOOD = {
    "app_services": ["filator", "qatlasd"],
    "qatlasd_s3_layout": "per_kind",
    "qatlasd_s3_endpoint": "http://10.0.0.1:9000",
    "qatlasd_s3_bucket_pdf": "qatlas-pdf",
    "qatlasd_s3_bucket_md": "qatlas-md",
    "qatlasd_s3_bucket_images": "qatlas-images",
    "qatlasd_s3_access_key_id": "G" * 20,
    "qatlasd_s3_secret_access_key": "H" * 40,
    "qatlasd_binary_file": "/downloads/qatlasd",
}
SINGLE = {"qatlasd_s3_layout": "single", "qatlasd_s3_bucket": "qatlas-raw"} | {
    name: "" for name in GOOD if name.startswith("qatlasd_s3_bucket_")
}
GROUP = sorted(name for name in GOOD if name.startswith("qatlasd_s3_") and name != "qatlasd_s3_layout")


def spoilt(**values):
    return [("*", name, value) for name, value in (GOOD | values).items()]


def only(lines):
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("values", [{}, SINGLE, dict.fromkeys(GROUP, "")], ids=["per_kind", "single", "local folder"])
def test_a_good_qatlasd_has_no_problem(faults, values):
    assert faults(*spoilt(**values)) == []


@pytest.mark.parametrize("missing", [[name] for name in GROUP] + [GROUP[1:], GROUP[:2], GROUP[::2]])
def test_a_half_set_store_is_refused_with_the_names_of_both_halves_sorted(faults, missing):
    line = only(faults(*spoilt(**dict.fromkeys(missing, ""))))
    there = [name for name in GROUP if name not in missing]
    assert f"is half set: {', '.join(there)} without {', '.join(missing)};" in line
    assert "H" * 40 not in line


@pytest.mark.parametrize("missing", ["qatlasd_s3_bucket", "qatlasd_s3_endpoint"])
def test_the_quartet_of_one_bucket_is_held_together_too(faults, missing):
    assert f"without {missing}" in only(faults(*spoilt(**SINGLE | {missing: ""})))


def test_a_bucket_of_the_other_layout_is_refused(faults):
    line = only(faults(*spoilt(qatlasd_s3_bucket="qatlas-raw")))
    assert "qatlasd_s3_bucket is set on vps1, which belongs to qatlasd_s3_layout single" in line


@pytest.mark.parametrize(("name", "value"), [("qatlasd_s3_access_key_id", "A"), ("qatlasd_s3_secret_access_key", "B")])
def test_the_admin_key_of_the_store_is_refused_without_being_shown(faults, name, value):
    value *= 20 if value == "A" else 40
    line = only(faults(*spoilt(**{name: value})))
    assert f"{name} of vps1 is the store's admin key" in line
    assert value not in line


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"qatlasd_binary_file": ""}, "no program is named"),
        ({"qatlasd_binary_url": "https://example.org/qatlasd"}, "are both set"),
        ({"qatlasd_binary_file": "", "qatlasd_binary_url": "https://example.org/q"}, "has no qatlasd_binary_checksum"),
    ],
)
def test_the_program_comes_from_one_known_place(faults, values, told):
    assert told in only(faults(*spoilt(**values)))


def test_nothing_of_qatlasd_is_asked_where_no_host_runs_it(faults):
    assert faults(*spoilt(app_services=["filator"], qatlasd_s3_bucket_pdf="", qatlasd_binary_file="")) == []


def test_an_unknown_program_is_answered_with_the_nearest(faults):
    line = only(faults(("*", "app_services", ["filator", "qatlas"])))
    assert 'app_services: unknown program "qatlas"; right: qatlasd (nearest)' in line


@pytest.mark.parametrize("name", ["edge_keys", "edge_app", "edge_proxy"])
def test_an_unknown_choice_about_edges_is_refused(faults, name):
    assert f'unknown {name} "mine"' in only(faults(("*", name, "mine")))


def test_nginx_with_acme_is_refused_with_what_to_take_instead(faults):
    line = only(faults(("north", "edge_proxy", "nginx")))
    assert "edge_tls is acme, but edge_proxy nginx asks no authority" in line
    assert "edge_proxy: caddy, or edge_tls: files" in line


def test_an_edge_with_its_own_app_is_an_app_host(faults):
    line = only(faults(("north", "edge_app", "own")))
    assert "edge_app of north is own, but north is not in group app; right: north under app" in line


KEY = Secret("vault_filator_s3_access_key", "access_key", 20, 8, per_host=True, service="filator", at_store="service")


def test_the_first_app_host_keeps_the_name_of_its_key_and_each_other_gets_one_of_its_own():
    plain = Secret("vault_redis_filator_password", "password", 32, 16)
    found = with_host_secrets([KEY, plain], ["vps1", "edge-north.example"])
    assert [(secret.name, secret.host) for secret in found] == [
        (KEY.name, ""),
        (plain.name, ""),
        (f"{KEY.name}_edge_north_example", "edge-north.example"),
    ]


def test_a_site_with_one_app_host_has_the_secrets_it_always_had():
    assert with_host_secrets([KEY], ["vps1"]) == (KEY,)


def test_a_key_left_in_the_vault_by_an_app_host_that_is_gone_is_no_misspelling(faults):
    assert faults(("*", "vault_filator_s3_access_key_north", "x" * 20)) == []
