"""vault_secrets and playbooks/ops/secrets_init.yml, run for real."""

from __future__ import annotations

import stat

import pytest
import yaml
from plays import Play

INIT = "playbooks/ops/secrets_init.yml"
GENERATED = {
    "vault_object_store_root_access_key": 20,
    "vault_object_store_root_secret_key": 40,
    "vault_postgresql_filator_password": 32,
    "vault_redis_filator_password": 32,
    "vault_filator_token_verify": 40,
    "vault_filator_token_admin": 40,
    "vault_filator_token_write": 40,
    "vault_filator_token_read": 40,
}
PROGRAMS = ("filator", "pruner", "restorer", "events_writer", "events_reader")


@pytest.fixture
def fresh(tmp_path):
    return Play.of("single", tmp_path)


def test_what_is_missing_is_made_encrypted_and_readable_by_its_owner_only(mine):
    assert mine.vault.read_text().startswith("$ANSIBLE_VAULT;")
    assert stat.S_IMODE(mine.vault.stat().st_mode) == 0o600
    assert {name: len(value) for name, value in mine.secrets().items()} == GENERATED


def test_a_second_run_changes_nothing(mine):
    before = mine.vault.read_bytes()
    result = mine.run(INIT)
    assert "changed=0" in result.stdout, result.stdout
    assert mine.vault.read_bytes() == before


def test_check_mode_predicts_and_writes_nothing(fresh):
    result = fresh.run(INIT, "--check", "--diff")
    assert "changed=1" in result.stdout, result.stdout
    assert all(f"+{name}" in result.stdout for name in GENERATED)
    assert not fresh.vault.exists()


def test_no_value_is_ever_printed_unless_it_is_asked_for(fresh):
    result = fresh.run(INIT, "-vvv", "--diff")
    secrets = fresh.secrets()
    assert len(secrets) == len(GENERATED)
    assert not [name for name, value in secrets.items() if value in result.stdout]
    assert not [path for path in fresh.folder.rglob("facts/*") if any(v in path.read_text() for v in secrets.values())]
    shown = fresh.run(INIT, "-e", "show=true").stdout
    assert all(value in shown for value in secrets.values())


def test_only_the_named_secret_gets_a_new_value(mine):
    before = mine.secrets()
    result = mine.run(INIT, "-e", "replace=vault_redis_filator_password")
    after = mine.secrets()
    assert "replaced: vault_redis_filator_password" in result.stdout
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"vault_redis_filator_password"}
    assert after.keys() == before.keys()


def test_a_misspelt_name_to_replace_is_told_with_the_right_ones(mine):
    before = mine.vault.read_bytes()
    result = mine.run(INIT, "-e", "replace=vault_redis_password")
    assert "names no secret of a site; right: vault_object_store_root_access_key" in result.stdout
    assert mine.vault.read_bytes() == before


def test_a_rotation_of_passwords_touches_nothing_else(mine):
    before = mine.secrets()
    arguments = ("--limit", "localhost", "--skip-tags", "verify")
    result = mine.run("playbooks/ops/rotate_keys.yml", "-e", "rotate=passwords", *arguments)
    assert result.returncode == 0, result.stdout
    after = mine.secrets()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"vault_postgresql_filator_password", "vault_redis_filator_password"}
    assert not [value for value in after.values() if value in result.stdout]


def test_an_unknown_rotation_is_refused(mine):
    result = mine.run("playbooks/ops/rotate_keys.yml", "-e", "rotate=password")
    assert "rotate=password is unknown; right: all, keys or passwords" in result.stdout


def test_a_store_that_takes_chosen_keys_gets_them_made_too(fresh):
    fresh.set("group_vars/all/site.yml", object_store_provider="rustfs")
    fresh.run(INIT)
    # RustFS sends events, so there are the keys of the trace too.
    keys = {f"vault_{program}_s3_{part}" for program in PROGRAMS for part in ("access_key", "secret_key")}
    assert set(fresh.secrets()) == {*GENERATED, *keys}


def test_a_plain_file_keeps_its_content_and_becomes_encrypted(fresh):
    fresh.vault.write_text('# mine\nvault_redis_filator_password: "chosen-by-hand-12345"\nvault_other: x\n')
    fresh.run(INIT)
    secrets = fresh.secrets()
    assert secrets["vault_redis_filator_password"] == "chosen-by-hand-12345"
    assert secrets["vault_other"] == "x"
    assert fresh.vault.read_text().startswith("$ANSIBLE_VAULT;")
    assert fresh.command("ansible-vault", "view", str(fresh.vault)).stdout.startswith("# mine\n")


def test_a_vault_of_another_password_is_left_alone_and_told_in_one_line(mine, tmp_path):
    before = mine.vault.read_bytes()
    (tmp_path / "other").write_text("another password")
    play = tmp_path / "store.yml"
    play.write_text(
        yaml.safe_dump(
            [
                {
                    "hosts": "localhost",
                    "gather_facts": False,
                    "tasks": [{"vault_secrets": {"path": str(mine.vault), "values": {"vault_new": "geheim-geheim"}}}],
                }
            ]
        )
    )
    result = mine.command("ansible-playbook", str(play), STOWAGE_VAULT_PASSWORD_FILE=str(tmp_path / "other"))
    assert "is encrypted with another vault password; right: " in result.stdout
    assert "geheim" not in result.stdout
    assert mine.vault.read_bytes() == before


def test_a_vault_identity_keeps_its_label(fresh, tmp_path):
    (tmp_path / "team").write_text("the password of the team")
    identity = f"team@{tmp_path / 'team'}"
    fresh.vault.write_text("vault_other: x\n")
    fresh.command("ansible-vault", "encrypt", "--vault-id", identity, "--encrypt-vault-id", "team", str(fresh.vault))
    assert fresh.vault.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;team\n")
    result = fresh.run(INIT, "--vault-id", identity)
    assert "changed=1" in result.stdout, result.stdout
    assert fresh.vault.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;team\n")
    shown = fresh.command("ansible-vault", "view", "--vault-id", identity, str(fresh.vault)).stdout
    assert set(yaml.safe_load(shown)) == {*GENERATED, "vault_other"}


def test_all_hosts_see_a_stored_secret_in_the_same_run_after_the_reload(mine, tmp_path):
    show = {"ansible.builtin.debug": {"msg": "{{ inventory_hostname }}={{ vault_redis_filator_password }}"}}
    play = tmp_path / "store_and_use.yml"
    tasks = [
        {
            "vault_secrets": {
                "path": str(mine.vault),
                "values": {"vault_redis_filator_password": "{{ minted }}"},
                "replace": ["vault_redis_filator_password"],
            }
        }
    ]
    reload = {"ansible.builtin.import_role": {"name": "preflight", "tasks_from": "reload"}}
    plays = [
        {"hosts": "localhost", "tasks": tasks},
        {"hosts": "all:!localhost", "tasks": [show]},
        {"hosts": "all", "tasks": [reload]},
        {"hosts": "all:!localhost", "tasks": [show]},
    ]
    play.write_text(yaml.safe_dump([entry | {"gather_facts": False} for entry in plays]))
    old = mine.secrets()["vault_redis_filator_password"]
    result = mine.run(play, "-e", "minted=minted-by-the-store")
    for host in ("nas1", "vps1", "edge-north", "edge-south"):
        seen = [line.split("=")[1] for line in result.stdout.splitlines() if f"msg: {host}=" in line]
        assert seen == [old, "minted-by-the-store"], result.stdout


def test_a_name_that_ansible_could_not_read_is_refused(mine, tmp_path):
    play = tmp_path / "name.yml"
    task = {"vault_secrets": {"path": str(mine.vault), "values": {"vault-new": "12345678"}}}
    play.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    assert '"vault-new" is no variable name' in mine.run(play).stdout


def test_two_tasks_at_once_do_not_lose_each_others_names(mine, tmp_path):
    play = tmp_path / "both.yml"
    values = "{{ {'vault_' ~ inventory_hostname | replace('-', '_'): '12345678'} }}"
    task = {"vault_secrets": {"path": str(mine.vault), "values": values}}
    play.write_text(yaml.safe_dump([{"hosts": "all:!localhost", "gather_facts": False, "tasks": [task]}]))
    result = mine.run(play)
    assert result.returncode == 0, result.stdout
    assert {"vault_nas1", "vault_vps1", "vault_edge_north", "vault_edge_south"} <= set(mine.secrets())
