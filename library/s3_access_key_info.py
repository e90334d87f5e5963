#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""What users and keys there are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_access_key_info
short_description: Tell which users and access keys an S3 store has
description: Lists users with their policies and the ids of their keys, never a secret.
options:
  users:
    description:
      - Only these users. A user whose record is lost while its keys remain appears with RV(users[].state=lost).
      - Left out, all users of the store.
    type: list
    elements: str
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes.info
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: Who has a key
  s3_access_key_info:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
  register: found
"""

RETURN = r"""
users:
  description: The users, by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the user.
      type: str
    state:
      description: V(present), V(absent), or V(lost) when only its keys are left.
      type: str
    status:
      description: V(enabled) or V(disabled).
      type: str
    policies:
      description: Names of the attached policies.
      type: list
      elements: str
    keys:
      description: Its keys, each with RV(users[].keys[].access_key_id) and RV(users[].keys[].status).
      type: list
      elements: dict
      contains:
        access_key_id:
          description: Id of the key.
          type: str
        status:
          description: V(active) or V(inactive).
          type: str
"""

from ansible.module_utils.stowage_module import StowageModule


def main():
    module = StowageModule({"users": {"type": "list", "elements": "str"}})

    def read():
        driver = module.driver
        names = module.params["users"]
        users = driver.users() if names is None else {name: driver.user(name) for name in names}
        return {"users": [_shown(name, user, driver.keys_of(name)) for name, user in sorted(users.items())]}

    module.read(read)


def _shown(name, user, keys):
    state = "present" if user else ("lost" if keys else "absent")
    return {
        "name": name,
        "state": state,
        "status": "enabled" if user and user.enabled else "disabled",
        "policies": sorted(user.policies) if user else [],
        "keys": [
            {"access_key_id": key.access_key_id, "status": "active" if key.enabled else "inactive"} for key in keys
        ],
    }


if __name__ == "__main__":
    main()
