"""A site whose store is RustFS: the lab where a program is named, and a NAS that nobody logs into."""

from __future__ import annotations

from plays import Play

PREFLIGHT = "playbooks/preflight.yml"


def test_the_lab_takes_rustfs_where_a_program_is_named(tmp_path):
    (tmp_path / "rustfs").touch()
    lab = Play.of("lab", tmp_path)
    with_program = {"STOWAGE_RUSTFS_BIN": str(tmp_path / "rustfs")}
    shown = lab.command("ansible-inventory", "-i", str(lab.inventory), "--list", **with_program)
    assert shown.returncode == 0
    ask = ["nas1", "-i", str(lab.inventory), "-c", "local", "-m", "ansible.builtin.debug", "-a"]
    told = "msg={{ object_store_provider }},{{ object_store_driver }},{{ rustfs_install_method }}"
    assert "rustfs,rustfs,binary" in lab.command("ansible", *ask, told, **with_program).stdout
    assert "seaweedfs,iam," in lab.command("ansible", *ask, told, STOWAGE_RUSTFS_BIN="", STOWAGE_RUSTFS_IMAGE="").stdout


def test_a_program_that_is_not_there_is_told_before_a_host_is_touched(tmp_path):
    lab = Play.of("lab", tmp_path)
    lab.run("playbooks/ops/secrets_init.yml")
    result = lab.run(PREFLIGHT, "--limit", "localhost", STOWAGE_RUSTFS_BIN="/not/there/rustfs")
    assert result.returncode != 0
    assert "rustfs_binary_file names /not/there/rustfs, which is no file on the controller" in result.stdout


def test_a_nas_that_gets_a_compose_file_is_never_logged_into(mine):
    mine.set("group_vars/all/site.yml", object_store_provider="rustfs", rustfs_install_method="compose_file",
             rustfs_image_digest=f"sha256:{'0' * 64}", fluent_bit_container_digest=f"sha256:{'0' * 64}")  # fmt: skip
    mine.run("playbooks/ops/secrets_init.yml")
    result = mine.run(PREFLIGHT)
    assert mine.hosts_were_called, result.stdout
    assert result.stdout.count("UNREACHABLE!") == 3
    assert "[nas1]: UNREACHABLE!" not in result.stdout
