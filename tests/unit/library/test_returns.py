"""What a module returns reaches a play under the name that it has in the module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

LIBRARY = Path(__file__).parents[3] / "library"


def returned(path: Path) -> dict[str, dict[str, object]]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "RETURN":
            found: dict[str, dict[str, object]] = yaml.safe_load(ast.literal_eval(node.value))
            return found
    return {}


@pytest.mark.parametrize("module", sorted(path.name for path in LIBRARY.glob("*.py")))
def test_results_is_a_list_or_ansible_renames_it(module: str) -> None:
    """`_execute_module` of ansible-core turns any other `results` into `ansible_module_results`."""
    assert returned(LIBRARY / module).get("results", {"type": "list"})["type"] == "list"
