# SPDX-License-Identifier: Apache-2.0
"""Check the inventory before any host is touched. Documented in library/site_check.py."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible import constants
from ansible._internal._datatag._tags import Origin
from ansible.errors import AnsibleActionFail, AnsibleError, AnsibleUndefinedVariable
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.template import is_trusted_as_template

from stowage.errors import BadInputError
from stowage.site.check import check_site, read_names
from stowage.site.check_folder import FORMER
from stowage.site.check_secrets import missing_secrets
from stowage.site.check_values import ELSEWHERE, roles_of
from stowage.site.fit import misfit
from stowage.site.model import FILES, STAND_IN, Failure, Rules, Secret, Site, with_host_secrets
from stowage.site.names import known_names, load_mapping, role_options

SPEC = {
    "roles_path": {"type": "path", "required": True},
    "wiring": {"type": "path"},
    "secrets": {"type": "list", "elements": "dict", "default": []},
    "site_variables": {"type": "dict", "default": {}},
    "prefixes": {"type": "list", "elements": "str", "default": []},
    "own_variables": {"type": "list", "elements": "str", "default": []},
    "together": {"type": "list", "elements": "list", "default": []},
    "fail": {"type": "bool", "default": True},
}
_MARKS = ("{{", "{%", "{#")
_OF_ANSIBLE = ("group_vars", "host_vars", "vars_plugins")
_UNDEFINED = re.compile(r"'(\w+)' is undefined")


class ActionModule(ActionBase):
    """Runs in the controller's process on the variables of all hosts; no connection is opened."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp=None, task_vars=None):
        """Fail with one line per problem, or say what is well."""
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(argument_spec=SPEC)
        try:
            rules = _rules(args, task_vars)
            site = self._site(task_vars, rules, Path(args["roles_path"]))
        except BadInputError as error:
            raise AnsibleActionFail(str(error)) from None
        problems = check_site(site, rules)
        made = [{"name": one.name, "kind": one.kind, "length": one.length} for one in rules.secrets]
        missing = [secret.name for secret, source in missing_secrets(site, rules) if source == "generated"]
        count = f"{len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'} in {site.inventory}"
        result |= {"changed": False, "msg": f"{count}, {len(site.hosts)} hosts read, none touched"}
        # One text block: Ansible prints msg twice on a failure, and would quote and fold the items of a list.
        listing = "".join(f"{problem}\n" for problem in problems)
        if problems and args["fail"]:
            return result | {"failed": True, "problems": listing}
        return result | {"missing_secrets": missing, "secrets": made, "problems": listing}

    def _site(self, task_vars: Mapping[str, Any], rules: Rules, roles: Path) -> Site:
        groups = {name: [str(host) for host in hosts] for name, hosts in task_vars["groups"].items()}
        hosts, origins, failures, written = {}, {}, {}, {}
        templated: dict[str, frozenset[str]] = {}
        stand_ins = {secret.name: STAND_IN.format(name=secret.name) for secret in rules.secrets}
        for host in groups.get("all", []):
            raw = task_vars["hostvars"].raw_get(host)
            of_site = {name: value for name, value in raw.items() if _is_of_site(name, value, rules)}
            written[host] = _plain(of_site)
            templated[host] = frozenset(name for name, value in of_site.items() if _is_templated_secret(name, value))
            # Told by its name; what it would be worked out to, or why it cannot be, would show a part of it.
            of_vault = dict.fromkeys(templated[host], "x" * 64)
            raw = stand_ins | raw | of_vault | {"hostvars": task_vars["hostvars"]}
            hosts[host], failures[host] = self._values(raw, list(of_site), rules)
            origins[host] = {str(name): place for name in of_site if (place := _origin(name, of_site[name]))}
        named = {path for values in hosts.values() for name in FILES if isinstance(path := values.get(name), str)}
        absent = frozenset(path for path in named if path and not Path(path).is_file())
        folder, files = _inventory_folder(task_vars)
        options = role_options(roles)
        site = Site(_inventory(task_vars), groups, hosts, origins, failures, written, absent, folder, files)
        if any(templated.values()):
            # What reads such a secret through another host's variables fails, and the cause would quote it.
            return replace(site, templated=templated, failures={})
        return replace(
            site,
            misfits={host: _misfits(values, rules, options) for host, values in hosts.items()},
            broken_rules={host: self._broken_rules(task_vars, site, host, roles, rules) for host in hosts},
        )

    def _broken_rules(self, task_vars, site: Site, host: str, roles: Path, rules: Rules) -> list[str]:
        """What the roles of a host say of its values by the rules in their vars/main.yml."""
        raw = task_vars["hostvars"].raw_get(host)
        # A secret that is missing is told by another check; here it is one that no rule minds.
        missing = {one.name: "standin" * 6 for one in rules.secrets if not raw.get(one.name)}
        raw = raw | missing | {"hostvars": task_vars["hostvars"]}
        found = []
        for role in roles_of(site, host):
            inner = self._role_file(roles / role / "vars" / "main.yml")
            own = self._role_file(roles / role / "defaults" / "main.yml") | raw | inner
            templar = self._templar.copy_with_new_env(available_variables=own)
            for rule in inner.get(f"_{role}_rules", []):
                # What cannot be worked out before the facts are gathered is left to the role.
                with contextlib.suppress(AnsibleError):
                    if not templar.template(rule["holds"]):
                        found.append(str(templar.template(rule["says"])))
        return found

    def _role_file(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            return {}
        return self._loader.load_from_file(str(path), trusted_as_template=True) or {}

    def _values(self, raw: dict[str, Any], names: list[str], rules: Rules) -> tuple[dict[str, Any], dict[str, Failure]]:
        templar = self._templar.copy_with_new_env(available_variables=raw)
        read = read_names(rules)
        values, failures = {}, {}
        for name in names:
            if name not in rules.known | read:
                values[name] = _plain(raw[name])
                continue
            try:
                values[name] = _plain(templar.template(raw[name]))
            except AnsibleUndefinedVariable as error:
                found = _UNDEFINED.search(str(error))
                undefined = found.group(1) if found else None
                # Facts are not gathered yet, and a role's own defaults are seen only inside it.
                later = undefined is not None and (undefined in rules.known or undefined.startswith(("ansible_", "_")))
                if name in read or not later:
                    failures[name] = Failure(undefined, "a value in it is undefined")
            except AnsibleError as error:
                if name in read:
                    failures[name] = Failure(None, " ".join(str(error.message).split())[:200])
        return values, failures


def _misfits(values: Mapping[str, Any], rules: Rules, options: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    secrets = {str(values[one.name]) for one in rules.secrets if values.get(one.name)}
    found = {}
    for name in (options.keys() & values.keys()) - ELSEWHERE:
        if wrong := misfit(name, values[name], options[name], _validate, secrets):
            found[name] = wrong
    return found


def _validate(spec: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    return list(ArgumentSpecValidator(spec).validate(values).error_messages)


def _rules(args: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Rules:
    roles = Path(args["roles_path"])
    known, prefixes = known_names(roles)
    if args["wiring"]:
        known |= set(load_mapping(Path(args["wiring"])))
    named = tuple(
        Secret(**(dict(entry) | {field: tuple(entry[field]) for field in ("groups", "used_by") if field in entry}))
        for entry in args["secrets"]
    )
    secrets = with_host_secrets(named, [str(host) for host in task_vars["groups"].get("app", [])])
    site_variables = {str(name) for name in args["site_variables"]}
    return Rules(
        known=frozenset(known | site_variables | {secret.name for secret in secrets}),
        prefixes=frozenset(prefixes | set(args["prefixes"])),
        secrets=secrets,
        together=tuple(tuple(group) for group in args["together"]),
        own=frozenset(args["own_variables"]),
        roles=frozenset(role.name for role in roles.iterdir()),
    )


def _is_of_site(name: str, value: Any, rules: Rules) -> bool:
    """Leave out what Ansible itself puts among the variables of a host."""
    return name in rules.known or name.startswith(tuple(rules.prefixes)) or _origin(name, value) is not None


def _is_templated_secret(name: str, value: Any) -> bool:
    """Say whether a value in a vault is one that Ansible works out instead of taking it as it stands."""
    if not name.startswith("vault_") or not isinstance(value, str) or not any(mark in value for mark in _MARKS):
        return False
    place = (_origin(name, value) or "").rpartition(":")[0]
    return Path(place).stem.startswith("vault") and is_trusted_as_template(value)


def _origin(name: Any, value: Any) -> str | None:
    # The value first: when two files set a variable, Ansible keeps the key of the first and the value of the last.
    tag = Origin.get_tag(value) or Origin.get_tag(name)
    if tag is None or not tag.path:
        return None
    return f"{_short(tag.path)}:{tag.line_num or 1}"


def _short(path: str) -> str:
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


def _inventory(task_vars: Mapping[str, Any]) -> str:
    sources = [str(source) for source in task_vars.get("ansible_inventory_sources") or []]
    return _short(sources[0]) if sources else "the inventory"


def _inventory_folder(task_vars: Mapping[str, Any]) -> tuple[str, dict[str, bool]]:
    """Return the folder of the first source, and what Ansible reads in it or earlier versions laid there."""
    sources = [Path(source) for source in task_vars.get("ansible_inventory_sources") or [] if Path(source).exists()]
    if not sources:
        return "", {}
    folder = sources[0] if sources[0].is_dir() else sources[0].parent
    tops = [folder] if sources[0].is_dir() else [folder / name for name in FORMER]
    return str(folder), {
        str(path.relative_to(folder)): os.access(path, os.X_OK) for top in tops for path in _read_by_ansible(top)
    }


def _read_by_ansible(folder: Path) -> Iterator[Path]:
    ignored = tuple(constants.INVENTORY_IGNORE_EXTS)
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _OF_ANSIBLE]
        yield from (Path(path) / name for name in files if not name.startswith(".") and not name.endswith(ignored))


def _plain(value: Any) -> Any:
    """Turn Ansible's lazy and tagged containers into Python's own."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool | int | float) or value is None:
        return value
    return str(value)
