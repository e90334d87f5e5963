"""What preflight says about who may use the file service through an edge."""

from __future__ import annotations

import hashlib
import shutil

import pytest
import yaml
from example_site import GROUPS, REPOSITORY
from plays import Play

PREFLIGHT = "playbooks/preflight.yml"
TOKENS = ("verify", "admin", "write", "read")


def only(lines):
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("tokens", [[], [{"name": "verify", "token": "", "scopes": ["read"]}], ...])
def test_a_public_edge_without_tokens_is_refused(faults, tokens):
    line = only(faults(("*", "filator_tokens", tokens)))
    assert "the file service of vps1 has no tokens, and north and south would offer it to everyone" in line
    assert "edge_access: open" in line
    assert "secrets_init.yml" in line


@pytest.mark.parametrize(
    "given",
    [
        ("filator_tokens_file", "/site/tokens"),
        ("filator_environment", {"FILATOR_TOKENS": "me sha256:00 read"}),
        ("filator_environment", {"FILATOR_TOKENS_FILE": "/etc/tokens"}),
    ],
)
def test_tokens_may_come_by_another_way(faults, given):
    assert faults(("*", "filator_tokens", []), ("*", *given)) == []


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "8.8.8.8", "2a00:1450::1"])
def test_a_private_listener_that_the_internet_reaches_is_refused_unless_the_site_says_so(faults, address):
    spoilt = ("vps1", "filator_listen_address", address)
    line = only(faults(spoilt))
    assert f'filator_listen_address of vps1 is "{address}", where the file service asks nobody for a token' in line
    assert "filator_private_access: tokens" in line
    for word in ("tokens", "open"):
        assert faults(spoilt, ("vps1", "filator_private_access", word)) == []
        assert faults(spoilt, ("vps1", "filator_environment", {"FILATOR_PRIVATE_ACCESS": word})) == []


@pytest.mark.parametrize("address", ["10.9.0.2", "100.64.0.7", "fd00::2", "127.0.0.1", "192.168.1.4", "vps.mesh"])
def test_a_private_listener_in_a_private_network_or_by_name_passes(faults, address):
    assert faults(("vps1", "filator_listen_address", address)) == []


def test_a_token_that_can_be_guessed_and_a_name_that_the_service_cannot_read_are_refused(faults):
    entries = [
        {"name": "good", "token": "K" * 40, "scopes": ["read"]},
        {"name": "none", "token": "", "scopes": ["read"]},
        {"name": "ci", "token": "hunter2", "scopes": ["read"]},
        {"name": "joe smith", "token": "L" * 40, "scopes": ["read"]},
    ]
    lines = faults(("*", "filator_tokens", entries))
    assert len(lines) == 2
    assert (
        "the token ci in filator_tokens has 7 characters, which can be guessed; right: 32 random ones or more"
        in lines[0]
    )
    assert 'filator_tokens names a token "joe smith"; right: letters, digits and _.@- only' in lines[1]
    assert "hunter2" not in str(lines)


def test_an_edge_may_be_open_when_the_site_says_so(faults):
    opened = [("*", "filator_tokens", []), ("*", "edge_access", "open"), ("*", "filator_edge_access", "open")]
    assert faults(*opened) == []


def test_nothing_is_asked_where_no_file_service_is(faults):
    lines = faults(("*", "filator_tokens", []), ("*", "app_services", ["qatlasd"]))
    assert not [line for line in lines if "tokens" in line]


@pytest.mark.parametrize("word", ["opne", True, "yes", ""])
def test_an_unknown_word_is_told(faults, word):
    assert f'unknown edge_access "{word}"; right: tokens or open' in only(faults(("*", "edge_access", word)))


def test_one_edge_alone_cannot_be_open(faults):
    line = only(faults(("north", "edge_access", "open")))
    assert "edge_access is open for north and tokens for others; right: one word" in line


@pytest.mark.parametrize(
    ("name", "value"), [("filator_edge_access", "open"), ("filator_environment", {"FILATOR_EDGE_ACCESS": "open"})]
)
def test_only_one_variable_opens_the_edges(faults, name, value):
    line = only(faults(("*", name, value)))
    assert f"{name} opens the edges' socket of vps1, while edge_access is tokens; right: edge_access: open" in line


@pytest.mark.parametrize("access", ["tokens", "open"])
@pytest.mark.parametrize("name", ["edge_sites", "caddy_sites"])
@pytest.mark.parametrize("upstream", ["10.0.0.2:8080", "http://10.0.0.2:8080", "http://10.0.0.2:8080/"])
def test_an_edge_that_passes_by_the_socket_for_edges_is_refused(faults, name, upstream, access):
    sites = [{"name": "mine", "kind": "service", "address": "https://f", "upstreams": ["10.0.0.9:1", upstream]}]
    line = only(faults(("north", name, sites), ("*", "edge_access", access), ("*", "stowage_address", "10.0.0.2")))
    assert f"{name} of north hands requests to {upstream}, the private listener of vps1" in line
    assert "right: 10.0.0.2:8081" in line


def test_loopback_leads_to_an_edges_own_service_only(faults):
    sites = [{"name": "mine", "kind": "service", "address": "https://f", "upstreams": ["127.0.0.1:8080"]}]
    given = [("north", "edge_sites", sites), ("*", "stowage_address", "10.0.0.2")]
    assert faults(*given) == []
    assert "private listener of north" in only(faults(*given, groups={**GROUPS, "app": ["vps1", "north"]}))


def test_other_sites_of_an_edge_are_its_own_business(faults):
    sites = [
        {"name": "object", "kind": "object", "address": "https://s3", "upstreams": ["10.0.0.2:8080"]},
        {"name": "service", "kind": "service", "address": "https://f", "upstreams": ["10.0.0.2:8081"]},
    ]
    assert faults(("*", "edge_sites", sites), ("*", "stowage_address", "10.0.0.2")) == []


# ---- inventories/example with its two public edges -------------------------------------------------------------------


def lines_of(result):
    return [line.strip() for line in result.stdout.splitlines() if "; right: " in line and "; mend: " in line]


def test_the_example_without_tokens_is_refused_before_any_host_is_touched(mine: Play):
    kept = {name: value for name, value in mine.secrets().items() if "filator_token" not in name}
    mine.vault.unlink()
    mine.set("group_vars/all/vault.yml", **kept)
    result = mine.run(PREFLIGHT)
    lines = lines_of(result)
    assert len(lines) == len(TOKENS), lines
    for name, line in zip(TOKENS, lines, strict=True):
        assert f"secret vault_filator_token_{name} is not set" in line
    assert not mine.hosts_were_called
    # In words it may be open.
    opened = mine.run(PREFLIGHT, "--limit", "localhost", "-e", "edge_access=open")
    assert opened.returncode == 0, opened.stdout


def test_an_edge_of_the_example_that_leads_to_the_private_listener_is_refused(mine: Play):
    sites = [
        {
            "name": "old",
            "kind": "service",
            "address": "{{ edge_site_url }}",
            "upstreams": ["{{ edge_app_address }}:8080"],
            "tls": "{{ edge_tls }}",
        }
    ]
    mine.set("host_vars/edge-south.yml", edge_sites=sites)
    line = only(lines_of(mine.run(PREFLIGHT)))
    assert "edge_sites of edge-south hands requests to 10.9.0.2:8080, the private listener of vps1" in line
    assert "right: 10.9.0.2:8081" in line


def test_the_examples_edges_lead_to_the_socket_for_edges(mine: Play):
    show = mine.folder / "sites.yml"
    show.write_text(
        "- {hosts: edge, gather_facts: false, tasks: ["
        "{ansible.builtin.debug: {msg: \"{{ inventory_hostname }}={{ edge_sites[0].upstreams | join(',') }}\"}}]}\n"
    )
    told = mine.run(show, "-e", "ansible_connection=local").stdout
    assert "edge-north=10.9.0.2:8081" in told
    assert "edge-south=10.9.0.2:8081" in told
    told = mine.run(show, "-e", "ansible_connection=local", "-e", "filator_edge_listen_port=9001").stdout
    assert "edge-north=10.9.0.2:9001" in told


def test_the_host_gets_hashes_only(mine: Play):
    """The settings of the example's file service, rendered by the role's own template."""
    role = REPOSITORY / "roles" / "filator"
    # Among the inventory's files the defaults come before the wiring, as they do in the role.
    for kind in ("defaults", "vars"):
        shutil.copy(role / kind / "main.yml", mine.inventory / "group_vars" / "all" / f"00-{kind}.yml")
    env = mine.folder / "env"
    task = {"ansible.builtin.template": {"src": f"{role}/templates/filator.env.j2", "dest": str(env), "mode": "0600"}}
    render = mine.folder / "render.yml"
    render.write_text(yaml.safe_dump([{"hosts": "app", "gather_facts": False, "tasks": [task]}]))
    done = mine.run(render, "-e", "ansible_connection=local", "-e", "ansible_become=false")
    assert done.returncode == 0, done.stdout
    lines = env.read_text()
    for name in TOKENS:
        token = mine.secrets()[f"vault_filator_token_{name}"]
        assert token not in lines
        assert f"{name} sha256:{hashlib.sha256(token.encode()).hexdigest()} " in lines
    assert "FILATOR_LISTEN='10.9.0.2:8080'" in lines
    assert "FILATOR_EDGE_LISTEN='10.9.0.2:8081'" in lines
    assert "FILATOR_EDGE_ACCESS='tokens'" in lines
    assert "FILATOR_PRIVATE_ACCESS" not in lines


def test_an_edge_of_a_site_without_the_file_service_has_no_site_for_it(mine: Play):
    show = mine.folder / "sites.yml"
    names = "{{ inventory_hostname }}={{ edge_sites | map(attribute='name') | join(',') }}"
    task = {"ansible.builtin.debug": {"msg": names}}
    show.write_text(yaml.safe_dump([{"hosts": "edge", "gather_facts": False, "tasks": [task]}]))
    told = mine.run(show, "-e", "ansible_connection=local", "-e", '{"app_services": ["qatlasd"]}').stdout
    assert "edge-north=object" in told
    assert "edge-south=object" in told
