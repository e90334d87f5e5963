"""The servers of the contract tests, one of each per session."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import pytest
from double_server import Double, running
from servers import Server, free_ports, rustfs_targets, seaweedfs
from servers import juicefs as start_juicefs
from servers import rustfs as start_rustfs
from servers import rustfs_image as start_rustfs_image
from sink import Sink, receiving
from versioned import STORES, open_store, versioned_bucket

from stowage.s3.connection import S3Settings, s3_client


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real SeaweedFS with the safe flags."""
    with seaweedfs(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture(scope="session")
def sink() -> Iterator[Sink]:
    """The webhook that event targets named ``qatlas`` send to."""
    with receiving(int(os.environ.get("STOWAGE_RUSTFS_SINK_PORT", "0"))) as found:
        yield found


@pytest.fixture(scope="session")
def rustfs(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Server]:
    """A real RustFS: a binary or an image to start, or a running one with its root key."""
    if binary := os.environ.get("STOWAGE_RUSTFS_BIN"):
        folder = tmp_path_factory.mktemp("rustfs")
        with start_rustfs(folder, binary, rustfs_targets(folder, sink.port)) as server:
            yield server
        return
    if image := os.environ.get("STOWAGE_RUSTFS_IMAGE"):
        folder = tmp_path_factory.mktemp("rustfs")
        with start_rustfs_image(folder, image, rustfs_targets(folder, sink.port)) as server:
            yield server
        return
    endpoint = os.environ.get("STOWAGE_RUSTFS_ENDPOINT")
    if not endpoint:
        pytest.skip(
            "needs STOWAGE_RUSTFS_BIN, STOWAGE_RUSTFS_IMAGE, "
            "or STOWAGE_RUSTFS_ENDPOINT with STOWAGE_RUSTFS_ROOT_{ACCESS,SECRET}_KEY"
        )
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
    made = Double(weed.settings, targets)
    with running(made) as endpoint:
        settings = dataclasses.replace(weed.settings, endpoint=endpoint)
        yield Server("double", settings, "rustfs", weed.folder, {"access": made.access})


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


@pytest.fixture(params=["juicefs", "double", "rustfs"])
def choosing(request: pytest.FixtureRequest) -> Server:
    """Each server that takes key pairs the caller chose."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest) -> Any:
    """Each store on which pruning and restoring are tried."""
    return open_store(request)


@pytest.fixture(scope="module")
def client(store: Any) -> Any:
    """S3 as the store's administrator; a module may have one of its own."""
    return s3_client(store.settings, pool_size=16)


@pytest.fixture
def bucket(client: Any) -> str:
    """A new bucket with versioning."""
    return versioned_bucket(client)


_SERVERS = ("weed", "juicefs", "double", "rustfs")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One table for ``make contract``: behaviour by server, with passed, failed, or why it was not tried."""
    whole = [one.rstrip("/") for one in terminalreporter.config.args] == ["tests/contract"]
    if not (whole or os.environ.get("STOWAGE_CONTRACT_TABLE")):
        return
    words = {"passed": "passed", "failed": "FAILED", "error": "FAILED", "skipped": "not tried"}
    table: dict[str, dict[str, str]] = {}
    reasons: set[str] = set()
    for outcome, word in words.items():
        for report in terminalreporter.stats.get(outcome, []):
            test, _, parameters = report.nodeid.partition("[")
            server = next((one for one in _SERVERS if one in parameters.rstrip("]").split("-")), None)
            variant = "-".join(one for one in parameters.rstrip("]").split("-") if one and one != server)
            behaviour = test.rpartition("::test_")[2].replace("_", " ") + (f" ({variant})" if variant else "")
            table.setdefault(behaviour, {})[server or "one server"] = word
            if outcome == "skipped" and isinstance(report.longrepr, tuple):
                reasons.add(str(report.longrepr[2]))
    columns = [*_SERVERS, "one server"]
    terminalreporter.section("contract: behaviour by server")
    terminalreporter.write_line("| behaviour | " + " | ".join(columns) + " |")
    terminalreporter.write_line("|---|" + "---|" * len(columns))
    for behaviour, found in sorted(table.items()):
        cells = [found.get(one, "not supported" if "one server" not in found else "") for one in columns[:-1]]
        terminalreporter.write_line(f"| {behaviour} | " + " | ".join([*cells, found.get("one server", "")]) + " |")
    for reason in sorted(reasons):
        terminalreporter.write_line(f"not tried: {reason}")
