"""Nothing but inventory lies in an inventory's folder: Ansible would run it, or show its lines as host names."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_site import REPOSITORY
from plays import Play

PREFLIGHT = "playbooks/preflight.yml"
STATE = "/home/ada/.local/state/stowage/mine"
KEY = "AKIDTHATMUSTNOTSHOW0"


def only(lines):
    assert len(lines) == 1, lines
    return lines[0]


def test_hosts_files_are_inventory(faults):
    files = dict.fromkeys(["hosts.yml", "more.ini", "hosts", "cloud/aws_ec2.yml", "a.json", "b.toml"], False)
    assert faults(inventory_files=files) == []


def test_the_old_folder_of_a_nas_is_named_with_what_removes_it_and_where_the_page_on_its_keys_is(faults):
    files = {"hosts.yml": False, "nas/nas1/prepare.sh": True, "nas/nas1/keys/secret_key": False}
    line = only(faults(("*", "stowage_state_dir", STATE), inventory_files=files))
    assert line.startswith("inventories/mine/nas: keys of the store lie inside the inventory")
    assert f"right: {STATE}/nas" in line
    assert "mend: rm -r inventories/mine/nas, then new keys: docs/nas.md, Keys that lay inside the inventory" in line
    assert "## Keys that lay inside the inventory" in (REPOSITORY / "docs/nas.md").read_text()


def test_the_old_folder_of_certificates_is_named_with_what_moves_it(faults):
    line = only(faults(("*", "stowage_state_dir", STATE), inventory_files={"authorities/north.crt": False}))
    assert f"mend: mkdir -p {STATE} && mv inventories/mine/authorities {STATE}/authorities" in line


@pytest.mark.parametrize(("path", "executable"), [("ca.pem", False), ("deep/a.crt", False), ("made.yml", True)])
def test_anything_else_is_refused_by_its_name(faults, path, executable):
    line = only(faults(inventory_files={"hosts.yml": False, path: executable}))
    assert path in line
    assert "right: hosts files" in line
    assert f"mv inventories/mine/{path} " in line


@pytest.mark.parametrize(
    "name", ["stowage_state_dir", "stowage_authorities_dir", "rustfs_compose_dest", "fluent_bit_compose_dest"]
)
@pytest.mark.parametrize("inside", ["", "/nas", "/../mine/nas"])
def test_a_run_may_not_write_into_the_inventory(faults, name, inside):
    line = only(faults(("nas1", name, f"/srv/inventories/mine{inside}"), inventory_path="/srv/inventories/mine"))
    assert f"{name} is /srv/inventories/mine{inside}, inside the inventory" in line


@pytest.mark.parametrize("outside", ["/srv/inventories/mine.state", "/srv/inventories/mine/../other", "/srv"])
def test_a_folder_beside_the_inventory_is_good(faults, outside):
    assert faults(("nas1", "rustfs_compose_dest", outside), inventory_path="/srv/inventories/mine") == []


def test_what_lies_in_the_old_place_is_neither_run_nor_shown_and_stops_the_run(mine):
    old = mine.inventory / "nas" / "nas1"
    (old / "fluent-bit").mkdir(parents=True)
    (old / "prepare.sh").write_text(f"#!/bin/sh\ntouch {mine.folder}/was_run\n")
    (old / "prepare.sh").chmod(0o755)
    (old / "fluent-bit" / "fluent-bit.env").write_text(f"AWS_ACCESS_KEY_ID={KEY}\n")
    result = mine.run(PREFLIGHT)
    assert result.returncode != 0
    assert not mine.hosts_were_called
    assert f"rm -r {mine.inventory}/nas" in result.stdout
    assert not (mine.folder / "was_run").exists()
    assert KEY not in result.stdout


@pytest.mark.parametrize("source", ["", "hosts.yml"])
def test_the_old_place_is_found_whether_the_folder_or_its_file_is_given(mine, source):
    (mine.inventory / "authorities").mkdir()
    (mine.inventory / "authorities" / "north.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    mine.inventory = mine.inventory / source
    result = mine.run(PREFLIGHT, "--limit", "localhost")
    assert "authorities: certificates lie inside the inventory" in result.stdout


def test_a_program_in_the_folder_is_not_run(mine):
    script = mine.inventory / "cloud"
    script.write_text(f"#!/bin/sh\ntouch {mine.folder}/was_run\necho '{{}}'\n")
    script.chmod(0o755)
    result = mine.run(PREFLIGHT, "--limit", "localhost")
    assert "cloud are no inventory" in result.stdout
    assert not (mine.folder / "was_run").exists()


def state_of(play: Play, **environment: str) -> str:
    told = play.command(
        "ansible", "nas1", "-i", str(play.inventory), "-m", "debug", "-a", "var=rustfs_compose_dest", **environment
    )
    assert told.returncode == 0, told.stdout
    return told.stdout.partition("rustfs_compose_dest: ")[2].strip()


def test_what_is_rendered_for_a_nas_lies_in_a_folder_of_its_inventory_alone(mine):
    elsewhere = Play(mine.folder, mine.folder / "other" / mine.inventory.name)
    elsewhere.inventory.parent.mkdir()
    mine.inventory.rename(elsewhere.inventory)
    (elsewhere.inventory / "group_vars/all/00-wiring.yml").unlink()
    (elsewhere.inventory / "group_vars/all/00-wiring.yml").symlink_to(mine.folder / "inventories/wiring.yml")
    there = state_of(elsewhere, HOME="/home/ada", XDG_STATE_HOME="")
    elsewhere.inventory.rename(mine.inventory)
    here = state_of(mine, HOME="/home/ada", XDG_STATE_HOME="")
    assert here != there
    for folder in (here, there):
        assert Path(folder).parts[:6] == ("/", "home", "ada", ".local", "state", "stowage")
        assert Path(folder).parts[6].startswith("example-")
        assert Path(folder).parts[7:] == ("nas", "nas1")
    assert state_of(mine, XDG_STATE_HOME="/state").startswith("/state/stowage/example-")
