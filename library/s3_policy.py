#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Policies as code."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_policy
short_description: Make policies of an S3 store say what they should
description:
  - Stores a policy document under a name, or removes it.
  - Two documents are the same when they mean the same. Order, a scalar against a list of one, the case of action names,
    empty fields that a server adds, the document's C(Id) and the spellings of a principal make no difference.
  - What is compared is what is sent, so booleans and numbers of conditions go as text and single values as lists.
  - C(NotAction), C(NotResource) and C(NotPrincipal) are refused where the server would store them and not obey them.
  - Before the document is sent, its form and each action name are checked against what the store's kind of server
    accepts, and the error names the nearest right spelling. After it was sent it is read back.
options:
  name:
    description: Name of the policy.
    type: str
  policies:
    description: Several policies in one call. What an item leaves out comes from the call.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the policy.
        type: str
        required: true
      document:
        description: See O(document).
        type: json
      state:
        description: See O(state).
        type: str
        choices: [present, absent]
      unknown_actions:
        description: See O(unknown_actions).
        type: str
        choices: [refuse, allow]
  document:
    description: The policy document, as data or as JSON text. Required with O(state=present).
    type: json
  state:
    description: V(absent) removes the policy, which fails while it is attached to somebody.
    type: str
    choices: [present, absent]
    default: present
  unknown_actions:
    description:
      - V(allow) sends action names that are not in this module's list, for a server that is newer than it.
      - All else of the document is checked in any case.
    type: str
    choices: [refuse, allow]
    default: refuse
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes
seealso:
  - module: s3_user
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: What a program may do with the asset bucket
  s3_policy:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    name: qatlas-assets-rw
    document: "{{ lookup('ansible.builtin.template', 'policies/assets-rw.json.j2') }}"

- name: Two policies in one call
  s3_policy:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    policies:
      - name: events-reader
        document:
          Version: "2012-10-17"
          Statement:
            - Effect: Allow
              Action: s3:GetObject
              Resource: arn:aws:s3:::events/*
      - name: old-policy
        state: absent
"""

RETURN = r"""
results:
  description: One entry for each policy, in the order given. With O(name), its fields also stand at the top.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the policy.
      type: str
    changed:
      description: Whether the stored document meant something else.
      type: bool
    differences:
      description: What differed.
      type: list
      elements: str
      sample: [policy]
    state:
      description: V(present) or V(absent).
      type: str
    document:
      description: The document in canonical form, as it is now or would be; null when absent.
      type: dict
"""

import contextlib

from ansible.module_utils.stowage_module import StowageModule

with contextlib.suppress(ImportError):  # StowageModule says what is missing
    from stowage import errors
    from stowage.access.reconcile import reconcile_policy

OPTIONS = {
    "name": {"type": "str"},
    "document": {"type": "json"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "unknown_actions": {"type": "str", "choices": ["refuse", "allow"], "default": "refuse"},
}


def main():
    module = StowageModule(OPTIONS, many="policies")

    def reconcile(options):
        present = options["state"] == "present"
        if present and not options["document"]:
            raise errors.BadInputError(f"policy {options['name']}: state present needs a document")
        return reconcile_policy(
            module.driver,
            options["name"],
            options["document"] if present else None,
            check=module.check,
            spelling=options["unknown_actions"] == "refuse",
        )

    module.reconcile(reconcile)


if __name__ == "__main__":
    main()
