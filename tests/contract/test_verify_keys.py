"""playbooks/verify.yml --tags keys, run for real: every key of the site on every bucket, its own and foreign ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers import seaweedfs
from site_play import GROUPS, Site

from stowage.access.connect import connect

ITS_BUCKETS = {
    "filator": {"verified"},
    "filator-north.edge": {"verified"},
    "qatlasd": {"qatlas-pdf", "qatlas-md", "qatlas-images"},
    "qatlasd-north.edge": {"qatlas-pdf", "qatlas-md", "qatlas-images"},
    "pruner": {"verified"},
    "restorer": {"verified"},
    "events-writer": {"s3-events"},
    "events-reader": {"s3-events"},
}
VERIFY = ("--tags", "keys")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two app hosts with both programs each, and the keys of the trace."""
    folder = tmp_path_factory.mktemp("verified")
    (folder / "weed").mkdir()
    with seaweedfs(folder / "weed") as server:
        made = Site(
            folder,
            server,
            {**GROUPS, "app": ["vps1", "north.edge"]},
            object_store_filator_bucket="verified",
            app_services=["filator", "qatlasd"],
            object_store_trace=True,
            stowage_state_dir=str(folder / "state"),
        )
        made.play(["access"])
        yield made


def users_of(site: Site) -> set[str]:
    driver = connect(site.server.driver, site.server.settings)
    return {name for name in driver.users() if driver.keys_of(name) and name in ITS_BUCKETS}


def test_each_key_is_tried_on_each_of_its_buckets_and_may_do_what_its_policies_say(site: Site) -> None:
    said = " ".join(site.play(["verify"], *VERIFY, "-vv").split())
    assert users_of(site) == set(ITS_BUCKETS)
    for user, buckets in ITS_BUCKETS.items():
        for bucket in buckets:
            # SeaweedFS's own weakness is told of each, which shows that each was tried.
            assert f"key of user {user} on {bucket}" in said.partition("every key do CreateAccessKey")[2]


@pytest.mark.parametrize(
    ("user", "policy", "fault"),
    [
        ("pruner", "filator-assets-rw", "key of user pruner on verified: GetObject must be refused, is allowed"),
        ("restorer", "filator-pruner", "key of user restorer on verified: DeleteObjectVersion must be refused"),
        ("events-writer", "filator-assets-rw", "OtherBucketGetObject must be refused, is allowed"),
        ("events-reader", "events-rw", "key of user events-reader on s3-events: PutObject must be refused"),
        ("qatlasd", "filator-restorer", "OtherBucketPutObject must be refused, is allowed"),
    ],
)
def test_a_key_that_may_do_more_than_it_should_is_named(site: Site, user: str, policy: str, fault: str) -> None:
    driver = connect(site.server.driver, site.server.settings)
    driver.attach(user, frozenset({policy}))
    try:
        assert fault in site.failing(["verify"], *VERIFY)
    finally:
        driver.detach(user, frozenset({policy}))
