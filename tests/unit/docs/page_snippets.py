"""Snippets of inventories and of playbooks, held against the tables that preflight and the modules go by."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import unittest.mock
from collections.abc import Mapping
from typing import Any

import ansible.module_utils
import yaml
from ansible.module_utils import basic
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from page_blocks import ROOT, Block

from stowage.site.fit import misfit
from stowage.site.names import known_names, load_mapping, role_options

_SPECS_OF_ROLES = role_options(ROOT / "roles")
_TABLES = load_mapping(ROOT / "roles/preflight/vars/main.yml")
KNOWN = {
    *known_names(ROOT / "roles")[0],
    *load_mapping(ROOT / "inventories/wiring.yml"),
    *(str(name) for name in _TABLES["_preflight_site_variables"]),
    *(secret["name"] for secret in _TABLES["_preflight_secrets"]),
    "ansible_host",
}
_TASK_WORDS = {"name", "register", "no_log", "when", "vars", "failed_when", "changed_when"}
_PLAY_WORDS = {"hosts", "gather_facts", "tasks", "name", "vars", "become", "connection"}


class WrongSnippetError(AssertionError):
    """A snippet that a reader would copy in vain."""


class _Loader(yaml.SafeLoader):
    """YAML with the tag that Ansible knows beyond it."""


_Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def check_snippet(block: Block) -> None:
    """Hold a snippet against the tables: variables of a site, hosts, tasks or plays.

    Raises:
        WrongSnippetError: A name is unknown, or a value does not fit.
    """
    try:
        data = yaml.load(block.text, _Loader)
    except yaml.YAMLError as error:
        raise WrongSnippetError(f"neither commands nor YAML: {error}") from None
    if isinstance(data, Mapping):
        check_variables(data)
    elif isinstance(data, list) and all(isinstance(one, Mapping) for one in data):
        for one in data:
            check_play(one) if "hosts" in one else check_task(one)
    else:
        raise WrongSnippetError("neither commands nor variables nor tasks")


def check_variables(data: Mapping[str, Any]) -> None:
    """Each name is one that preflight knows, each value one that it lets pass."""
    for name, value in data.items():
        if isinstance(value, Mapping) and name not in KNOWN:
            check_variables(value)  # a host with its variables
        elif name not in KNOWN:
            raise WrongSnippetError(f"preflight knows no variable {name}")
        elif name in _SPECS_OF_ROLES and (wrong := misfit(name, value, _SPECS_OF_ROLES[name], _validate)):
            raise WrongSnippetError("; right: ".join(wrong))


def check_play(play: Mapping[str, Any]) -> None:
    """Words of a play, and its tasks."""
    if unknown := play.keys() - _PLAY_WORDS:
        raise WrongSnippetError(f"a play has no {unknown}")
    for task in play["tasks"]:
        check_task(task)


def check_task(task: Mapping[str, Any]) -> None:
    """One module, with options that it takes."""
    (module,) = task.keys() - _TASK_WORDS
    if module == "ansible.builtin.import_role":
        role = task[module]
        if not (ROOT / "roles" / role["name"] / "tasks" / f"{role.get('tasks_from', 'main')}.yml").is_file():
            raise WrongSnippetError(f"no entry point {role}")
        return
    spec, _rules = argument_spec(module)
    if missing := [
        name for name in ("endpoint", "access_key", "secret_key") if name in spec and name not in task[module]
    ]:
        raise WrongSnippetError(f"{module}: the connection is not shown: {', '.join(missing)}")
    check_options(module, task[module])


def check_options(module: str, options: Mapping[str, Any]) -> None:
    """The module's own argument spec takes the options, the connection included."""
    spec, rules = argument_spec(module)
    given = {name: _worked_out(value, spec.get(name, {})) for name, value in options.items()}
    result = ArgumentSpecValidator(spec, **rules).validate(given)
    if result.error_messages:
        raise WrongSnippetError(f"{module}: {'; '.join(result.error_messages)}")


def _worked_out(value: Any, option: Mapping[str, Any]) -> Any:
    """What a template may become; its own test is the inventory's."""
    if not (isinstance(value, str) and "{{" in value):
        return value
    return {"bool": True, "int": 1, "float": 1.0, "list": [], "dict": {}}.get(
        option.get("type", "str"), next(iter(option.get("choices") or ["text"]))
    )


class _Caught(BaseException):
    """Carries what a module hands to AnsibleModule."""


@functools.cache
def argument_spec(module: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a module of library/ tells Ansible of its options, caught before it does anything."""
    utils = str(ROOT / "plugins" / "module_utils")
    if utils not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(utils)
    path = ROOT / "library" / f"{module}.py"
    if not path.is_file():
        raise WrongSnippetError(f"no module {module}")
    found = importlib.util.spec_from_file_location(f"page_{module}", path)
    assert found
    assert found.loader
    loaded = importlib.util.module_from_spec(found)
    found.loader.exec_module(loaded)
    if not hasattr(loaded, "main"):  # the work is an action plugin's, the page is the only spec
        options = yaml.safe_load(loaded.DOCUMENTATION)["options"]
        words = ("type", "required", "choices", "elements")
        return {name: {word: of[word] for word in words if word in of} for name, of in options.items()}, {}
    caught: dict[str, Any] = {}

    def stop(_self: object, argument_spec: dict[str, Any], **given: Any) -> None:
        caught.update(given, argument_spec=argument_spec)
        raise _Caught

    with unittest.mock.patch.object(basic.AnsibleModule, "__init__", stop), contextlib.suppress(_Caught):
        loaded.main()
    rules = ("mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by")
    return caught["argument_spec"], {rule: caught[rule] for rule in rules if rule in caught}


def _validate(spec: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    return list(ArgumentSpecValidator(spec).validate(values).error_messages)
