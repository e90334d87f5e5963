"""playbooks/ops/rotate_keys.yml, run for real on the controller's side, against a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servers import Server
from site_play import Site, changed

from stowage import errors
from stowage.access.connect import connect
from stowage.access.driver_iam import IamDriver
from stowage.access.keys import signs
from stowage.access.model import AccessKey, Credentials
from stowage.access.rotation_site import SiteKey, SiteRotation
from stowage.s3.connection import iam_client

BUCKET = "rotated"
NAMES = {"vault_access_key": "vault_rotated_access_key", "vault_secret_key": "vault_rotated_secret_key"}
AT_ONCE = ("-e", "rotate_now=true")


def rotate(site: Site, *more: str) -> str:
    return site.play(["ops/rotate_keys"], "-e", "rotate=keys", "--skip-tags", "verify", "-vvv", *more)


def pair(site: Site) -> tuple[str, str]:
    stored = site.vault()
    return stored[NAMES["vault_access_key"]], stored[NAMES["vault_secret_key"]]


def keys(site: Site) -> set[str]:
    return {key.access_key_id for key in connect(site.server.driver, site.server.settings).keys_of("rotated")}


def opens(site: Site, given: tuple[str, str]) -> bool:
    return signs(site.server.settings, Credentials(*given))


def key_made_with(site: Site, leaked: tuple[str, str]) -> tuple[str, str]:
    """What a thief does: SeaweedFS lets any key make further ones of its own user."""
    made = iam_client(site.server.settings.with_key(*leaked)).create_access_key()["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]


def site_of(folder: Path, weed: Server, **more: object) -> Site:
    """Of no host but the controller: nothing is there to be given the new keys."""
    return Site(
        folder,
        weed,
        {},
        object_store_buckets=[{"name": BUCKET, "versioning": "enabled"}],
        object_store_policies=[{"name": "rotated-rw", "template": "assets-rw", "buckets": [BUCKET]}],
        object_store_users=[{"name": "rotated", "policies": ["rotated-rw"]}],
        stowage_state_dir=str(folder / "state"),
        **more,
    )


@pytest.fixture
def site(tmp_path: Path, weed: Server) -> Iterator[Site]:
    """The key signs no links."""
    yield from playing(site_of(tmp_path, weed, object_store_keys=[{"user": "rotated", **NAMES, "links": False}]))


@pytest.fixture
def linked(tmp_path: Path, weed: Server) -> Iterator[Site]:
    """The key signs links that are good for an hour."""
    keys = [{"user": "rotated", **NAMES}]
    yield from playing(site_of(tmp_path, weed, object_store_keys=keys, object_store_link_seconds=3600))


def playing(made: Site) -> Iterator[Site]:
    made.play(["access"])
    yield made
    driver = connect(made.server.driver, made.server.settings)
    for key in driver.keys_of("rotated"):
        driver.remove_key(key)


def test_the_new_key_works_and_the_old_one_is_gone(site: Site) -> None:
    old = pair(site)
    assert opens(site, old)
    output = rotate(site)
    new = pair(site)
    assert new[0] != old[0]
    assert keys(site) == {new[0]}
    assert opens(site, new)
    assert not opens(site, old)
    assert new[1] not in output
    assert changed(site.play(["access"])) == 0


def test_a_key_that_was_left_lying_goes_with_the_old_one(site: Site) -> None:
    old = pair(site)
    connect(site.server.driver, site.server.settings).create_key("rotated", None, "left over")
    assert len(keys(site)) == 2
    rotate(site)
    assert keys(site) == {pair(site)[0]}
    assert pair(site) != old


def test_a_leaked_key_does_not_survive_its_rotation_by_a_key_that_it_made(site: Site) -> None:
    leaked = pair(site)
    thief = key_made_with(site, leaked)
    rotate(site)
    assert pair(site)[0] not in (leaked[0], thief[0])
    assert keys(site) == {pair(site)[0]}
    assert not opens(site, leaked)
    assert not opens(site, thief)
    assert opens(site, pair(site))


def test_links_that_the_old_key_signed_live_until_their_end(linked: Site) -> None:
    old = pair(linked)
    thief = key_made_with(linked, old)
    output = rotate(linked)
    assert opens(linked, old)
    assert not opens(linked, thief)
    assert keys(linked) == {old[0], pair(linked)[0]}
    assert f"the old key {old[0]} lives until " in output
    # Again, as after an interruption: no third key, and the old one goes on.
    new = pair(linked)
    rotate(linked)
    assert (pair(linked), keys(linked)) == (new, {old[0], new[0]})
    refused = linked.failing(["ops/retire_keys"])
    assert f"the old key {old[0]} lives until " in refused
    assert "rotate_now=true" in refused
    assert keys(linked) == {old[0], new[0]}


def test_an_old_key_is_removed_once_its_links_have_died(linked: Site, tmp_path: Path) -> None:
    old = pair(linked)
    rotate(linked)
    record = tmp_path / "state" / "rotation.json"
    told = json.loads(record.read_text())
    told["users"]["rotated"]["switched"] = (datetime.now(UTC) - timedelta(seconds=3601)).isoformat()
    record.write_text(json.dumps(told))
    linked.play(["ops/retire_keys"])
    assert keys(linked) == {pair(linked)[0]}
    assert not opens(linked, old)


def test_a_leaked_key_is_gone_at_once_and_its_links_with_it(linked: Site) -> None:
    leaked = pair(linked)
    rotate(linked)
    between = pair(linked)
    rotate(linked, *AT_ONCE)
    assert keys(linked) == {pair(linked)[0]}
    assert not opens(linked, leaked)
    assert not opens(linked, between)


class Interrupted(IamDriver):
    """The real driver; while keys are turned off, somebody acts."""

    def __init__(self, server: Server, act: object) -> None:
        super().__init__(server.settings)
        self.act = act

    def set_key_enabled(self, key: AccessKey, enabled: bool, secret: str | None) -> None:
        """First the other one, then this."""
        self.act(key)  # type: ignore[operator]
        super().set_key_enabled(key, enabled, secret)


def retiring(site: Site, tmp_path: Path, act: object) -> SiteRotation:
    settings = site.server.settings
    return SiteRotation(Interrupted(site.server, act), lambda one: signs(settings, one), tmp_path / "record.json")


def test_a_key_that_is_made_while_the_leaked_one_is_removed_goes_too(site: Site, tmp_path: Path) -> None:
    mine = connect("iam", site.server.settings).create_key("rotated", None, "")
    leaked = pair(site)
    made: list[tuple[str, str]] = []

    def thief(key: AccessKey) -> None:
        if not made:
            made.append(key_made_with(site, leaked))

    retiring(site, tmp_path, thief).retire(SiteKey("rotated", mine))
    assert keys(site) == {mine.access_key_id}
    assert not opens(site, made[0])


def test_a_rotation_fails_while_keys_come_back_as_fast_as_they_go(site: Site, tmp_path: Path) -> None:
    mine = Credentials(*pair(site))
    root = connect("iam", site.server.settings)
    root.create_key("rotated", None, "")

    def endlessly(key: AccessKey) -> None:
        root.create_key("rotated", None, "")

    with pytest.raises(errors.ConflictError, match="still there after"):
        retiring(site, tmp_path, endlessly).retire(SiteKey("rotated", mine))
    assert opens(site, pair(site))


def test_nothing_is_removed_while_the_vaults_key_does_not_work(site: Site, tmp_path: Path) -> None:
    before = keys(site)
    wrong = SiteKey("rotated", Credentials("NOTTHERE", "s" * 20))
    with pytest.raises(errors.ConflictError, match="so no other one is taken away"):
        retiring(site, tmp_path, lambda key: None).retire(wrong)
    assert keys(site) == before


def test_verify_names_a_key_that_the_vault_does_not_know(site: Site) -> None:
    thief = key_made_with(site, pair(site))
    said = site.failing(["verify"])
    assert f"key {thief[0]} works and is not the vault's" in said
    assert "rotate_now=true" in said
