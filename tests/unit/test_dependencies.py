"""What a package imports stands in the lock that its hosts install from; the controller's own has more in it."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Names under which a package is imported, where the lock has another one.
IMPORTED_AS = {"yaml": "pyyaml"}
# The driver for MinIO, for which the error names the package that is missing.
OPTIONAL = {"minio"}


def imports(folder: Path) -> set[str]:
    """Third-party modules that are imported when the code runs, not only when types are checked."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                continue
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
            waiting += ast.iter_child_nodes(node)
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("package", "lock"), [("src/stowage", "requirements/cli.txt"), ("service/src/filator", "requirements/service.txt")]
)
def test_what_is_imported_is_in_the_lock_of_its_hosts(package: str, lock: str) -> None:
    locked = set(re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / lock).read_text(), flags=re.MULTILINE))
    names = {IMPORTED_AS.get(name, name).replace("_", "-") for name in imports(ROOT / package)}
    assert names
    assert sorted(names - locked - OPTIONAL - {Path(package).name}) == []
