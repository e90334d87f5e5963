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


@pytest.fixture(params=["weed"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each server at hand."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["weed"])
def versioned(request: pytest.FixtureRequest) -> Server:
    """Each server that keeps versions."""
    found: Server = request.getfixturevalue(request.param)
    return found
