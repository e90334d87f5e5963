"""A role says once what it takes: defaults, argument specs, README and wiring agree."""

from __future__ import annotations

import re

import pytest
from filator.form import FORM_OVERHEAD
from repository import PUBLIC, ROOT, load

from stowage.site.names import known_names
from stowage.site.pages import made_pages
from stowage.site.role_page import options_of

each_role = pytest.mark.parametrize("role", PUBLIC, ids=lambda role: role.name)


def options(role):
    return options_of(load(role / "meta" / "argument_specs.yml"))


@each_role
def test_every_default_is_in_the_specs_with_the_same_value(role):
    defaults, specs = load(role / "defaults" / "main.yml"), options(role)
    assert set(defaults) <= set(specs)
    assert {name: specs[name].get("default") for name in defaults} == defaults


@each_role
def test_every_option_has_a_default_or_is_required(role):
    defaults = load(role / "defaults" / "main.yml")
    left = {name: option for name, option in options(role).items() if name not in defaults}
    assert [name for name, option in left.items() if not option.get("required")] == []
    assert [name for name, option in left.items() if "default" in option] == []


@each_role
def test_every_variable_begins_with_the_name_of_its_role(role):
    names = set(options(role)) | set(load(role / "defaults" / "main.yml"))
    assert [name for name in names if not name.startswith(f"{role.name}_")] == []
    private = load(role / "vars" / "main.yml")
    assert [name for name in private if not name.startswith(f"_{role.name}_")] == []


@each_role
def test_every_variable_is_described_in_the_specs_and_beside_its_default(role):
    def undescribed(found, path=""):
        for name, option in found.items():
            if not option.get("description"):
                yield f"{path}{name}"
            yield from undescribed(option.get("options") or {}, f"{path}{name}.")

    assert list(undescribed(options(role))) == []
    blocks = (role / "defaults" / "main.yml").read_text(encoding="utf-8").split("\n\n")
    bare = [block for block in blocks if re.search(r"^\w", block, re.MULTILINE) and "#" not in block]
    assert bare == []


def test_an_edge_takes_the_largest_file_of_the_service_with_its_form():
    caddy, nginx, filator = (
        load(ROOT / "roles" / name / "defaults" / "main.yml") for name in ("caddy", "nginx", "filator")
    )
    taken = [caddy["caddy_service_max_body"].removesuffix("GiB"), nginx["nginx_service_max_body"].removesuffix("g")]
    assert all(int(size) << 30 >= filator["filator_max_body_bytes"] + FORM_OVERHEAD for size in taken)


@each_role
def test_a_secret_has_no_default(role):
    secret = re.compile(r"(password|secret_key|access_key|_token)$")
    assert [name for name in load(role / "defaults" / "main.yml") if secret.search(name)] == []


def test_every_page_made_from_data_is_up_to_date():
    stale = [
        path.relative_to(ROOT) for path, text in made_pages(ROOT) if not path.is_file() or path.read_text() != text
    ]
    assert stale == [], "mend: .venv/bin/python scripts/role-readmes"


def test_the_wiring_sets_only_what_a_role_takes_or_the_site_describes():
    site = load(ROOT / "roles" / "preflight" / "vars" / "main.yml")["_preflight_site_variables"]
    known, _ = known_names(ROOT / "roles")
    assert sorted(set(load(ROOT / "inventories" / "wiring.yml")) - known - set(site)) == []


@pytest.mark.parametrize("site", ["lab", "single", "example"])
def test_every_inventory_links_the_one_wiring(site):
    link = ROOT / "inventories" / site / "group_vars" / "all" / "00-wiring.yml"
    assert link.is_symlink()
    assert link.resolve() == ROOT / "inventories" / "wiring.yml"
