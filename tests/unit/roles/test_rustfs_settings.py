"""What role rustfs tells the server, and what it refuses, worked out by one real ansible-playbook run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from repository import ROOT

ROLE = ROOT / "roles" / "rustfs"
GOOD = {
    "rustfs_root_access_key": "AKIAEXAMPLE",
    "rustfs_root_secret_key": "not-a-secret-not-a-secret",
    "rustfs_archive_checksum": "sha256:" + "0" * 64,
}
TARGETS = [
    {"name": "Qatlas", "endpoint": "http://127.0.0.1:9880/"},
    {"name": "second", "endpoint": "https://sink.example.org/events"},
    {"name": "six", "endpoint": "http://[fd00::1]:9880/"},
]
RUNS = {
    "version": "1.0.0-rc.3",
    "ready": True,
    "details": {"drives": ["/var/lib/rustfs"]},
    "targets": [{"arn": "arn:rustfs:sqs::qatlas:webhook", "status": "online"}],
}
OFFLINE = [{"arn": "arn:rustfs:sqs::qatlas:webhook", "status": "offline"}]
CONTAINER = {"rustfs_install_method": "container"}
CASES = {
    "plain": {},
    "targets": {"rustfs_event_targets": TARGETS},
    "hdd": {"rustfs_disk_profile": "hdd"},
    "cluster": {
        "rustfs_data_dirs": ["/srv/d1", "/srv/d2"],
        "rustfs_nodes": ["10.9.0.1", "10.9.0.5"],
        "rustfs_listen_address": "10.9.0.5",
    },
    "trial": {"rustfs_data_dirs": ["/srv/d1", "/srv/d2"], "rustfs_allow_same_device": True},
    "own": {"rustfs_environment": {"RUSTFS_SCANNER_ENABLED": False}},
    "no checksum": {"rustfs_archive_checksum": ""},
    "bad checksum": {"rustfs_archive_checksum": "sha256:1234"},
    "own program": {"rustfs_archive_checksum": "", "rustfs_binary_file": "/tmp/rustfs"},
    "container without digest": CONTAINER,
    "container by digest": {**CONTAINER, "rustfs_image_digest": "sha256:" + "0" * 64},
    "container from an archive": {**CONTAINER, "rustfs_image_file": "/tmp/rustfs.tar"},
    "folder twice": {"rustfs_data_dirs": ["/srv/d1", "/srv/d1"]},
    "not among the nodes": {"rustfs_nodes": ["10.9.0.1", "10.9.0.5"]},
    "target twice": {"rustfs_event_targets": [TARGETS[0], {**TARGETS[0], "name": "QATLAS"}]},
    "target no word": {"rustfs_event_targets": [{**TARGETS[0], "name": "a-b"}]},
    "target no url": {"rustfs_event_targets": [{"name": "a", "endpoint": "127.0.0.1:9880"}]},
    "domains": {"rustfs_environment": {"RUSTFS_SERVER_DOMAINS": "s3.example.org"}},
    "audit": {"rustfs_environment": {"RUSTFS_AUDIT_ENABLE": "true"}},
    "secret in the environment": {"rustfs_environment": {"RUSTFS_SECRET_KEY": "x"}},
    "nothing synced": {"rustfs_version": "1.0.0-beta.8"},
    "first that syncs": {"rustfs_version": "1.0.0-beta.9"},
    "later releases": {"rustfs_version": "1.0.5"},
    "unsafe on purpose": {"rustfs_version": "1.0.0-beta.5", "rustfs_accept_unsafe_version": True},
    "published key": {"rustfs_root_access_key": "rustfsadmin"},
    "runs": {"_rustfs_running": RUNS, "rustfs_event_targets": TARGETS[:1]},
    "does not answer": {"_rustfs_running": {"msg": "connection refused"}},
    "compose file not applied": {"_rustfs_running": {"msg": "refused"}, "rustfs_install_method": "compose_file"},
    "other release": {"_rustfs_running": {**RUNS, "version": "1.0.0-rc.2"}},
    "not ready": {"_rustfs_running": {**RUNS, "ready": False}},
    "other folder": {"_rustfs_running": {**RUNS, "details": {"drives": ["/data"]}}},
    "target missing": {"_rustfs_running": RUNS, "rustfs_event_targets": [TARGETS[1]]},
    "target offline": {"_rustfs_running": {**RUNS, "targets": OFFLINE}, "rustfs_event_targets": TARGETS[:1]},
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """By case: the settings, and the lines of the rules that do not hold."""
    folder = tmp_path_factory.mktemp("rustfs")
    files = [str(ROLE / kind / "main.yml") for kind in ("defaults", "vars")]
    shown = {"settings": "{{ _rustfs_server_environment }}", "lines": _LINES, "differences": _DIFFERENCES}
    plays = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars_files": files,
            "tasks": [{"name": name, "ansible.builtin.debug": {"msg": shown}, "vars": {**GOOD, **given}}],
        }
        for name, given in CASES.items()
    ]
    (folder / "show.yml").write_text(yaml.safe_dump(plays))
    # A folder of its own, so that there is an inventory_dir.
    (folder / "hosts.yml").write_text("all: {hosts: {localhost: {ansible_connection: local}}}")
    ran = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.yml", "show.yml"],
        cwd=folder,
        env=os.environ
        | {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_FILTER_PLUGINS": str(ROOT / "plugins" / "filter")},
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(ran.stdout)
    tasks = [task for play in report["plays"] for task in play["tasks"]]
    return {task["task"]["name"]: task["hosts"]["localhost"]["msg"] for task in tasks}


_DIFFERENCES = "{{ _rustfs_differences if _rustfs_running is defined else [] }}"
_LINES = "{{ _rustfs_rules | rejectattr('holds') | map(attribute='says') | list }}"


@pytest.mark.parametrize(
    "case",
    [
        "plain",
        "targets",
        "cluster",
        "own program",
        "container by digest",
        "first that syncs",
        "later releases",
        "unsafe on purpose",
    ],
)
def test_good_settings_pass(case, told):
    assert told[case]["lines"] == []


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ("no checksum", "rustfs_archive_checksum is not set; right: sha256:HEX of rustfs-linux-x86_64-musl-v1.0.0"),
        ("bad checksum", "SHA256SUMS"),
        ("container without digest", "rustfs_image_digest is not set, and a tag can be moved"),
        ("folder twice", "names a folder twice"),
        ("not among the nodes", "rustfs_nodes does not hold 127.0.0.1"),
        ("target twice", "has a name twice, the server knows them in lower case only"),
        ("target no word", "has a name that is no word"),
        ("target no url", "has an endpoint that is no URL"),
        ("domains", "rustfs_environment holds RUSTFS_SERVER_DOMAINS"),
        ("audit", "rustfs_environment holds RUSTFS_AUDIT_ENABLE"),
        ("secret in the environment", "rustfs_environment holds RUSTFS_SECRET_KEY"),
        ("nothing synced", "rustfs_version 1.0.0-beta.8 syncs nothing to disk"),
        ("published key", "the root keys are the published ones"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused_in_one_line(case, line, told):
    (only,) = told[case]["lines"]
    assert line in only
    assert "; right: " in only
    assert "; mend: " in only or "; fix: " in only
    assert "\n" not in only


def test_an_image_that_is_brought_along_needs_no_digest(told):
    assert told["container from an archive"]["lines"] == []


def test_a_server_that_runs_as_described_passes_the_check(told):
    """The target is declared as Qatlas and told by the server as qatlas."""
    assert told["runs"]["differences"] == []


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ("does not answer", "not yet applied (connection refused)"),
        ("compose file not applied", "as docs/nas.md says"),
        ("other release", "RustFS 1.0.0-rc.2 runs; right: 1.0.0-rc.3"),
        ("not ready", "/health/ready does not say 200"),
        ("other folder", "data lies in /data; right: /var/lib/rustfs"),
        ("target missing", "event target arn:rustfs:sqs::second:webhook is missing; right: online"),
        ("target offline", "event target arn:rustfs:sqs::qatlas:webhook is offline; right: online"),
    ],
)
def test_what_runs_otherwise_than_described_is_told_in_one_line(case, line, told):
    (only,) = told[case]["differences"]
    assert line in only


def test_every_receiver_becomes_an_allowed_origin(told):
    """From beta.9 on the server sends nothing to a private address that is not named here."""
    origins = told["targets"]["settings"]["RUSTFS_OUTBOUND_ALLOW_ORIGINS"].split(",")
    assert origins == ["http://127.0.0.1:9880", "https://sink.example.org:443", "http://[fd00::1]:9880"]


def test_every_receiver_has_its_queue_inside_the_data(told):
    settings = told["targets"]["settings"]
    queues = {name: value for name, value in settings.items() if "_QUEUE_DIR_" in name}
    assert sorted(queues) == [f"RUSTFS_NOTIFY_WEBHOOK_QUEUE_DIR_{name}" for name in ("QATLAS", "SECOND", "SIX")]
    assert set(queues.values()) == {"/var/lib/rustfs/.notify-events"}
    assert settings["RUSTFS_NOTIFY_ENABLE"] == "true"


def test_without_receivers_events_are_off(told):
    assert [name for name in told["plain"]["settings"] if "NOTIFY" in name or "OUTBOUND" in name] == []


@pytest.mark.parametrize("case", list(CASES))
def test_the_root_keys_never_stand_in_the_settings(case, told):
    assert GOOD["rustfs_root_secret_key"] not in told[case]["settings"].values()
    assert not {"RUSTFS_ACCESS_KEY", "RUSTFS_ROOT_PASSWORD"} & set(told[case]["settings"])


def test_several_hosts_spell_all_disks_alike(told):
    disks = "http://10.9.0.1:9000/srv/d1 http://10.9.0.1:9000/srv/d2 http://10.9.0.5:9000/srv/d1 http://10.9.0.5:9000/srv/d2"
    assert told["cluster"]["settings"]["RUSTFS_VOLUMES"] == disks
    assert told["cluster"]["settings"]["RUSTFS_ADDRESS"] == "10.9.0.5:9000"


def test_slow_disks_get_more_time(told):
    assert told["plain"]["settings"]["RUSTFS_DRIVE_TIMEOUT_PROFILE"] == "default"
    assert told["hdd"]["settings"]["RUSTFS_DRIVE_TIMEOUT_PROFILE"] == "high_latency"


def test_disks_are_trusted_to_be_one_only_in_a_trial(told):
    assert "RUSTFS_UNSAFE_BYPASS_DISK_CHECK" not in told["cluster"]["settings"]
    assert told["trial"]["settings"]["RUSTFS_UNSAFE_BYPASS_DISK_CHECK"] == "true"


def test_nothing_is_reported_or_shown_to_the_outside(told):
    settings = told["plain"]["settings"]
    assert settings["RUSTFS_CHECK_UPDATE"] == "false"
    assert settings["RUSTFS_CONSOLE_ENABLE"] == "false"
    assert settings["RUSTFS_ADDRESS"] == "127.0.0.1:9000"


def test_idle_connections_outlive_those_of_a_proxy(told):
    assert int(told["plain"]["settings"]["RUSTFS_HTTP1_HEADER_READ_TIMEOUT"]) > 60


def test_every_setting_is_a_string_as_container_engines_want_it(told):
    assert {type(value) for value in told["own"]["settings"].values()} == {str}
