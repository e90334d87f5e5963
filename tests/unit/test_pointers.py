"""What a comment, a page or a setting points at is there: files of this repository, targets of make."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRACKED = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
FILES = [Path(name) for name in TRACKED.split("\0") if name]
TEXT = {".py", ".yml", ".yaml", ".md", ".j2", ".cfg", ".toml", ".sh", ".in", ""}
# Locks are made by a tool; pages of facts speak of the files of other projects.
SPOKEN = [
    path
    for path in FILES
    if path.suffix in TEXT and not str(path).startswith(("requirements/", "docs/facts/")) and (ROOT / path).is_file()
]
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
# Folders of this repository: a path that begins with one of them is meant to be in it.
ROOMS = {path.parts[0] for path in FILES if len(path.parts) > 1}
_PATH = re.compile(rf"(?<![\w/.{{}}*-])((?:{'|'.join(sorted(map(re.escape, ROOMS)))})/[\w./-]*\w)")


def lines_of(path: Path) -> list[str]:
    return (ROOT / path).read_text(encoding="utf-8", errors="replace").splitlines()


@pytest.mark.parametrize("path", SPOKEN, ids=str)
def test_pages_of_facts_that_are_cited_are_there(path: Path) -> None:
    cited = {name for line in lines_of(path) for name in re.findall(r"\bfacts/([a-z0-9.-]+\.md)\b", line)}
    assert sorted(name for name in cited if not (ROOT / "docs" / "facts" / name).is_file()) == []


def test_make_targets_that_are_named_are_there() -> None:
    named = {
        (str(path), target)
        for path in SPOKEN
        for line in lines_of(path)
        for target in re.findall(r"(?:`|^    |\$ )make ([a-z][a-z0-9-]+)(?=`|\s+#|$|\s+[A-Z]+=)", line)
    }
    assert sorted(name for name in named if name[1] not in TARGETS) == []


def test_pages_that_are_named_are_there() -> None:
    named = {
        (str(path), page)
        for path in SPOKEN
        for line in lines_of(path)
        for page in re.findall(r"\bdocs/[\w/.-]+\.md\b", line)
    }
    assert sorted(pair for pair in named if not (ROOT / pair[1]).is_file()) == []


def test_folders_that_the_configuration_names_are_there() -> None:
    settings = re.findall(
        r"^(?:\w+_path|library|module_utils|\w+_plugins) = (\S+)$", (ROOT / "ansible.cfg").read_text(), re.M
    )
    assert settings
    assert [folder for folder in settings if not (ROOT / folder).is_dir()] == []


def test_files_that_comments_name_are_there() -> None:
    """In Python, a path of this repository in a comment or a docstring."""
    missing = []
    for path in SPOKEN:
        if path.suffix != ".py":
            continue
        for number, line in enumerate(lines_of(path), 1):
            said = line.partition("#")[2] if "#" in line else (line if '"""' in line or "`" in line else "")
            for found in _PATH.findall(said):
                # Capitals stand for a name that the reader puts in.
                if not re.search(r"\b[A-Z]{2,}\b", found) and not (ROOT / found).exists():
                    missing.append(f"{path}:{number}: {found}")
    assert missing == []
