# SPDX-License-Identifier: Apache-2.0
"""Look once at the folders of a store. Documented in library/store_path_check.py."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from stowage.site.store_paths import StorePathNeeds, judge_paths, look_script

SPEC = {
    "data_dirs": {"type": "list", "elements": "path", "required": True},
    "user": {"type": "str", "required": True},
    "uid": {"type": "int", "required": True},
    "gid": {"type": "int", "required": True},
    "filesystems": {"type": "list", "elements": "str", "required": True},
    "min_free_mb": {"type": "int", "required": True},
    "allow_same_device": {"type": "bool", "default": False},
    "volumes": {"type": "str", "required": True},
    "settings_file": {"type": "path", "required": True},
    "allow_topology_change": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Sends a shell script that reads, and fails with one line per fault."""

    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp=None, task_vars=None):
        """Fail with one line per fault."""
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(argument_spec=SPEC)
        needs = StorePathNeeds(**args)
        seen = self._low_level_execute_command(look_script(needs))
        problems = judge_paths(task_vars["inventory_hostname"], seen.get("stdout", ""), seen.get("stderr", ""), needs)
        result |= {"changed": False, "failed": bool(problems), "problems": "".join(f"{line}\n" for line in problems)}
        result["msg"] = f"{len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'}, nothing changed"
        return result
