#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin plugins/action/host_check.py, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_check
short_description: Look once at a host and say what it lacks
description:
  - Sends one shell script that reads, so that a host without Python can be told too, and judges what it printed.
  - Looks at systemd, Python, the Debian release, the clock against the controller's, and free space.
  - Everything that is lacking is told at once, one line each, with the command that mends it.
options:
  data_dir:
    description: Directory whose file system is measured; the nearest existing parent counts.
    type: path
    required: true
  min_free_mb:
    description: Megabytes that must be free there; V(0) for a host that keeps no data.
    type: int
    required: true
  max_clock_skew:
    description: Seconds that the host's clock may differ from the controller's.
    type: int
    required: true
  debian_versions:
    description: Releases of Debian that the host may have.
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    description: Reads only, so it does the same in check mode.
    support: full
  diff_mode:
    support: none
author:
  - The Stowage developers
"""

EXAMPLES = r"""
- name: Stop here when a host can not carry its roles
  host_check:
    data_dir: /var/lib
    min_free_mb: 1024
    max_clock_skew: 60
    debian_versions: ["12", "13"]
"""

RETURN = r"""
problems:
  description: One line per lack; empty when nothing is lacking.
  type: str
  returned: always
"""
