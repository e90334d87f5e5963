#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin plugins/action/site_check.py, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_check
short_description: Check a site's inventory before any host is touched
description:
  - Reads the variables of all hosts on the controller and finds what is wrong with them; no connection is opened.
  - Everything wrong is reported at once, one line each, as place, fault, what would be right, and the command that
    mends it. Values of secrets never appear.
  - The whole inventory is checked, whatever C(--limit) says.
options:
  roles_path:
    description: Directory with the roles whose defaults and argument specs say which variables exist.
    type: path
    required: true
  wiring:
    description: File that joins the roles; every variable in it counts as known.
    type: path
  secrets:
    description: Secrets of a site; see C(_preflight_secrets) in roles/preflight/vars/main.yml for the fields.
    type: list
    elements: dict
    default: []
  site_variables:
    description: Variables that plays read and that belong to no role, each with its description.
    type: dict
    default: {}
  prefixes:
    description: Reserved beginnings of names, besides the roles' own.
    type: list
    elements: str
    default: []
  own_variables:
    description: Names with a reserved beginning that the operator claims.
    type: list
    elements: str
    default: []
  together:
    description: Lists of variables that are either all set or all unset.
    type: list
    elements: list
    default: []
  fail:
    description: Whether a problem fails the task.
    type: bool
    default: true
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
- name: Stop here when the inventory is wrong
  site_check:
    roles_path: "{{ playbook_dir }}/../roles"
"""

RETURN = r"""
problems:
  description: One line per problem; empty when nothing is wrong.
  type: str
  returned: always
secrets:
  description: Name, kind and length of each secret, those of single app hosts among them; no values.
  type: list
  elements: dict
  returned: success
missing_secrets:
  description: Names of the secrets that are missing and that secrets_init would generate.
  type: list
  elements: str
  returned: success
"""
