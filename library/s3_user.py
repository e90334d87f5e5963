#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Users as code."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_user
short_description: Make users of an S3 store present with their policies, or absent
description:
  - A user here is the parent of access keys and the holder of policies. Nobody signs with its own secret, so none
    is set or returned; programs get their keys from M(s3_access_key).
  - A user whose record was lost while its keys remained (seen on RustFS) is found and made again; its keys work again
    unchanged.
options:
  name:
    description: Name of the user.
    type: str
  users:
    description: Several users in one call. What an item leaves out comes from the call.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the user.
        type: str
        required: true
      state:
        description: See O(state).
        type: str
        choices: [present, absent]
      status:
        description: See O(status).
        type: str
        choices: [enabled, disabled]
      policies:
        description: See O(policies).
        type: list
        elements: str
      policies_mode:
        description: See O(policies_mode).
        type: str
        choices: [exact, at_least]
  state:
    description: V(absent) removes the user together with its keys and attachments.
    type: str
    choices: [present, absent]
    default: present
  status:
    description:
      - Whether the user and its keys are let in. Left out, it is not looked after.
      - O(driver=iam) has no such switch; set the status of the user's keys instead.
    type: str
    choices: [enabled, disabled]
  policies:
    description: Names of the policies attached to the user. Left out, they are not looked after.
    type: list
    elements: str
  policies_mode:
    description:
      - V(exact) also takes away every other policy, inline policies of IAM included.
      - V(at_least) leaves other policies.
    type: str
    choices: [exact, at_least]
    default: exact
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes
seealso:
  - module: s3_policy
  - module: s3_access_key
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: The users of the site and what each may do
  s3_user:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    users:
      - { name: qatlasd, policies: [qatlas-assets-rw, qatlas-s3-events-ro] }
      - { name: qatlas-s3-events-writer, policies: [qatlas-s3-events-rw] }

- name: Remove a user and its keys
  s3_user:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    name: former-program
    state: absent
"""

RETURN = r"""
results:
  description: One entry for each user, in the order given. With O(name), its fields also stand at the top.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the user.
      type: str
    changed:
      description: Whether this user differed.
      type: bool
    differences:
      description: What differed.
      type: list
      elements: str
      sample: [policies]
    state:
      description: V(present) or V(absent).
      type: str
    status:
      description: V(enabled) or V(disabled), as it is now or would be.
      type: str
    policies:
      description: Names of the attached policies, as they are now or would be.
      type: list
      elements: str
    groups:
      description: Groups the user belongs to, whose policies it has too.
      type: list
      elements: str
"""

import contextlib

from ansible.module_utils.stowage_module import StowageModule

with contextlib.suppress(ImportError):  # StowageModule says what is missing
    from stowage.access.reconcile import WantedUser, reconcile_user

OPTIONS = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "status": {"type": "str", "choices": ["enabled", "disabled"]},
    "policies": {"type": "list", "elements": "str"},
    "policies_mode": {"type": "str", "choices": ["exact", "at_least"], "default": "exact"},
}


def main():
    module = StowageModule(OPTIONS, many="users")

    def reconcile(options):
        status, policies = options["status"], options["policies"]
        wanted = WantedUser(
            options["name"],
            present=options["state"] == "present",
            enabled=None if status is None else status == "enabled",
            policies=None if policies is None else frozenset(policies),
            exact=options["policies_mode"] == "exact",
        )
        return reconcile_user(module.driver, wanted, check=module.check)

    module.reconcile(reconcile)


if __name__ == "__main__":
    main()
