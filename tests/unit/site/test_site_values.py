"""Values against the argument specs of the roles, and the roles' own rules, before any host is touched."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from example_site import GROUPS, REPOSITORY, good_hosts

from stowage.site.check_values import check_host_suffixes, check_role_rules, check_values, roles_of
from stowage.site.fit import misfit
from stowage.site.model import Rules, Secret, Site
from stowage.site.names import role_options

OPTIONS = role_options(REPOSITORY / "roles")


def validate(spec: Any, values: Any) -> list[str]:
    return list(ArgumentSpecValidator(spec).validate(values).error_messages)


def fault(name: str, value: Any, **more: Any) -> tuple[str, str] | None:
    return misfit(name, value, OPTIONS[name], validate, **more)


@pytest.mark.parametrize(
    ("name", "value", "what", "right"),
    [
        ("rustfs_install_method", "binry", "got: binry", "binary (nearest), or one of binary"),
        ("filator_default_lifetime", "1day", "cannot be converted to an int", "a whole number"),
        ("rustfs_data_dirs", "/data", "rustfs_data_dirs is text, not a list", "a list"),
        ("rustfs_event_targets", ["qatlas"], "rustfs_event_targets entry 0 is text, not a mapping", "a mapping"),
        ("rustfs_environment", "A=b", "rustfs_environment is text, not a mapping", "a mapping"),
        ("rustfs_image", ["a"], "rustfs_image is a list, not text", "text"),
        ("rustfs_image_digest", "sha256:...", "rustfs_image_digest is no digest", "64 hexadecimal digits"),
        ("rustfs_archive_checksum", "sha256:HEX", "rustfs_archive_checksum is no digest", "64 hexadecimal digits"),
        ("qatlasd_binary_checksum", "f" * 64, "qatlasd_binary_checksum is no digest", "64 hexadecimal digits"),
        ("postgresql_databases", [{"name": "a"}], "missing required arguments", "a list of mappings with name"),
        ("postgresql_databases", [{"name": "a", "clients": "10.0.0.1"}], "entry 0, field clients is text", "a list"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_what_would(name: str, value: Any, what: str, right: str) -> None:
    found = fault(name, value)
    assert found
    assert what in found[0]
    assert right in found[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rustfs_image_digest", "sha256:" + "a" * 64),
        ("rustfs_image_digest", ""),
        ("rustfs_image_digest", None),
        ("filator_default_lifetime", "86400"),
        ("filator_keep_replaced", "yes"),
        ("rustfs_data_dirs", ["/data"]),
    ],
)
def test_what_ansible_takes_is_taken(name: str, value: Any) -> None:
    assert fault(name, value) is None


def test_no_secret_is_shown() -> None:
    spec = {"type": "list", "elements": "dict", "options": {"password": {"type": "int", "no_log": True}}}
    found = misfit("x_users", [{"password": "s3cret-one"}], spec, validate)
    assert found
    assert "s3cret-one" not in str(found)
    found = misfit("x_time", "s3cret-two", {"type": "int"}, validate, secrets=["s3cret-two"])
    assert found
    assert "s3cret-two" not in str(found)


def test_the_defaults_of_all_roles_fit_their_specs() -> None:
    assert {name: found for name, spec in OPTIONS.items() if (found := fault(name, spec.get("default")))} == {}


def site(**more: Any) -> Site:
    return Site("inventories/mine", GROUPS, good_hosts(), **more)


NO_RULES = Rules(frozenset(), frozenset())


def test_a_fault_in_group_vars_is_one_line() -> None:
    wrong = {"filator_workers": ("filator_workers is text", "a whole number")}
    (problem,) = check_values(site(misfits={"vps1": wrong, "north": wrong}), NO_RULES)
    assert (problem.what, problem.where) == ("filator_workers is text", "vps1, north")


def test_a_role_is_quoted_with_its_cure() -> None:
    says = "rustfs_archive_checksum is not set; right: sha256:HEX of it; mend: curl -sL it"
    (problem,) = check_role_rules(site(broken_rules={"nas1": [says]}), NO_RULES)
    assert (problem.what, problem.right, problem.mend) == (
        "rustfs_archive_checksum is not set",
        "sha256:HEX of it",
        "curl -sL it",
    )


def test_each_host_has_the_roles_of_its_groups_and_choices() -> None:
    assert roles_of(site(), "nas1") == ["seaweedfs"]
    assert roles_of(site(), "vps1") == ["postgresql", "redis", "filator"]
    assert roles_of(site(), "north") == ["caddy"]


def test_hosts_that_share_names_in_the_vault_are_refused() -> None:
    secret = Secret("vault_filator_s3_access_key", "access_key", 20, 8, per_host=True)
    rules = Rules(frozenset(), frozenset(), (secret,))
    groups = {**GROUPS, "app": ["vps1", "edge-1", "edge_1", "edge-2"]}
    hosts: dict[str, dict[str, Any]] = {host: {} for host in groups["app"]}
    (problem,) = check_host_suffixes(Site("i", groups, hosts), rules)
    assert problem.what == "edge-1 and edge_1 have the same names in the vault, which end in _edge_1"
    shared = {host: {"edge_keys": "shared"} for host in hosts}
    assert check_host_suffixes(Site("i", groups, shared), rules) == []
