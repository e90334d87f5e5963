from __future__ import annotations

import string

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stowage.errors import BadInputError
from stowage.site.vault import KINDS, generate_secret, plan_vault, stored_names

OLD = """\
# keep me
---
vault_a: "one"   # and me
vault_list:
  - {x: 1}
vault_empty:
vault_block: |
  line 1
  line 2
vault_tagged: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  6162
vault_z: last"""

names = st.from_regex(r"vault_[a-z][a-z_0-9]{0,8}", fullmatch=True)
values = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1).filter(str.strip)


@pytest.mark.parametrize("kind", KINDS)
def test_a_generated_secret_needs_no_quoting_anywhere(kind):
    made = {generate_secret(kind, 40) for _ in range(20)}
    assert len(made) == 20
    assert all(len(secret) == 40 and set(secret) <= set(string.ascii_letters + string.digits) for secret in made)


@pytest.mark.parametrize(("kind", "length"), [("passwort", 32), ("password", 7)])
def test_a_weak_or_unknown_secret_is_refused(kind, length):
    with pytest.raises(BadInputError):
        generate_secret(kind, length)


def test_a_new_file_says_how_to_change_it():
    plan = plan_vault("", {"vault_a": "x"})
    assert plan.text.startswith("# ")
    assert "ansible-vault edit" in plan.text
    assert yaml.safe_load(plan.text) == {"vault_a": "x"}


def test_an_existing_value_is_never_overwritten():
    plan = plan_vault(OLD, {"vault_a": "two"})
    assert (plan.kept, plan.changed, plan.text) == (("vault_a",), False, OLD)


def test_an_existing_value_gives_way_when_it_is_named_and_nothing_else_moves():
    plan = plan_vault(OLD, {"vault_a": "two"}, replace=["vault_a"])
    assert plan.replaced == ("vault_a",)
    assert plan.text == OLD.replace('vault_a: "one"', 'vault_a: "two"')


@pytest.mark.parametrize("name", ["vault_block", "vault_tagged", "vault_list", "vault_z"])
def test_a_value_of_several_lines_is_replaced_whole(name):
    before = stored_names(OLD)
    plan = plan_vault(OLD, {name: "new"}, replace=[name])
    assert stored_names(plan.text) == before
    assert "line 2" not in plan.text or name != "vault_block"


def test_an_empty_value_counts_as_missing():
    plan = plan_vault(OLD, {"vault_empty": "now", "vault_new": "too"})
    assert plan.added == ("vault_empty", "vault_new")
    assert stored_names(plan.text)["vault_empty"]
    assert plan.text.startswith("# keep me\n---\n")


def test_braces_in_a_value_are_not_taken_for_a_template():
    assert 'vault_a: !unsafe "{{ x }}"' in plan_vault("", {"vault_a": "{{ x }}"}).text


@pytest.mark.parametrize("text", ["- a\n", "{a: b}\n", "just text\n", "a: [\n", "a: b\nsops:\n  mac: x\n"])
def test_a_file_that_is_no_plain_mapping_is_refused(text):
    with pytest.raises(BadInputError):
        plan_vault(text, {"vault_a": "x"})


def test_a_broken_file_is_refused_without_quoting_it():
    with pytest.raises(BadInputError) as caught:
        plan_vault('vault_a: "geheim\nvault_b: x\n', {"vault_c": "x"})
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


@settings(deadline=None)
@given(st.dictionaries(names, values | st.none()), st.dictionaries(names, values), st.sets(names))
def test_any_change_keeps_all_other_entries(old, wanted, replace):
    text = yaml.safe_dump(old, allow_unicode=True) if old else ""
    plan = plan_vault(text, wanted, replace)

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
    after = yaml.load(plan.text, Loader=Loader) or {}
    for name in old.keys() - wanted.keys():
        assert after[name] == old[name]
    for name, value in wanted.items():
        stays = old.get(name) and name not in replace
        assert after[name] == (old[name] if stays else value)
    assert set(plan.added) | set(plan.replaced) | set(plan.kept) == set(wanted)
