"""Every template renders with nothing but the role's defaults and the declared examples.

One real ansible-playbook run renders all of them: the filters, the lookups and the strictness are the real ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from repository import PUBLIC, ROOT, load

EXAMPLES = load(Path(__file__).with_name("examples.yml"))
# Shared templates are rendered with the variables of the role that uses them.
USED_BY = {name: ROOT / "roles" / name for name in ("caddy", "nginx")}


def cases():
    """Template, role whose defaults count (or None), name of the examples, variant."""
    found = [(path, role, role.name) for role in PUBLIC for path in sorted((role / "templates").rglob("*.j2"))]
    for path in sorted((ROOT / "templates").rglob("*.j2")):
        found.append((path, USED_BY.get(path.parent.name), path.parent.name))
    for path, role, name in found:
        for variant in EXAMPLES.get(name, {"none declared": {}}):
            yield path, role, name, variant


def label(template, variant):
    return f"{template.relative_to(ROOT)} {variant}"


CASES = list(cases())


def play_for(template, role, values, name):
    """One play: the role's defaults and vars, and one task that renders the template with the example's values."""
    files = [str(path) for kind in ("defaults", "vars") if role and (path := role / kind / "main.yml").is_file()]
    task = {
        "name": name,
        "ansible.builtin.debug": {"msg": f"{{{{ lookup('ansible.builtin.template', '{template}') }}}}"},
        "vars": {"role_path": str(role), **values},
        "ignore_errors": True,
    }
    return {"hosts": "localhost", "gather_facts": False, "vars_files": files, "tasks": [task]}


@pytest.fixture(scope="session")
def rendered(tmp_path_factory):
    """Result of each rendering by its label, and of one template that asks for what is not there."""
    folder = tmp_path_factory.mktemp("rendered")
    undefined = folder / "undefined.j2"
    undefined.write_text("{{ seaweedfs_not_there }}")
    (folder / "password").write_text("unused")
    plays = [play_for(t, role, EXAMPLES.get(name, {}).get(v, {}), label(t, v)) for t, role, name, v in CASES]
    plays.append(play_for(undefined, ROOT / "roles" / "seaweedfs", {}, "undefined"))
    (folder / "render.yml").write_text(yaml.safe_dump(plays))
    ran = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", folder / "render.yml"],
        cwd=ROOT,
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folder / "facts"),
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.timer",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_VAULT_PASSWORD_FILE": str(folder / "password"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    report, _ = json.JSONDecoder().raw_decode(ran.stdout[ran.stdout.index("{") :])
    tasks = [task for play in report["plays"] for task in play["tasks"]]
    return {task["task"]["name"]: task["hosts"]["localhost"] for task in tasks}


@pytest.mark.parametrize(("template", "role", "name", "variant"), CASES, ids=[label(t, v) for t, _, _, v in CASES])
def test_a_template_renders_with_the_defaults_and_its_examples(template, role, name, variant, rendered):
    result = rendered[label(template, variant)]
    assert not result.get("failed"), f"{result['msg']}\nMissing a value? Declare it in tests/unit/roles/examples.yml"
    if template.suffixes[-2:] == [".json", ".j2"]:
        assert json.loads(json.dumps(result["msg"]) if isinstance(result["msg"], dict) else result["msg"])


def test_a_template_that_asks_for_what_is_not_there_fails(rendered):
    assert "'seaweedfs_not_there' is undefined" in rendered["undefined"]["msg"]
