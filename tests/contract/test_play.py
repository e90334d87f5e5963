"""The whole of a site's access through ansible-playbook: once, again, and nothing secret in what it prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asset_site import ASSETS, CHANGES, EVENTS, PLAYBOOKS, WITH_KEYS, asset_site
from servers import Server, seaweedfs
from site_play import Site, changed

from stowage.access.connect import connect
from stowage.s3.connection import s3_client


@pytest.fixture(params=["double", "rustfs"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    server: Server = request.getfixturevalue(request.param)
    # Other tests know these users as well; keys whose secrets are gone would stop the play.
    _remove_keys(server)
    yield asset_site(tmp_path, server)
    _remove_keys(server)


def _remove_keys(server: Server) -> None:
    driver = connect(server.driver, server.settings)
    for user in (name for name in WITH_KEYS if driver.user(name) is not None):
        for key in driver.keys_of(user):
            driver.remove_key(key)


def test_one_run_makes_it_and_the_next_changes_nothing(site: Site) -> None:
    first = site.play(PLAYBOOKS, "--diff", "-vvv")
    second = site.play(PLAYBOOKS, "--check", "--diff", "-vvv")
    assert (changed(first) > 0, changed(second)) == (True, 0)
    client = s3_client(site.server.settings)
    assert {*ASSETS, EVENTS} <= {one["Name"] for one in client.list_buckets()["Buckets"]}
    bound = {one: client.get_bucket_notification_configuration(Bucket=one) for one in (*ASSETS, EVENTS)}
    assert [one for one, found in bound.items() if found.get("QueueConfigurations")] == ASSETS
    minted = [value for name, value in site.vault().items() if name.endswith("_secret_key")]
    assert len(minted) == len(WITH_KEYS)
    for secret in (str(site.server.settings.secret_key), *minted):
        assert secret not in first + second


def test_check_mode_of_a_fresh_site_predicts_everything_without_a_server(tmp_path: Path) -> None:
    with seaweedfs(tmp_path / "gone") as server:
        nowhere = Server("gone", server.settings, "rustfs", tmp_path)
    assert changed(asset_site(tmp_path, nowhere).play(PLAYBOOKS, "--check", "--diff")) == CHANGES
