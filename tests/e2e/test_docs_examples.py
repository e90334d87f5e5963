"""The curl and wget lines of docs/filator.md, run as they are written against a deployed site."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOST = "http://files.example.org"
PAGE = (ROOT / "docs" / "filator.md").read_text()
COMMANDS = [line.strip() for line in PAGE.splitlines() if line.startswith(("    curl ", "    wget "))]
LINES = [line for line in COMMANDS if HOST in line]


@pytest.fixture(scope="module")
def terminal(edges, tokens, tmp_path_factory):
    """A folder with the files that the lines name, and settings that make curl and wget trust the edge."""
    # wget cannot be told an address for a name that is in no DNS.
    edge = next((one for one in edges if not one.address), None)
    if edge is None:
        pytest.skip("needs an edge whose name wget can resolve")
    folder = tmp_path_factory.mktemp("examples")
    (folder / "report.pdf").write_bytes(b"%PDF-1.4 first " + os.urandom(5000))
    (folder / "new.pdf").write_bytes(b"%PDF-1.4 second " + os.urandom(5000))
    (folder / ".curlrc").write_text(
        "fail-with-body\nsilent\nshow-error\n" + f'cacert = "{edge.ca_bundle}"\n' * bool(edge.ca_bundle)
    )
    (folder / "wgetrc").write_text("verbose = off\n" + f"ca_certificate = {edge.ca_bundle}\n" * bool(edge.ca_bundle))
    variables = {**os.environ, "TOKEN": tokens["admin"], "CURL_HOME": str(folder), "WGETRC": str(folder / "wgetrc")}

    def run(line):
        done = subprocess.run(
            ["bash", "-c", line.replace(HOST, edge.service_url)],
            # What comes back must not meet what was sent: curl -OJ overwrites nothing.
            cwd=folder if "-F" in line else folder / "got",
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-500:]}\n{done.stderr[-500:]}"
        if done.stdout.startswith("{"):
            answer = json.loads(done.stdout)
            variables.setdefault("TX" if "ctx" in answer else "UUID", answer["uuid"])
        return folder / "got"

    (folder / "got").mkdir()
    return run


def test_the_page_has_lines_to_run():
    assert len([line for line in LINES if line.startswith("curl")]) >= 8
    assert len([line for line in LINES if line.startswith("wget")]) == 2
    # One that names another host would be left out without a word.
    assert LINES == COMMANDS


def test_every_line_works_in_the_order_of_the_page(terminal):
    for line in LINES:
        got = terminal(line)
    sent = (got.parent / "report.pdf").read_bytes()
    # First by curl, then by wget, which numbers what is there.
    assert [(got / name).read_bytes() for name in ("report.pdf", "report.pdf.1")] == [sent, sent]
    assert (got / "copy.pdf").read_bytes() == (got.parent / "new.pdf").read_bytes()
    archives = list(got.glob("attachments_le*.zip"))
    assert len(archives) == 1
    assert archives[0].read_bytes()[:2] == b"PK"
