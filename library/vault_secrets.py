#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin plugins/action/vault_secrets.py, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_secrets
short_description: Add missing secrets to an Ansible Vault file
description:
  - Generates the secrets that a vault file lacks, or stores given ones, and writes the file encrypted.
  - A secret that has a value is never overwritten, unless O(replace) names it. An empty one counts as missing.
  - Comments, order and everything else in the file stay as they are; a file that is not encrypted yet becomes so.
  - The file is written in one step, readable by its owner only, with the vault identity that Ansible has loaded.
  - Values never appear in the result, the diff or an error.
options:
  path:
    description: Vault file. It and its directory are made when missing.
    type: path
    required: true
  secrets:
    description: Secrets to generate when they are missing.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Variable name in the vault.
        type: str
        required: true
      kind:
        description: >-
          What it is for. V(access_key) takes capital letters and digits, the others letters and digits, because the
          values go into connection strings and INI files.
        type: str
        choices: [password, access_key, secret_key, token]
        default: password
      length:
        description: Number of characters, at least 8.
        type: int
        default: 32
  values:
    description: Secrets with a value that someone else chose, such as a key that the store minted.
    type: dict
    default: {}
  replace:
    description: Names whose present value gives way to the generated or given one.
    type: list
    elements: str
    default: []
notes:
  - Hosts do not see what was stored during the same run. P(ansible.builtin.include_vars) of the file with
    C(run_once=true) in a play over all hosts shows it to them (tasks_from V(reload) of role V(preflight)).
    C(meta=refresh_inventory) does not read group_vars again.
  - Give O(values) through a variable, so that verbose output shows the variable's name at most.
attributes:
  check_mode:
    description: Says which names would be added, writes nothing.
    support: full
  diff_mode:
    description: Shows names only.
    support: full
author:
  - The Stowage developers
"""

EXAMPLES = r"""
- name: Make the passwords that are missing
  vault_secrets:
    path: "{{ inventory_dir }}/group_vars/all/vault.yml"
    secrets:
      - {name: vault_redis_filator_password, kind: password, length: 32}

- name: Keep the key pair that the store has minted
  vault_secrets:
    path: "{{ inventory_dir }}/group_vars/all/vault.yml"
    values:
      vault_filator_s3_access_key: "{{ minted.access_key }}"
      vault_filator_s3_secret_key: "{{ minted.secret_key }}"
"""

RETURN = r"""
path:
  description: The vault file.
  type: str
  returned: success
added:
  description: Names that were missing or empty and now have a value.
  type: list
  elements: str
  returned: success
replaced:
  description: Names that were asked for in O(replace) and now have another value.
  type: list
  elements: str
  returned: success
kept:
  description: Names that had a value already.
  type: list
  elements: str
  returned: success
"""
