# SPDX-License-Identifier: Apache-2.0
"""Look once at a host and say what it lacks. Documented in library/host_check.py."""

from __future__ import annotations

import time

from ansible.plugins.action import ActionBase

from stowage.site.hosts import HostNeeds, judge_host, look_script

SPEC = {
    "data_dir": {"type": "path", "required": True},
    "min_free_mb": {"type": "int", "required": True},
    "max_clock_skew": {"type": "int", "required": True},
    "debian_versions": {"type": "list", "elements": "str", "required": True},
}
DEBIAN_PYTHON = "/usr/bin/python3"


class ActionModule(ActionBase):
    """Sends a shell script, not a module: only so can a host without Python be told in plain words."""

    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp=None, task_vars=None):
        """Fail with one line per lack."""
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(argument_spec=SPEC)
        # A word such as auto lets Ansible search; the roles need Debian's Python then.
        python = str(self._templar.template(task_vars.get("ansible_python_interpreter") or DEBIAN_PYTHON))
        needs = HostNeeds(
            python=python if python.startswith("/") else DEBIAN_PYTHON,
            user=str(self._templar.template(task_vars.get("ansible_user") or "the login user")),
            **args,
        )
        seen = self._low_level_execute_command(look_script(needs, time.time()))
        problems = judge_host(task_vars["inventory_hostname"], seen.get("stdout", ""), seen.get("stderr", ""), needs)
        result |= {"changed": False, "failed": bool(problems), "problems": "".join(f"{line}\n" for line in problems)}
        result["msg"] = f"{len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'}, nothing changed"
        return result
