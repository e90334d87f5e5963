"""A deployed site, as `scripts/show` sees it. STOWAGE_SITE names the inventory."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class PublicEdge:
    """An edge, reached with curl as a client would."""

    name: str
    service_url: str
    s3_url: str
    ca_bundle: str
    address: str
    token: str = ""

    def curl(self, *arguments, expect=None) -> Answer:
        """Run curl; requests to the file service carry the token."""
        # With the slash: the store may be another port of the same address, and would take the header for a signature.
        if self.token and any(str(argument).startswith(f"{self.service_url}/") for argument in arguments):
            arguments = ("-H", f"Authorization: Bearer {self.token}", *arguments)
        command = ["curl", "-sS", "--max-time", "60", "-D", "/dev/stderr", "-o", "-"]
        if self.ca_bundle:
            command += ["--cacert", self.ca_bundle]
        for url in (self.service_url, self.s3_url):
            parts = urlsplit(url)
            if self.address:
                command += ["--resolve", f"{parts.hostname}:{parts.port or 443}:{self.address}"]
        done = subprocess.run([*command, *arguments], capture_output=True, check=False)
        assert done.returncode == 0, f"curl ended with {done.returncode}: {done.stderr.decode()[-500:]}"
        # With 100 Continue and redirects there are several header blocks; the last one is the answer's.
        blocks = [block for block in done.stderr.decode().replace("\r", "").split("\n\n") if block.startswith("HTTP/")]
        lines = blocks[-1].splitlines()
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines[1:])}
        answer = Answer(int(lines[0].split()[1]), headers, done.stdout)
        if expect is not None:
            assert answer.status == expect, f"{answer.status}: {answer.body[:300]!r}"
        return answer

    def upload(self, path, *options) -> dict:
        answer = self.curl("-F", f"body=@{path}", *options, f"{self.service_url}/attachments", expect=201)
        return json.loads(answer.body)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    inventory = os.environ.get("STOWAGE_SITE")
    if not inventory:
        pytest.skip("needs a deployed site: make up, then STOWAGE_SITE=inventories/lab (make e2e)")
    inventory = str(Path(inventory).resolve())
    out = tmp_path_factory.mktemp("site") / "site.json"
    playbook = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [playbook, "-i", inventory, "playbooks/show.yml", "-e", f"show_file={out}"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())


@pytest.fixture(scope="session")
def tokens(site):
    """The site's own tokens by their name, from its vault."""
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-vault"), "view", site["vault"]],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    prefix = "vault_filator_token_"
    return {
        name.removeprefix(prefix): value
        for name, value in yaml.safe_load(done.stdout).items()
        if name.startswith(prefix)
    }


@pytest.fixture(scope="session")
def edges(site, tokens):
    names = set(PublicEdge.__dataclass_fields__) - {"token"}
    return [PublicEdge(**{name: edge[name] for name in names}, token=tokens["write"]) for edge in site["edges"]]


@pytest.fixture(scope="session")
def first(edges):
    return edges[0]


@pytest.fixture(scope="session")
def last(edges):
    return edges[-1]


@pytest.fixture
def a_file(tmp_path):
    path = tmp_path / "report 1.bin"
    path.write_bytes(os.urandom(3 * 1024 * 1024 + 17))
    return path
