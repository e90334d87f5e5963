"""The pages lead somewhere: the index names each of them, and what they point to is there."""

from __future__ import annotations

import re

import pytest
from repository import ROOT

from stowage.site.role_page import variables_table

PAGES = sorted((ROOT / "docs").glob("*.md"))


def links(page):
    return [link for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page):
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_playbook_that_a_page_names_is_there(page):
    named = set(re.findall(r"\bplaybooks/[\w/]+\.yml\b", page.read_text(encoding="utf-8")))
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


def test_a_role_s_table_shows_values_as_code():
    about = {"description": "Who, V(open) or C(a b); see facts (1).", "choices": ["", "open"]}
    table = variables_table({"argument_specs": {"main": {"options": {"x": about}}}})
    assert '| Who, `open` or `a b`; see facts (1). One of `""`, `open`. |' in table


def test_the_index_names_every_page():
    index = ROOT / "docs" / "README.md"
    assert {page.name for page in PAGES} - set(links(index)) - {index.name} == set()
