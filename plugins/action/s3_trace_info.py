# SPDX-License-Identifier: Apache-2.0
"""Runs library/s3_trace_info.py without a process of its own where that is the same; see direct.py."""

from ansible.plugins.loader import action_loader

ActionModule = action_loader.get("direct", class_only=True)
