# SPDX-License-Identifier: Apache-2.0
"""Runs library/s3_event_probe.py without a process of its own where that is the same, and shows how far it is."""

from ansible.plugins.loader import action_loader
from ansible.utils.display import Display

from stowage.events import canary


class ActionModule(action_loader.get("direct", class_only=True)):
    """A wait of minutes says now and then what it waits for; elsewhere than on the controller it is silent."""

    def run(self, tmp=None, task_vars=None):
        """Return what the module returned."""
        canary.listeners[:] = [lambda line: Display().display(f"  {line}")]
        return super().run(tmp, task_vars)
