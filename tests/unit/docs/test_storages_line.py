"""The example of storages on the page of the file service is one that the service takes."""

from __future__ import annotations

from filator.settings import load_settings
from page_blocks import BLOCKS


def test_the_service_takes_the_example_of_its_page() -> None:
    (block,) = [block for block in BLOCKS if block.text.startswith("STORAGES_CONFIGURATIONS=")]
    name, _, value = block.text.partition("=")
    settings = load_settings(
        {name: value, "FILATOR_DATABASE_URL": "postgresql://a:b@db/c", "FILATOR_REDIS_URL": "redis://cache:6379/0"}
    )
    assert [storage.name for storage in settings.storages] == ["main", "db"]
