from __future__ import annotations

from pathlib import Path

import pytest

from stowage.errors import BadInputError
from stowage.site.store_page import store_page
from stowage.site.stores import find_store, load_stores
from stowage.site.urls import endpoint_fault

STORES = load_stores().stores.values()


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)
def test_every_pattern_gives_an_address_that_preflight_lets_pass(store):
    assert endpoint_fault(store.endpoint.format(host="nas1", region="eu-1", account="abc")) is None


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)
def test_only_a_store_with_a_driver_lets_us_choose_keys(store):
    assert store.access != "none" or not store.chosen_keys


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)
def test_every_store_is_found_by_the_words_of_its_row(store):
    assert find_store(*((store.name,) if store.deployed else ("external", store.name))) is store


def test_a_preset_given_as_provider_is_answered_with_the_two_lines_to_write():
    with pytest.raises(BadInputError) as caught:
        find_store("aws")
    assert caught.value.hint == "object_store_provider: external and object_store_preset: aws"


def test_external_without_preset_lists_the_presets():
    with pytest.raises(BadInputError) as caught:
        find_store("external")
    assert "aws, minio" in str(caught.value)


def test_the_page_on_stores_is_the_one_made_from_the_table():
    page = Path(__file__).parents[3] / "docs" / "stores.md"
    assert page.read_text(encoding="utf-8") == store_page(load_stores()), "make it anew: scripts/role-readmes"
