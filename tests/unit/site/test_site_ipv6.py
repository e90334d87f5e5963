"""IPv6 addresses: brackets where a port follows, none where an address stands alone."""

from __future__ import annotations

import base64
import json
import re

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from example_site import REPOSITORY

from stowage.site.names import load_mapping

ASKED = {
    "endpoint": "object_store_endpoint",
    "database": "filator_database_url",
    "redis": "filator_redis_url",
    "listen": "filator_listen_address",
    "postgresql": "postgresql_listen_addresses",
    "clients": "postgresql_databases[0].clients",
    "bind": "redis_bind_addresses",
    "fluent": "fluent_bit_s3_endpoint",
}


@pytest.mark.parametrize(("vps", "in_url"), [("fd00::2", "[fd00::2]"), ("10.9.0.2", "10.9.0.2")])
def test_the_wiring_brackets_addresses_in_urls_only(mine, vps, in_url):
    hosts = mine.inventory / "hosts.yml"
    hosts.write_text(hosts.read_text().replace("10.9.0.1", '"fd00::1"').replace("10.9.0.2", f'"{vps}"'))
    question = (
        "STOWAGE:{{ {"
        + ", ".join(f"'{name}': {value}" for name, value in ASKED.items())
        + "} | to_json | b64encode }}:"
    )
    done = mine.command(
        "ansible", "vps1", "-i", str(mine.inventory), "-m", "debug", "-a", json.dumps({"msg": question})
    )
    told = json.loads(base64.b64decode(re.search(r"STOWAGE:(\S+?):", done.stdout).group(1)))
    assert told["endpoint"] == "http://[fd00::1]:9000"
    assert f"@{in_url}:5432/" in told["database"]
    assert f"@{in_url}:6379/" in told["redis"]
    assert told["fluent"] == f"http://{in_url}:9000"
    assert told["listen"] == vps
    assert vps in told["postgresql"]
    assert vps in told["clients"]
    assert vps in told["bind"]


def test_no_role_joins_an_address_and_a_port_by_itself():
    """A listen address goes before a port as the role's _ROLE_url_address, which knows of brackets."""
    bare = re.compile(r"\w+_(listen_)?address( \}\}| ~ '):")
    files = [
        path
        for folder in ("tasks", "handlers", "templates", "vars")
        for path in REPOSITORY.glob(f"roles/*/{folder}/*")
        if path.is_file()
    ]
    wrong = {
        f"{path.relative_to(REPOSITORY)}: {found.group()}"
        for path in files
        for found in bare.finditer(path.read_text())
        if "_url_" not in found.group()
    }
    assert wrong == set()


@pytest.mark.parametrize(
    ("address", "in_url"), [("fd00::2", "[fd00::2]"), ("[::1]", "[::1]"), ("10.0.0.1", "10.0.0.1"), ("nas", "nas")]
)
@pytest.mark.parametrize("role", ["filator", "qatlasd", "rustfs", "seaweedfs"])
def test_each_role_brackets_its_own_address(role, address, in_url):
    defined = load_mapping(REPOSITORY / "roles" / role / "vars" / "main.yml")[f"_{role}_url_address"]
    variables = {f"{role}_listen_address": address}
    assert Templar(loader=DataLoader(), variables=variables).template(trust_as_template(defined)) == in_url
