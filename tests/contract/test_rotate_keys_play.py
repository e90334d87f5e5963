"""playbooks/ops/rotate_keys.yml, run for real on the controller's side, against a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Server
from site_play import Site, changed

from stowage.access.connect import connect
from stowage.access.keys import signs
from stowage.access.model import Credentials

BUCKET = "rotated"
NAMES = {"vault_access_key": "vault_rotated_access_key", "vault_secret_key": "vault_rotated_secret_key"}


def rotate(site: Site) -> str:
    return site.play(["ops/rotate_keys"], "-e", "rotate=keys", "--skip-tags", "verify", "-vvv")


def pair(site: Site) -> tuple[str, str]:
    stored = site.vault()
    return stored[NAMES["vault_access_key"]], stored[NAMES["vault_secret_key"]]


def keys(site: Site) -> list[str]:
    return [key.access_key_id for key in connect(site.server.driver, site.server.settings).keys_of("rotated")]


def opens(site: Site, given: tuple[str, str]) -> bool:
    return signs(site.server.settings, Credentials(*given))


@pytest.fixture
def site(tmp_path: Path, weed: Server) -> Iterator[Site]:
    """Of no host but the controller: nothing is there to be given the new keys."""
    made = Site(
        tmp_path,
        weed,
        {},
        object_store_buckets=[{"name": BUCKET, "versioning": "enabled"}],
        object_store_policies=[{"name": "rotated-rw", "template": "assets-rw", "buckets": [BUCKET]}],
        object_store_users=[{"name": "rotated", "policies": ["rotated-rw"]}],
        object_store_keys=[{"user": "rotated", **NAMES}],
    )
    made.play(["access"])
    yield made
    driver = connect(weed.driver, weed.settings)
    for key in driver.keys_of("rotated"):
        driver.remove_key(key)


def test_the_new_key_works_and_the_old_one_is_gone(site: Site) -> None:
    old = pair(site)
    assert opens(site, old)
    output = rotate(site)
    new = pair(site)
    assert new[0] != old[0]
    assert keys(site) == [new[0]]
    assert opens(site, new)
    assert not opens(site, old)
    assert new[1] not in output
    assert changed(site.play(["access"])) == 0


def test_a_key_that_an_interrupted_rotation_left_goes_and_no_third_one_is_made(site: Site) -> None:
    kept = pair(site)
    connect(site.server.driver, site.server.settings).create_key("rotated", None, "left over")
    assert len(keys(site)) == 2
    rotate(site)
    assert keys(site) == [kept[0]]
    assert pair(site) == kept
