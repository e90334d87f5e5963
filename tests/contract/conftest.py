"""The servers of the contract tests, one of each per session."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

import pytest
from double_server import Double, running
from servers import Server, free_ports, rustfs_targets, seaweedfs
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


@pytest.fixture(scope="session")
def double(weed: Server, sink: Sink) -> Iterator[Server]:
    """The RustFS double over the real SeaweedFS."""
    targets = {"qatlas": f"http://127.0.0.1:{sink.port}/events", "dead": f"http://127.0.0.1:{free_ports(1)[0]}/"}
    with running(Double(weed.settings, targets)) as endpoint:
        yield Server("double", dataclasses.replace(weed.settings, endpoint=endpoint), "rustfs", weed.folder)


ALL = ["weed", "juicefs", "double", "rustfs"]
KEEPS_VERSIONS = ["weed", "double", "rustfs"]


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


@pytest.fixture(params=["juicefs", "double", "rustfs"])
def notifying(request: pytest.FixtureRequest) -> Server:
    """Each server that sends events."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["double", "rustfs"])
def telling(request: pytest.FixtureRequest) -> Server:
    """Each server that lists its event targets with their state."""
    found: Server = request.getfixturevalue(request.param)
    return found
