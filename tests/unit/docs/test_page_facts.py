"""What pages say of defaults, commands in the middle of a sentence, tokens and modules is what the code says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from filator.settings import load_settings
from markdown_it import MarkdownIt
from page_blocks import BLOCKS, PAGES, ROOT, Block
from page_commands import CHECKS, TARGETS, WrongLineError, check_shell

from stowage.site.names import load_mapping

DEFAULTS = {
    name: value
    for file in [*ROOT.glob("roles/*/defaults/main.yml"), ROOT / "inventories/wiring.yml"]
    for name, value in load_mapping(file).items()
}
TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
# Internal: plays call them, people do not.
INTERNAL = {"filator_probe", "host_check", "qatlasd_check", "s3_ready", "site_check", "store_path_check"}


def spoken() -> list[tuple[str, str]]:
    """Commands in the middle of a sentence; those with an ellipsis stand for several."""
    found = set()
    for page, text in TEXTS.items():
        for token in MarkdownIt().enable("table").parse(text):
            for span in token.children or ():
                words = span.content.split()
                if span.type == "code_inline" and len(words) > 1 and words[0] in CHECKS and "..." not in span.content:
                    found.add((page, span.content))
    return sorted(found)


@pytest.mark.parametrize(("page", "line"), spoken(), ids=lambda text: re.sub(r"\W+", "-", text)[:60])
def test_a_command_in_a_sentence_is_one_that_works(page: str, line: str) -> None:
    try:
        check_shell(Block(page, 0, "sh", re.sub(r" \[.*\]$", "", line), ""))
    except WrongLineError as error:
        # A sentence may name a command without what it is called with.
        if "Missing argument" not in str(error):
            raise


def test_defaults_on_pages_are_those_of_the_roles() -> None:
    """Numbers in brackets behind a variable's name, and the release of RustFS in commands and outputs."""
    wrong = []
    for page, text in TEXTS.items():
        for name, told in re.findall(r"`(\w+)` \((\d+)\)", text):
            if name in DEFAULTS and str(DEFAULTS[name]) != told:
                wrong.append(f"{page}: {name} is {DEFAULTS[name]}, not {told}")
    assert wrong == []
    releases = re.findall(r"rustfs/rustfs:([\w.-]+\w)|right: RustFS (\S+) at", TEXTS["docs/nas.md"])
    assert {one or other for one, other in releases} == {DEFAULTS["rustfs_version"]}


def test_a_container_of_rustfs_on_a_page_has_the_image_of_its_sink() -> None:
    """Preflight refuses one without: of RustFS events are traced unless the site says otherwise."""
    shown = [block.text for block in BLOCKS if re.search(r"^rustfs_install_method: co", block.text, re.MULTILINE)]
    assert len(shown) >= 2
    assert [text for text in shown if "fluent_bit_container_digest: sha256:" not in text] == []


def test_defaults_of_the_service_are_those_of_its_settings() -> None:
    settings = load_settings(
        {
            "FILATOR_DATABASE_URL": "postgresql://a:b@db/c",
            "FILATOR_REDIS_URL": "redis://cache:6379/0",
            "STORAGES_CONFIGURATIONS": '[{"name": "db", "type": "db"}]',
        }
    )
    table = re.findall(r"^\| (`FILATOR_.*?) \| (.*?) \|", TEXTS["docs/filator.md"], flags=re.MULTILINE)
    compared = 0
    for names, told in table:
        values = re.findall(r"`([\w:.{}]+)`", told)
        full = [name for name in re.findall(r"`([A-Z_]+)`", names) if name.startswith("FILATOR_")]
        if len(values) != len(full):
            continue  # words, such as: required, cores, 100 GiB
        for name, value in zip(full, values, strict=True):
            real = getattr(settings, name.removeprefix("FILATOR_").lower(), None)
            if isinstance(real, bool | int | float | str):
                assert str(real).lower() == value, name
                compared += 1
    assert compared > 12


def test_the_tokens_of_a_site_have_the_scopes_that_the_page_names() -> None:
    page = TEXTS["docs/who-may-use-the-service.md"]
    table = dict(re.findall(r"^\| `vault_filator_token_(\w+)` \| ([\w, ]+) \|", page, flags=re.MULTILINE))
    wiring = {token["name"]: ", ".join(token["scopes"]) for token in DEFAULTS["filator_tokens"]}
    assert table == wiring
    snippet = re.search(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert snippet
    shown = {token["name"]: ", ".join(token["scopes"]) for token in yaml.safe_load(snippet[1])["filator_tokens"]}
    assert shown.items() >= wiring.items()


def test_each_module_for_people_is_on_a_page() -> None:
    modules = {path.stem for path in ROOT.glob("library/*.py")} - INTERNAL
    named = {
        name for page, text in TEXTS.items() if Path(page).parts[0] == "docs" for name in re.findall(r"`(\w+)`", text)
    }
    assert modules - named == set()


def test_the_commands_of_this_test_are_split_as_a_shell_would() -> None:
    assert all(shlex.split(line) for _page, line in spoken())
    assert len(spoken()) > 15


def test_make_alone_lists_every_target_that_has_a_description() -> None:
    alone = {name: value for name, value in os.environ.items() if name not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")}
    shown = subprocess.run(["make", "help"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True).stdout
    assert "e2e" in TARGETS
    assert {re.sub(r"\x1b\[\d+m", "", line).split()[0] for line in shown.splitlines()} == TARGETS
