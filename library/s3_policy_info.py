#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""What policies there are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_policy_info
short_description: Tell which policies an S3 store has
description: Lists policies with their documents in canonical form.
options:
  names:
    description: Only these policies. A name that does not exist is left out of the answer.
    type: list
    elements: str
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes.info
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: One policy
  s3_policy_info:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    names: [qatlas-assets-rw]
  register: found
"""

RETURN = r"""
policies:
  description: The policies, by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the policy.
      type: str
    document:
      description: The document in canonical form.
      type: dict
"""

import contextlib

from ansible.module_utils.stowage_module import StowageModule

with contextlib.suppress(ImportError):  # StowageModule says what is missing
    from stowage.access.policies import canonical


def main():
    module = StowageModule({"names": {"type": "list", "elements": "str"}})

    def read():
        driver = module.driver
        names = module.params["names"]
        found = driver.policies() if names is None else {name: driver.policy(name) for name in names}
        return {
            "policies": [
                {"name": name, "document": canonical(document, driver.actions)}
                for name, document in sorted(found.items())
                if document is not None
            ]
        }

    module.read(read)


if __name__ == "__main__":
    main()
