#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Access keys as code."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_access_key
short_description: Make access keys of users of an S3 store, verify them, switch them off, remove them
description:
  - With O(access_key_id) and O(secret_access_key), a key that exists is verified (its owner, its status, and that the
    secret really signs) and a missing one is made, where the store lets the caller choose the pair.
  - Without them, a user that has no key gets one, which is returned once in RV(results[].credentials). Store it in the
    vault and pass it from the next run on; a second run then makes nothing.
  - No run makes a key beside one that is already there unless O(on_lost_secret=replace) asks for it.
options:
  user:
    description: The user that owns the key.
    type: str
  keys:
    description: Several keys in one call. What an item leaves out comes from the call.
    type: list
    elements: dict
    suboptions:
      user:
        description: The user that owns the key.
        type: str
        required: true
      access_key_id:
        description: See O(access_key_id).
        type: str
      secret_access_key:
        description: See O(secret_access_key).
        type: str
      state:
        description: See O(state).
        type: str
        choices: [present, absent, created, verified, switched, retired]
      old_access_key_id:
        description: See O(old_access_key_id).
        type: str
      status:
        description: See O(status).
        type: str
        choices: [active, inactive]
      description:
        description: See O(description).
        type: str
      on_lost_secret:
        description: See O(on_lost_secret).
        type: str
        choices: [fail, replace]
  access_key_id:
    description: Id of the key. An empty string counts as not given.
    type: str
  secret_access_key:
    description: Secret of the key. An empty string counts as not given.
    type: str
  state:
    description:
      - V(present) and V(absent) look after one key; V(absent) removes the key O(access_key_id).
      - The other four are the steps of a rotation away from O(old_access_key_id), each of which can be run again.
      - V(created) makes the new key beside the old one, and returns it when it was not declared.
      - V(verified) fails unless the new key signs. Give it to the programs then.
      - V(switched) turns the old key off, after the new one was seen to sign.
      - V(retired) removes the old key, if it is off, and fails while the user has any key but the new one.
    type: str
    choices: [present, absent, created, verified, switched, retired]
    default: present
  old_access_key_id:
    description: Id of the key that a rotation replaces.
    type: str
  status:
    description: Whether the key lets anybody in. Left out, it is not looked after; a new key is active.
    type: str
    choices: [active, inactive]
  description:
    description: What the key is for; kept by O(driver=rustfs) only.
    type: str
  on_lost_secret:
    description:
      - What to do when the caller can not hold the right secret any more. That is when the user has keys and no
        O(access_key_id) is given, when the declared secret does not sign, or when the declared key is gone from a store
        that takes no chosen pair.
      - V(replace) makes a pair in its place (the declared one where the store lets it), removes the user's old keys of
        which the caller holds none, and returns what the caller does not have.
    type: str
    choices: [fail, replace]
    default: fail
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes
notes:
  - Register the result with C(no_log=true), since it holds the secret of a new pair.
seealso:
  - module: s3_user
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: The key of the file service, as the vault has it, or a new one
  s3_access_key:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    driver: rustfs
    keys:
      - user: qatlasd
        access_key_id: "{{ vault_qatlasd_access_key_id | default('') }}"
        secret_access_key: "{{ vault_qatlasd_secret_access_key | default('') }}"
  register: keys
  no_log: true

- name: First step of a rotation. The new pair is returned once
  s3_access_key:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    driver: rustfs
    user: qatlasd
    old_access_key_id: "{{ vault_qatlasd_access_key_id }}"
    state: created
  register: rotated
  no_log: true

- name: Switch a key off that may have leaked
  s3_access_key:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    user: qatlasd
    access_key_id: AKIAIOSFODNN7EXAMPLE
    status: inactive
"""

RETURN = r"""
results:
  description: One entry for each key, in the order given. With O(user), its fields also stand at the top.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Id of the key.
      type: str
    changed:
      description: Whether this key differed.
      type: bool
    differences:
      description: What differed.
      type: list
      elements: str
      sample: [key]
    user:
      description: The user that owns the key.
      type: str
    access_key_id:
      description: Id of the key; null in check mode for a pair that would be made.
      type: str
    state:
      description: As asked for.
      type: str
    old_access_key_id:
      description: Id of the key that a rotation replaces.
      type: str
    status:
      description: V(active) or V(inactive), as it is now or would be.
      type: str
    credentials:
      description: The pair that was made, only in the run that made it. It is not shown again.
      type: dict
      contains:
        access_key_id:
          description: Id of the new key.
          type: str
        secret_access_key:
          description: Secret of the new key.
          type: str
"""

import contextlib

from ansible.module_utils.stowage_module import StowageModule

with contextlib.suppress(ImportError):  # StowageModule says what is missing
    from stowage import errors
    from stowage.access.keys import WantedKey, reconcile_key, signs
    from stowage.access.model import Credentials
    from stowage.access.rotation import STEPS, Rotation, rotate

OPTIONS = {
    "user": {"type": "str"},
    "access_key_id": {"type": "str", "no_log": False},
    "secret_access_key": {"type": "str", "no_log": True},
    "state": {
        "type": "str",
        "choices": ["present", "absent", "created", "verified", "switched", "retired"],
        "default": "present",
    },
    "old_access_key_id": {"type": "str", "no_log": False},
    "status": {"type": "str", "choices": ["active", "inactive"]},
    "description": {"type": "str"},
    "on_lost_secret": {"type": "str", "choices": ["fail", "replace"], "default": "fail", "no_log": False},
}


def main():
    module = StowageModule(OPTIONS, many="keys", main="user")

    def verify(pair):
        return signs(module.settings, pair)

    def step(options, pair):
        old_id = options["old_access_key_id"]
        if not old_id:
            raise errors.BadInputError(f"state {options['state']} of user {options['user']} needs old_access_key_id")
        rotation = Rotation(
            options["user"], old_id, pair, options["description"] or "", if_lost=options["on_lost_secret"]
        )
        return rotate(module.driver, rotation, options["state"], verify, check=module.check)

    def reconcile(options):
        key_id, secret, status = options["access_key_id"], options["secret_access_key"], options["status"]
        if secret and not key_id:
            raise errors.BadInputError(f"key of user {options['user']}: secret_access_key without access_key_id")
        pair = Credentials(key_id, secret) if key_id and secret else None
        if options["state"] in STEPS:
            return step(options, pair)
        wanted = WantedKey(
            options["user"],
            pair=pair,
            access_key_id=key_id or None,
            present=options["state"] == "present",
            enabled=None if status is None else status == "active",
            description=options["description"] or "",
            if_lost=options["on_lost_secret"],
        )
        return reconcile_key(module.driver, wanted, verify, check=module.check)

    module.reconcile(reconcile)


if __name__ == "__main__":
    main()
