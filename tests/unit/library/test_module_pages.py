"""Each module's page says what its argument spec takes, renders with ansible-doc, and shows examples that fit."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ansible.module_utils
import pytest
import yaml

ROOT = Path(__file__).parents[3]
MODULES = [
    "s3_access_key",
    "s3_access_key_info",
    "s3_bucket",
    "s3_key_rotation",
    "s3_bucket_info",
    "s3_notification",
    "s3_permission_probe",
    "s3_policy",
    "s3_policy_info",
    "s3_presign_probe",
    "s3_server_info",
    "s3_user",
]


class _SpecTakenError(Exception):
    pass


@pytest.fixture(scope="module")
def pages() -> dict[str, Any]:
    """What ansible-doc makes of them, fragments merged."""
    command = [str(Path(sys.executable).with_name("ansible-doc")), "-t", "module", "-j", "-M", "library", *MODULES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def spec_of(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The argument spec a module hands to AnsibleModule."""
    if str(ROOT / "plugins/module_utils") not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(str(ROOT / "plugins/module_utils"))
    from ansible.module_utils import stowage_module  # type: ignore[attr-defined]

    taken: dict[str, Any] = {}

    def take(**arguments: Any) -> None:
        taken.update(arguments["argument_spec"])
        raise _SpecTakenError

    monkeypatch.setattr(stowage_module, "AnsibleModule", take)
    spec = importlib.util.spec_from_file_location(name, ROOT / "library" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(_SpecTakenError):
        module.main()
    return taken


def compare(documented: dict[str, Any], taken: dict[str, Any], where: str) -> None:
    assert set(documented) == set(taken), where
    for name, rule in taken.items():
        page = documented[name]
        place = f"{where}.{name}"
        assert page.get("type", "str") == rule["type"], place
        assert page.get("choices") == rule.get("choices"), place
        assert page.get("default") == rule.get("default"), place
        assert page.get("required", False) == rule.get("required", False), place
        assert page.get("elements") == rule.get("elements"), place
        if "options" in rule:
            compare(page["suboptions"], rule["options"], place)


@pytest.mark.parametrize("name", MODULES)
def test_the_page_says_what_the_spec_takes(name: str, pages: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    compare(pages[name]["doc"]["options"], spec_of(name, monkeypatch), name)


@pytest.mark.parametrize("name", MODULES)
def test_the_page_is_complete(name: str, pages: dict[str, Any]) -> None:
    page = pages[name]
    assert page["examples"].strip()
    assert page["return"]
    assert {"check_mode", "diff_mode", "idempotent"} <= set(page["doc"]["attributes"])


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_use_options_that_exist(name: str, pages: dict[str, Any]) -> None:
    options = pages[name]["doc"]["options"]
    for task in yaml.safe_load(pages[name]["examples"]):
        for option, value in task[name].items():
            assert option in options, f"{task['name']}: {option}"
            for item in value if isinstance(value, list) else []:
                if isinstance(item, dict):
                    assert set(item) <= set(options[option]["suboptions"]), f"{task['name']}: {option}"


@pytest.mark.parametrize("name", MODULES)
def test_secrets_are_marked_as_such(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def secret_options(spec: dict[str, Any]) -> list[tuple[str, bool]]:
        found = [
            (key, bool(rule.get("no_log"))) for key, rule in spec.items() if key.startswith(("secret", "probe_sec"))
        ]
        return found + [one for rule in spec.values() for one in secret_options(rule.get("options", {}))]

    marked = secret_options(spec_of(name, monkeypatch))
    assert marked
    assert all(no_log for _, no_log in marked)
