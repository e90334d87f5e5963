from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from stowage.errors import BadInputError
from stowage.site.store_page import store_page
from stowage.site.stores import find_store, load_stores
from stowage.site.urls import endpoint_fault

STORES = load_stores().stores.values()


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)
def test_every_pattern_gives_an_address_that_preflight_lets_pass(store):
    assert endpoint_fault(store.endpoint.format(host="nas1", region="eu-1", account="abc")) is None


# The stores that the project promises a preset for, each with an address as its provider writes it.
PROMISED = {
    "aws": ("eu-central-1", "https://s3.eu-central-1.amazonaws.com"),
    "minio": ("us-east-1", "http://nas1:9000"),
    "ceph": ("default", "http://nas1:7480"),
    "r2": ("auto", "https://0123abcd.r2.cloudflarestorage.com"),
    "b2": ("us-west-004", "https://s3.us-west-004.backblazeb2.com"),
    "wasabi": ("eu-central-1", "https://s3.eu-central-1.wasabisys.com"),
    "spaces": ("nyc3", "https://nyc3.digitaloceanspaces.com"),
    "alibaba": ("cn-hangzhou", "https://s3.oss-cn-hangzhou.aliyuncs.com"),
    "tencent": ("ap-guangzhou", "https://cos.ap-guangzhou.myqcloud.com"),
    "huawei": ("cn-north-4", "https://obs.cn-north-4.myhuaweicloud.com"),
    "s3proxy": ("us-east-1", "http://nas1:8080"),
}


@pytest.mark.parametrize("name", PROMISED)
def test_the_pattern_of_a_promised_store_gives_its_providers_address(name):
    region, address = PROMISED[name]
    assert find_store("external", name).endpoint.format(host="nas1", region=region, account="0123abcd") == address


def test_every_preset_is_promised_and_the_other_way_round():
    assert set(PROMISED) == set(load_stores().presets())


def test_the_pattern_of_aws_is_the_one_that_boto3_knows():
    client = boto3.client("s3", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="s")
    assert client.meta.endpoint_url == PROMISED["aws"][1]


@pytest.mark.parametrize("word", ["azure", "gcs", "webdav", "nfs", "smb", "ftp"])
def test_what_cannot_carry_the_service_is_refused_with_the_way_round(word):
    with pytest.raises(BadInputError) as caught:
        find_store(word)
    assert "S3Proxy" in (caught.value.hint or "")


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
