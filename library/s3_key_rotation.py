#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Rotation of all keys of a site."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_key_rotation
short_description: Rotate the access keys of a site so that no other key of their users is left
description:
  - Four phases around what programs must be given meanwhile. Every one of them can be run again.
  - An old key that signed links lives on until the last of them has died. Any other key of a user that is not declared
    goes, because on SeaweedFS whoever holds a key can make further ones of the same user with it.
  - Keys are listed again after they were removed, and the module fails when one is left.
options:
  user:
    description: The user that owns the key, where there is only one to rotate.
    type: str
  access_key_id:
    description: Id of its key as declared; empty when there is none yet.
    type: str
  secret_access_key:
    description: Secret of its key as declared.
    type: str
  link_seconds:
    description: Longest life of a link that the key signs; 0 when it signs none.
    type: int
    default: 0
  phase:
    description:
      - V(begin) makes a new key for each user, beside the declared one, and returns it.
      - V(switched) notes that all programs have the declared key, and turns the others off.
      - V(retired) removes the others.
      - V(look) changes nothing, and fails when a key works that is not declared.
    type: str
    choices: [begin, switched, retired, look]
    required: true
  keys:
    description: The keys of the site. What an item leaves out comes from the call.
    type: list
    elements: dict
    suboptions:
      user:
        description: The user that owns the key.
        type: str
        required: true
      access_key_id:
        description: Id of its key as declared; empty when there is none yet.
        type: str
      secret_access_key:
        description: Secret of its key as declared.
        type: str
      link_seconds:
        description: See O(link_seconds).
        type: int
  record:
    description: File on the controller that remembers which old key lives on and since when; it holds no secret.
    type: path
    required: true
  now:
    description: Whether the old keys leaked. Then nothing of them lives on, and the links that they signed die.
    type: bool
    default: false
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes
notes:
  - Register the result of phase V(begin) with C(no_log=true), since it holds the secrets of new pairs.
seealso:
  - module: s3_access_key
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: Remove every key of the file service but the one in the vault
  s3_key_rotation:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    phase: retired
    now: true
    record: "{{ stowage_state_dir }}/rotation.json"
    keys:
      - user: filator
        access_key_id: "{{ vault_filator_s3_access_key }}"
        secret_access_key: "{{ vault_filator_s3_secret_key }}"
"""

RETURN = r"""
results:
  description: One entry for each key, in the order given.
  returned: always, except in phase look
  type: list
  elements: dict
  contains:
    name:
      description: The user.
      type: str
    changed:
      description: Whether a key was made, turned off or removed.
      type: bool
    differences:
      description: What differed.
      type: list
      elements: str
      sample: [key]
    user:
      description: The user.
      type: str
    access_key_id:
      description: Id of its key.
      type: str
    waiting:
      description: Which old key lives on and until when; empty when none does.
      type: str
    credentials:
      description: The pair that was made, only in the run that made it.
      type: dict
      contains:
        access_key_id:
          description: Id of the new key.
          type: str
        secret_access_key:
          description: Secret of the new key.
          type: str
mismatches:
  description: What is wrong, one line for each key.
  returned: phase look
  type: list
  elements: str
"""

import contextlib
from pathlib import Path

from ansible.module_utils.stowage_module import StowageModule

with contextlib.suppress(ImportError):  # StowageModule says what is missing
    from stowage import errors
    from stowage.access.keys import signs
    from stowage.access.model import Credentials
    from stowage.access.rotation_site import SiteKey, SiteRotation

OPTIONS = {
    "user": {"type": "str"},
    "access_key_id": {"type": "str", "no_log": False},
    "secret_access_key": {"type": "str", "no_log": True},
    "link_seconds": {"type": "int", "default": 0},
}
EXTRA = {
    "phase": {"type": "str", "choices": ["begin", "switched", "retired", "look"], "required": True},
    "record": {"type": "path", "required": True},
    "now": {"type": "bool", "default": False},
}


def main():
    module = StowageModule(OPTIONS, many="keys", main="user", extra=EXTRA)

    def key_of(options):
        key_id, secret = options["access_key_id"], options["secret_access_key"]
        if bool(key_id) != bool(secret):
            raise errors.BadInputError(
                f"key of user {options['user']}: access_key_id and secret_access_key, or neither"
            )
        return SiteKey(options["user"], Credentials(key_id, secret) if key_id else None, options["link_seconds"])

    def rotation():
        return SiteRotation(
            module.driver,
            lambda pair: signs(module.settings, pair),
            Path(module.params["record"]),
            at_once=module.params["now"],
            check=module.check,
        )

    if module.params["phase"] == "look":
        module.read(lambda: {"mismatches": [line for one in module.objects() for line in rotation().look(key_of(one))]})
    step = {"begin": "begin", "switched": "switch", "retired": "retire"}[module.params["phase"]]
    module.reconcile(lambda options: getattr(rotation(), step)(key_of(options)))


if __name__ == "__main__":
    main()
