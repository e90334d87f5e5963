"""What a reader would type, taken apart without being run, and held against the programs that would run it."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

import click
import yaml
from ansible.cli.adhoc import AdHocCLI
from ansible.cli.doc import DocCLI
from ansible.cli.playbook import PlaybookCLI
from ansible.cli.vault import VaultCLI
from filator.cli import main as filator
from page_blocks import ROOT, Block
from page_snippets import check_options

from stowage.cli import main as stowage

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):.*##", MAKEFILE, flags=re.MULTILINE))
SETTINGS = set(re.findall(r"^(\w+) \?=", MAKEFILE, flags=re.MULTILINE)) | set(
    re.findall(r"\$\(if \$\((\w)\)", MAKEFILE)
)
# Of the system; what they do is theirs to say.
TOOLS = frozenset(
    {"cp", "ln", "rm", "mkdir", "git", "set", "export", ".", "sh", "journalctl"}
    | {"grep", "sed", "awk", "tr", "cat", "head", "tail", "sort", "uniq", "cmp", "tee", "sha256sum"}
)
# Programs whose lines other tests run as they are written, or the test of this folder does.
RUN_ELSEWHERE = {
    ("docs/filator.md", "curl"): "tests/e2e/test_docs_examples.py",
    ("docs/filator.md", "wget"): "tests/e2e/test_docs_examples.py",
    ("docs/restore.md", "curl"): "tests/contract/test_prune_docs.py",
    ("docs/trace.md", "jq"): "tests/unit/docs/test_trace_queries.py",
}
VALUES = {"UUID": "a" * 64, "uuid": "a" * 64, "TX": "b" * 64}
_VAULTED = {
    entry["name"]
    for entry in yaml.safe_load((ROOT / "roles/preflight/vars/main.yml").read_text())["_preflight_secrets"]
}
_SEPARATORS = {"|", "||", "&&", ";", "&"}
_SITES = re.compile(r"inventories/(mine|SITE|example|single|lab)|\.\./my-site")


class WrongLineError(AssertionError):
    """A line of a page that would not do what the page says."""


def commands_of(text: str) -> list[list[str]]:
    """The single commands of a block: words, without assignments, redirections and comments."""
    found: list[list[str]] = []
    text = re.sub(r"\\\n\s*", " ", text)
    while inner := re.search(r"\$\(([^()]*)\)", text):
        found += commands_of(inner[1])
        text = text.replace(inner[0], "VALUE")
    for line in _lines(text):
        words: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        skip = False
        for token in lexer:
            if skip:
                skip = False
            elif token in _SEPARATORS:
                found.append(words)
                words = []
            elif set(token) <= set("<>&") and token:
                skip = True
            else:
                words.append(re.sub(r"\$\{?(\w+)\}?", lambda name: VALUES.get(name[1], name[0]), token))
        found.append(words)
    return [plain for words in found if (plain := _plain(words))]


def _lines(text: str) -> Iterable[str]:
    """Logical lines: a quote that is open goes on."""
    held = ""
    for line in text.splitlines():
        held = f"{held}\n{line}" if held else line
        try:
            shlex.split(held, comments=True)
        except ValueError:
            continue
        yield held
        held = ""
    if held:
        yield held


def _plain(words: list[str]) -> list[str]:
    """Without what only surrounds a command: assignments, sudo, env."""
    while words and (re.match(r"\w+=", words[0]) or words[0] in ("sudo", "env", "-u")):
        words = words[2:] if words[0] == "-u" else words[1:]
    return words


def is_shell(block: Block) -> bool:
    """Whether each line of the block begins with a program that a check exists for."""
    if block.language:
        return block.language == "sh"
    try:
        found = commands_of(block.text)
    except ValueError:
        return False
    return bool(found) and all(
        Path(words[0]).name in CHECKS or words[0] in TOOLS or (block.page, words[0]) in RUN_ELSEWHERE for words in found
    )


def check_shell(block: Block) -> None:
    """Hold every command of a block against its program.

    Raises:
        WrongLineError: One would fail.
    """
    done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise WrongLineError(done.stderr)
    for words in commands_of(block.text):
        name = Path(words[0]).name
        if check := CHECKS.get(name):
            check(words[1:])
        elif words[0] not in TOOLS and (block.page, words[0]) not in RUN_ELSEWHERE:
            raise WrongLineError(f"no test knows the program of: {shlex.join(words)}")
        for word in words[1:]:
            if word.startswith("inventories/") and not _SITES.match(word) and word != "inventories/wiring.yml":
                raise WrongLineError(f"{word} is no site that the pages speak of")


def check_make(words: list[str]) -> None:
    """Its targets are in the Makefile's list, its settings are read there."""
    for word in words:
        name, given, _ = word.partition("=")
        if name not in (SETTINGS if given else TARGETS):
            raise WrongLineError(f"make {word}: not in the Makefile")


def _click(command: click.Command, words: list[str]) -> None:
    """Let a program's own parser read the words, group by group, and call nothing."""
    try:
        context = command.make_context(command.name or "", list(words))
        while isinstance(command, click.Group):
            rest = [*context._protected_args, *context.args]
            name, found, rest = command.resolve_command(context, rest)
            assert found
            assert name
            command = found
            context = command.make_context(name, rest, parent=context)
    except click.exceptions.Exit:
        pass
    except click.ClickException as error:
        # Files of the reader's are not on this machine.
        if not re.search(r"(File|Path|Directory) '.*' does not exist", error.format_message()):
            raise WrongLineError(f"{' '.join(words)}: {error.format_message()}") from None


def _ansible(cli: type, name: str, words: list[str]) -> object:
    made = cli([name, *words])
    made.init_parser()
    try:
        return made.parser.parse_args(words)
    except SystemExit:
        raise WrongLineError(f"{name} {shlex.join(words)}: its parser refuses it") from None


def check_playbook(words: list[str]) -> None:
    """The playbook is there and reads in full; each extra variable is read by it, each tag is one of its own."""
    asked = _ansible(PlaybookCLI, "ansible-playbook", words)
    for name in asked.args:
        if not (ROOT / name).is_file():
            raise WrongLineError(f"no playbook {name}")
        told, sources = playbook(name)
        for extra in asked.extra_vars:
            variable, _, value = extra.partition("=")
            if not re.search(rf"\b{variable}\b", sources):
                raise WrongLineError(f"{name} reads no variable {variable}")
            if variable == "replace" and (unknown := set(value.split(",")) - _VAULTED):
                raise WrongLineError(f"no secret is called {unknown}")
        tags = {tag for given in asked.tags if given != "all" for tag in given.split(",")}
        if unknown := tags - set(re.findall(r"[\w-]+", " ".join(re.findall(r"TAGS: \[(.*?)\]", told)))):
            raise WrongLineError(f"{name} has no tags {unknown}")


@functools.cache
def playbook(name: str) -> tuple[str, str]:
    """What Ansible lists of a playbook, and the text of all files that it reads."""
    done = subprocess.run(
        [ROOT / ".venv/bin/ansible-playbook", "-i", "inventories/example", "--list-tasks", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise WrongLineError(f"{name}: {done.stdout}{done.stderr}")
    texts, waiting = {}, [(ROOT / name).resolve()]
    while waiting:
        path = waiting.pop()
        if path in texts:
            continue
        texts[path] = path.read_text()
        waiting += [(path.parent / other).resolve() for other in re.findall(r"import_playbook: (\S+)", texts[path])]
        for role in re.findall(r"(?:- role|^\s+name): (\w+)$", texts[path], flags=re.MULTILINE):
            waiting += [
                *(ROOT / "roles" / role).glob("tasks/*.yml"),
                *(ROOT / "roles" / role).glob("defaults/*.yml"),
                *(ROOT / "roles" / role).glob("meta/argument_specs.yml"),
            ]
    # What the wiring reads of the site reaches every play.
    return done.stdout, "\n".join([*texts.values(), (ROOT / "inventories/wiring.yml").read_text()])


def check_adhoc(words: list[str]) -> None:
    """The module is there, and takes the arguments by their names."""
    asked = _ansible(AdHocCLI, "ansible", words)
    names = set(re.findall(r"(?:^|\s)(\w+)=", asked.module_args))
    if asked.module_name == "debug":
        if names != {"var"}:
            raise WrongLineError(f"debug takes {names}")
        return
    check_options(asked.module_name, dict.fromkeys(names, "text"))


def check_doc(words: list[str]) -> None:
    """The modules are there."""
    asked = _ansible(DocCLI, "ansible-doc", words)
    if missing := [name for name in asked.args if not (ROOT / "library" / f"{name}.py").is_file()]:
        raise WrongLineError(f"no module {missing}")


def check_vault(words: list[str]) -> None:
    """Its own parser takes it."""
    _ansible(VaultCLI, "ansible-vault", words)


def _service_prune(words: list[str]) -> None:
    _click(stowage, ["prune", *words])


CHECKS = {
    "make": check_make,
    "stowage": lambda words: _click(stowage, words),
    "stowage-prune": _service_prune,
    "filator": lambda words: _click(filator, words),
    "ansible-playbook": check_playbook,
    "ansible": check_adhoc,
    "ansible-doc": check_doc,
    "ansible-vault": check_vault,
}
