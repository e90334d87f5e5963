"""The servers of the contract tests, one of each per session."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from servers import Server, rustfs_targets, seaweedfs
from servers import juicefs as start_juicefs
from servers import rustfs as start_rustfs
from sink import Sink, receiving

from stowage.s3.connection import S3Settings


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real SeaweedFS with the safe flags."""
    with seaweedfs(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture(scope="session")
def sink() -> Iterator[Sink]:
    """The webhook that event targets named ``qatlas`` send to."""
    with receiving() as found:
        yield found


@pytest.fixture(scope="session")
def rustfs(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Server]:
    """A real RustFS: a binary to start, or a running one with its root key."""
    if binary := os.environ.get("STOWAGE_RUSTFS_BIN"):
        folder = tmp_path_factory.mktemp("rustfs")
        with start_rustfs(folder, binary, rustfs_targets(folder, sink.port)) as server:
            yield server
        return
    endpoint = os.environ.get("STOWAGE_RUSTFS_ENDPOINT")
    if not endpoint:
        pytest.skip("needs STOWAGE_RUSTFS_BIN, or STOWAGE_RUSTFS_ENDPOINT with STOWAGE_RUSTFS_ROOT_{ACCESS,SECRET}_KEY")
    root = (os.environ["STOWAGE_RUSTFS_ROOT_ACCESS_KEY"], os.environ["STOWAGE_RUSTFS_ROOT_SECRET_KEY"])
    settings = S3Settings(endpoint=endpoint, access_key=root[0], secret_key=root[1])
    yield Server("rustfs", settings, "rustfs", tmp_path_factory.mktemp("rustfs"))


@pytest.fixture(scope="session")
def juicefs(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Server]:
    """The JuiceFS gateway: MinIO's server code."""
    with start_juicefs(tmp_path_factory.mktemp("juicefs"), sink.port) as server:
        yield server


ALL = ["weed", "juicefs", "rustfs"]
KEEPS_VERSIONS = ["weed", "rustfs"]


@pytest.fixture(params=ALL)
def server(request: pytest.FixtureRequest) -> Server:
    """Each server at hand."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=KEEPS_VERSIONS)
def versioned(request: pytest.FixtureRequest) -> Server:
    """Each server that keeps versions."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["juicefs", "rustfs"])
def notifying(request: pytest.FixtureRequest) -> Server:
    """Each server that sends events."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["rustfs"])
def telling(request: pytest.FixtureRequest) -> Server:
    """Each server that lists its event targets with their state."""
    found: Server = request.getfixturevalue(request.param)
    return found
