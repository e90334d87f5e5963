"""Every block of every page is checked against what would run it, or says why it cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_blocks import BLOCKS, ROOT, Block, blocks_of
from page_commands import RUN_ELSEWHERE, WrongLineError, check_shell, commands_of, is_shell
from page_snippets import WrongSnippetError, check_snippet

CHECKED = [block for block in BLOCKS if not block.reason]


@pytest.mark.parametrize("block", CHECKED, ids=str)
def test_a_reader_can_copy_the_block(block: Block) -> None:
    if is_shell(block):
        check_shell(block)
    else:
        assert block.language in ("", "yaml"), f"{block} is checked by nobody; run it, or say <!-- fragment: REASON -->"
        check_snippet(block)


def test_most_blocks_are_checked() -> None:
    assert len(CHECKED) > 3 * len([block for block in BLOCKS if block.reason])


def test_what_is_run_elsewhere_is_run_there() -> None:
    for (page, _program), test in RUN_ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(), f"{test} does not read {page}"


def page_block(text: str, language: str = "") -> Block:
    return Block("none.md", 1, language, text, "")


@pytest.mark.parametrize(
    "line",
    [
        "make nosuch",
        "make show SITTE=inventories/lab",
        "stowage prune --bucket reports --keep-least 5",
        "stowage nosuch",
        "stowage versions --bucket reports | stowage prune --no-such",
        'curl "$(stowage presign --bucket reports a.pdf --no-such)"',
        "filator restore nothex",
        "filator rows",
        "filator sweep everything",
        "ansible-playbook playbooks/nosuch.yml -i inventories/mine",
        "ansible-playbook site.yml --no-such",
        "ansible-playbook site.yml -i inventories/other",
        "ansible-playbook playbooks/ops/prune.yml -e prune_reciepe=keep_5",
        "ansible-playbook playbooks/ops/secrets_init.yml -e replace=vault_nosuch",
        "ansible-playbook playbooks/verify.yml --tags nosuch",
        "ansible-doc s3_nosuch",
        "ansible localhost -m s3_trace_info -a 'endpoint=x bucket=y access_key=a secret_key=b'",
        "make show &&",
        "nosuch program",
    ],
)
def test_a_line_that_would_fail_is_found(line: str) -> None:
    with pytest.raises((WrongLineError, WrongSnippetError)):
        check_shell(page_block(line, "sh"))


@pytest.mark.parametrize(
    "text",
    [
        "object_store_providr: rustfs",
        "rustfs_image_digest: sha256:...",
        "rustfs_install_method: rpm",
        "edge-east:\n  edge_nam: east",
        "- s3_bucket: {name: reports}",
        "- s3_bucket: {endpoint: 'http://a', access_key: b, secret_key: c, name: reports, version: enabled}",
        "- ansible.builtin.import_role: {name: preflight, tasks_from: nosuch}",
        "some words",
        "- hosts: all\n  task: []\n  tasks: []",
    ],
)
def test_a_snippet_that_would_be_refused_is_found(text: str) -> None:
    with pytest.raises(WrongSnippetError):
        check_snippet(page_block(text))


def test_every_kind_of_block_is_seen() -> None:
    page = "text\n\n    indented\n\n1. item\n\n        in a list\n\n```sh\nfenced\n```\n"
    page += "\n<!-- fragment: why -->\n\n    marked\n\n    more\n"
    found = blocks_of(page, "page")
    assert [block.text.strip() for block in found] == ["indented", "in a list", "fenced", "marked\n\nmore"]
    assert [block.reason for block in found] == ["", "", "", "why"]
    assert [block.line for block in found] == [3, 7, 9, 15]


def test_commands_are_found_wherever_they_stand() -> None:
    text = 'set -a; . /etc/x; sudo -u me env A=b one "$(two --x)" | three > file && four \\\n  --five  # six\n'
    names = [words[0] for words in commands_of(text)]
    assert sorted(names) == [".", "four", "one", "set", "three", "two"]
    assert ["four", "--five"] in commands_of(text)


def test_example_keys_look_like_real_ones() -> None:
    """What must be 64 digits is: an ellipsis hides how long the value is, and preflight refuses it."""
    short = re.compile(r"sha256:(?![0-9a-f]{64}\b)\S+")
    found = [f"{block}: {hit}" for block in BLOCKS for hit in short.findall(block.text)]
    assert found == []
