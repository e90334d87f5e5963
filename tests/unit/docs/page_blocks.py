"""The pages of this project, and the blocks of code on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("roles/*/README.md")],
)
_FRAGMENT = re.compile(r"<!-- fragment: (?P<reason>\S.*?) -->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: Relative to the repository.
        line: On which it begins.
        language: What the fence says; empty for an indented block.
        text: What stands in it.
        reason: Why it is a fragment that nobody can run; empty when it is none.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(text: str, page: str) -> list[Block]:
    """Every fenced or indented block of a page; one behind a comment `fragment: REASON` is a fragment."""
    found, reason = [], ""
    for token in MarkdownIt().enable("table").parse(text):
        if token.type in ("fence", "code_block"):
            line = (token.map or [0])[0] + 1
            found.append(Block(page, line, token.info.strip(), token.content, reason))
        comment = _FRAGMENT.fullmatch(token.content.strip()) if token.type == "html_block" else None
        reason = comment["reason"] if comment else ""
    return found


BLOCKS = [block for path in PAGES for block in blocks_of(path.read_text(), str(path.relative_to(ROOT)))]
