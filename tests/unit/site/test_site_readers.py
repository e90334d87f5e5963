"""Values that could not reach their reader unchanged are refused by name before any host is touched."""

from __future__ import annotations

import pytest
import yaml

PREFLIGHT = "playbooks/preflight.yml"
SECRET = "geheim"


def only(lines):
    assert len(lines) == 1, lines
    return lines[0]


def test_a_key_of_the_sink_that_its_readers_read_differently_is_refused(faults):
    spoilt = ("*", "fluent_bit_s3_secret_key", f"{SECRET}$HOME with spaces and 'quotes'")
    assert faults(spoilt) == []
    on = [("*", "object_store_trace", True), ("*", "fluent_bit_s3_access_key", "K" * 20)]
    lines = faults(spoilt, *on)
    line = only([one for one in lines if "fluent_bit_s3_secret_key:" in one])
    assert "systemd, Docker, Podman, Compose" in line
    assert SECRET not in line


def test_a_key_that_godotenv_cannot_read_is_refused_where_qatlasd_runs(faults):
    spoilt = ("vps1", "qatlasd_s3_secret_access_key", f"'{SECRET}\\")
    assert faults(spoilt) == []
    lines = faults(spoilt, ("vps1", "app_services", ["qatlasd"]))
    line = only([one for one in lines if "qatlasd_s3_secret_access_key:" in one])
    assert "ends in a backslash" in line
    assert SECRET not in line


@pytest.mark.parametrize("value", [f"{SECRET}\x00", f"{SECRET}\x1b[0m", f"{SECRET}\r"])
def test_a_control_character_is_refused_with_the_name_of_the_setting(faults, value):
    line = only(faults(("vps1", "filator_environment", {"FILATOR_NOTE": value})))
    assert "FILATOR_NOTE in filator_environment: systemd cannot be given a control character" in line
    assert SECRET not in line


@pytest.mark.parametrize("value", ["it's", "a\\", "$x", "{{", " lead", "tail ", "#", "%h", '"', "two\nlines"])
def test_what_can_be_written_is_no_fault(faults, value):
    assert faults(("vps1", "filator_environment", {"FILATOR_NOTE": value})) == []


@pytest.mark.parametrize("mark", ["{{ geheim_x }}", "{{", "{% geheim_x", "{# geheim_x #}"])
def test_a_secret_that_ansible_would_take_for_a_template_is_told_by_its_name(mine, mark):
    secrets = mine.secrets()
    secrets["vault_redis_filator_password"] = f"{SECRET}{mark}0123456789abcdef"
    mine.vault.write_text(yaml.safe_dump(secrets))
    result = mine.run(PREFLIGHT, "--limit", "localhost")
    assert result.returncode != 0
    assert "secret vault_redis_filator_password holds {{, {% or {#" in result.stdout
    assert "right: vault_redis_filator_password: !unsafe" in result.stdout
    assert "mend: ansible-vault edit" in result.stdout
    assert SECRET not in result.stdout


def test_the_same_secret_passes_as_unsafe_and_comes_out_unchanged(mine):
    secrets = mine.secrets()
    value = "p@ss/w:rd#1{{ x }}-0123456789"
    del secrets["vault_redis_filator_password"]
    mine.vault.write_text(f'{yaml.safe_dump(secrets)}vault_redis_filator_password: !unsafe "{value}"\n')
    result = mine.run(PREFLIGHT, "--limit", "localhost")
    assert result.returncode == 0, result.stdout
    url = mine.command(
        "ansible", "vps1", "-i", str(mine.inventory), "-m", "debug", "-a", "var=filator_redis_url"
    ).stdout
    assert "redis://filator:p%40ss%2Fw%3Ard%231%7B%7B%20x%20%7D%7D-0123456789@10.9.0.2:6379/0" in url
