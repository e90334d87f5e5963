"""A module that runs in the controller's process cannot be told from one that runs the usual way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from modules import ROOT
from servers import Server

pytestmark = pytest.mark.usefixtures("weed")

USUAL: dict[str, Any] = {"environment": {"LANG": "C.UTF-8"}}
"""What makes Ansible pack the module and start an interpreter."""
ANSIBLE = str(Path(sys.executable).with_name("ansible-playbook"))


def task_result(server: Server, folder: Path, module: str, options: dict[str, Any], **task: Any) -> dict[str, Any]:
    """What a task registers, whether it failed or not."""
    common = {"endpoint": server.settings.endpoint, "access_key": server.settings.access_key}
    out = folder / "result.json"
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": sys.executable, "secret": server.settings.secret_key},
        "tasks": [
            {module: {"secret_key": "{{ secret }}", **common, **options}, "register": "it", "ignore_errors": True}
            | task,
            {
                "ansible.builtin.copy": {"content": "{{ it | to_json }}", "dest": str(out), "mode": "0600"},
                "diff": False,
            },
        ],
    }
    (folder / "play.yml").write_text(json.dumps([play]))
    command = [ANSIBLE, "-i", "localhost,", str(folder / "play.yml"), "--diff", "-vvv"]
    env = {**os.environ, "NO_COLOR": "1", "ANSIBLE_PIPELINING": "true"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # "Using module file" is printed only where Ansible packs and sends a module.
    sent = f"library/{module}.py" in done.stdout
    return {**json.loads(out.read_text()), "sent": sent, "printed": done.stdout + done.stderr}


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("s3_bucket", {"name": "direct-one", "versioning": "enabled", "check_mode": True}),
        ("s3_bucket", {"name": "Not_A_Name"}),
        ("s3_bucket", {"name": "direct-two", "no_such_option": 1}),
        ("s3_bucket_info", {"names": ["direct-nowhere"]}),
        ("s3_policy", {"name": "direct", "document": {"Version": "2012-10-17", "Statement": []}, "check_mode": True}),
        ("s3_server_info", {"secret_key": "wrong-secret-0123456789"}),
    ],
)
def test_the_result_is_the_same_either_way(module: str, options: dict[str, Any], weed: Server, tmp_path: Path) -> None:
    how = {"check_mode": options.pop("check_mode")} if "check_mode" in options else {}
    direct = task_result(weed, tmp_path, module, options, **how)
    usual = task_result(weed, tmp_path, module, options, **how, **USUAL)
    sent = direct.pop("sent"), usual.pop("sent")
    assert sent == (False, True)
    printed = direct.pop("printed"), usual.pop("printed")
    assert all(printed)
    assert direct == usual
    if options.get("secret_key"):
        assert options["secret_key"] not in json.dumps(direct)


@pytest.mark.parametrize("how", [{}, USUAL])
def test_no_log_hides_results_too_and_a_variable_still_has_them(
    how: dict[str, Any], weed: Server, tmp_path: Path
) -> None:
    it = task_result(weed, tmp_path, "s3_bucket", {"name": "direct-hidden"}, no_log=True, check_mode=True, **how)
    assert [one["name"] for one in it["results"]] == ["direct-hidden"]
    assert "direct-hidden" not in it["printed"]


def test_the_engine_is_loaded_with_the_plugin_and_so_before_workers_are_forked() -> None:
    """It costs every task its import where this is lost, and a linter once took the imports for unused ones."""
    lines = [
        "import sys",
        "from ansible.plugins.loader import action_loader, init_plugin_loader",
        "init_plugin_loader()",
        "assert action_loader.get('s3_bucket', class_only=True)",
        "print(*sys.modules)",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"stowage.access.connect", "stowage.s3.buckets", "boto3.session"} <= set(done.stdout.split())
