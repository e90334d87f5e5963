"""The servers of the contract tests, one of each per session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers import Server, seaweedfs


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real SeaweedFS with the safe flags."""
    with seaweedfs(tmp_path_factory.mktemp("weed")) as server:
        yield server
