"""What the site says no to, and what it notices. Each run is a real one against the scenario's host."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

testinfra_hosts = ["app"]

ROOT = Path(__file__).parents[3]
INVENTORY = Path(__file__).parents[1] / "inventory"
ENV = "/etc/quantum-atlas/.env"
HEALTH = "http://172.29.82.11:4200/api/health"


def play(playbook, *arguments, **extra):
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "-i",
            INVENTORY,
            f"playbooks/{playbook}.yml",
            *arguments,
            "-e",
            json.dumps(extra),
        ],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.timer"},
        capture_output=True,
        text=True,
        check=False,
    )
    # Long lines are folded in the output.
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def untouched(host):
    """Fails when the settings or the unit were written meanwhile."""
    look = f"stat -c '%n %Y %i' {ENV} /etc/systemd/system/qatlasd.service"
    before = host.check_output(look)
    yield
    assert host.check_output(look) == before


@pytest.mark.usefixtures("untouched")
def test_a_half_set_store_is_refused_before_anything_is_placed():
    code, said = play("service", qatlasd_s3_bucket_md="", qatlasd_s3_endpoint="")
    assert code != 0
    assert "half set: qatlasd_s3_access_key_id, qatlasd_s3_bucket_images, qatlasd_s3_bucket_pdf" in said
    assert "qatlasd_s3_bucket_md, qatlasd_s3_endpoint missing" in said


def test_preflight_refuses_it_too_before_any_host_is_touched():
    code, said = play("preflight", "--limit", "localhost", qatlasd_s3_bucket_md="")
    assert code != 0
    assert "without qatlasd_s3_bucket_md" in said


def test_the_key_that_rules_the_store_is_refused_and_not_shown(host):
    root = dict(line.split("=", 1) for line in host.file("/etc/default/seaweedfs").content_string.splitlines()[2:4])
    key = root["AWS_ACCESS_KEY_ID"].strip("'")
    code, said = play("preflight", "--limit", "localhost", qatlasd_s3_access_key_id=key)
    assert code != 0
    assert "qatlasd_s3_access_key_id of box is the store's admin key" in said
    assert key not in said


@pytest.mark.usefixtures("untouched")
def test_a_layout_that_the_release_does_not_read_is_refused():
    empty = {f"qatlasd_s3_bucket_{kind}": "" for kind in ("pdf", "md", "images")}
    code, said = play("service", qatlasd_s3_layout="single", qatlasd_s3_bucket="qatlas-raw", **empty)
    assert code != 0
    assert "qatlasd 0.21.0 does not read qatlasd_s3_layout single" in said


@pytest.mark.usefixtures("untouched")
def test_a_program_with_another_checksum_is_refused():
    code, said = play("service", qatlasd_binary_checksum="sha256:" + "0" * 64, qatlasd_binary_file=__file__)
    assert code != 0
    assert "not sha256:0000" in said


def test_the_site_does_not_call_a_program_ready_whose_store_is_down_though_its_page_says_200(host):
    host.check_output("systemctl stop seaweedfs-s3.socket seaweedfs-s3.service seaweedfs.service")
    try:
        code = host.check_output(f"curl -s -o /dev/null -w '%{{http_code}}' {HEALTH}")
        ended, said = play("service", qatlasd_ready_timeout=3)
    finally:
        host.check_output("systemctl start seaweedfs.service seaweedfs-s3.socket")
    assert code == "200"
    assert ended != 0
    assert "the health page answers 200, but checks.rawstore.status is error" in said
    assert "the store at http://172.29.82.11:9000 does not answer this host" in said


def test_a_program_that_ends_with_exit_code_0_fails_the_play_with_its_own_words(host):
    host.check_output("systemctl stop qatlasd")
    # Somebody else has its port: it says so, and exits 0.
    host.check_output("systemd-run --unit=squatter python3 -m http.server --bind 172.29.82.11 4200")
    try:
        ended, said = play("service")
    finally:
        host.check_output("systemctl stop squatter")
    assert ended != 0
    assert "exit code 0, which means nothing here" in said
    assert "listen tcp 172.29.82.11:4200: bind: address already in use" in said
    assert play("service")[0] == 0


def test_a_program_that_keeps_files_in_a_local_folder_is_refused_by_every_run_not_only_the_one_that_started_it(host):
    folder = "/etc/systemd/system/qatlasd.service.d"
    host.check_output(f"mkdir -p {folder}")
    host.check_output(
        f"printf '[Service]\\nEnvironment=QATLAS_DOTENV=/nowhere\\nWorkingDirectory=/\\n' > {folder}/spoiled.conf"
    )
    host.check_output("systemctl daemon-reload && systemctl restart qatlasd")
    try:
        runs = [play("service"), play("service")]
    finally:
        host.check_output(f"rm -r {folder} && systemctl daemon-reload && systemctl restart qatlasd")
    for ended, said in runs:
        assert ended != 0
        assert "it keeps files in a local folder instead of the store" in said
    assert play("service")[0] == 0
