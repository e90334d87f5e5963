# SPDX-License-Identifier: Apache-2.0
"""Runs a module of library/ in the controller's own process, where that is the same as running it the usual way.

A task that runs on the controller with the controller's Python gains nothing from what Ansible does for a module on
another host: pack it, start an interpreter, import boto3, read the service descriptions again. The plays on the store
consist of such tasks, and a worker forked from a process that has done so once starts in milliseconds. Elsewhere
(another host, become, async, another interpreter, an environment of its own) the module is run as ever.
ansible.netcommon does the same under the name of direct execution.

The arguments go through Ansible's own encoder, the result through its own decoder, so the module cannot tell.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible.module_utils import basic
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import module_loader, module_utils_loader
from ansible.vars.clean import remove_internal_keys

# Before the workers are forked, see above. What goes wrong here goes wrong in the module too, which says it better.
with contextlib.suppress(Exception):
    for _engine in ("stowage.access.connect", "stowage.s3.buckets"):
        importlib.import_module(_engine)
    importlib.import_module("stowage.s3.connection").warm_up()

_SHARED = "ansible.module_utils.stowage_module"
_PROFILE = "legacy"


class ActionModule(ActionBase):
    """Stands before each module whose name a link to this file bears."""

    _supports_check_mode = True
    _supports_diff = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returned.

        Args:
            tmp: not used, of an older Ansible.
            task_vars: variables of the host.
        """
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        if self._may_run_here(variables):
            result |= self._run_here(variables)
        else:
            result |= self._execute_module(task_vars=variables, wrap_async=self._task.async_val)
        if self._task.no_log:
            _hide_each(result)
        return result

    def _may_run_here(self, variables: dict[str, Any]) -> bool:
        if self._task.async_val or self._play_context.become or any(self._task.environment or []):
            return False
        if self._connection.transport != "local" or not hasattr(basic.AnsibleModule, "_record_module_result"):
            return False
        delegated = variables.get("ansible_delegated_vars", {}).get(self._task.delegate_to, variables)
        interpreter = self._templar.template(delegated.get("ansible_python_interpreter"))
        return interpreter is not None and Path(str(interpreter)) == Path(sys.executable)

    def _run_here(self, variables: dict[str, Any]) -> dict[str, Any]:
        self._update_module_args(self._task.action, self._task.args, variables)
        encoder = get_module_encoder(_PROFILE, Direction.CONTROLLER_TO_MODULE)
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": self._task.args}, cls=encoder)
        # Each task has a process of its own, so nothing of this has to be put back.
        basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = arguments.encode(), _PROFILE
        module = _loaded(self._task.action, Path(module_loader.find_plugin(self._task.action)))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            module.main()
        answer: dict[str, Any] = self._parse_returned_data({"stdout": printed.getvalue(), "stderr": ""}, _PROFILE)
        remove_internal_keys(answer)
        return answer


def _hide_each(result: dict[str, Any]) -> None:
    """Hide what stands in ``results`` too: Ansible takes it for a loop's, where each item has to ask for it."""
    for one in result.get("results") or []:
        if isinstance(one, dict):
            one["_ansible_no_log"] = True


def _loaded(name: str, path: Path) -> ModuleType:
    """The module's code, with what the modules share found where Ansible would have packed it."""
    if _SHARED not in sys.modules:
        shared = module_utils_loader.find_plugin("stowage_module")
        sys.modules[_SHARED] = _executed(_SHARED, Path(shared))
    return _executed(f"stowage_library_{name}", path)


def _executed(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
