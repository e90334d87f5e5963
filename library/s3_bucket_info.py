#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""What buckets there are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_bucket_info
short_description: Tell which S3 buckets exist and how they are set up
description: Lists buckets with their versioning and object lock.
options:
  names:
    description: Only these buckets. A name that does not exist is left out of the answer.
    type: list
    elements: str
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes.info
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: All buckets
  s3_bucket_info:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
  register: found
"""

RETURN = r"""
buckets:
  description: The buckets, by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the bucket.
      type: str
    versioning:
      description: V(enabled), V(suspended), V(never) or V(unsupported).
      type: str
    object_lock:
      description: Whether the bucket has object lock.
      type: bool
    durability:
      description:
        - V(strict), V(relaxed), V(none) or V(inherited) with O(driver=rustfs).
        - Null where the server has no such setting.
      type: str
  sample: [{name: qatlas-raw, versioning: enabled, object_lock: false, durability: strict}]
"""

import contextlib

from ansible.module_utils.stowage_module import StowageModule

with contextlib.suppress(ImportError):  # StowageModule says what is missing
    from stowage.s3.buckets import bucket_names, read_bucket
    from stowage.s3.connection import s3_client


def main():
    module = StowageModule({"names": {"type": "list", "elements": "str"}})

    def read():
        if module.empty:
            return {"buckets": []}
        client = s3_client(module.settings)
        names = module.params["names"]
        names = names if names is not None else bucket_names(client, module.settings.endpoint)
        found = [read_bucket(client, module.settings.endpoint, name) for name in sorted(names)]
        durability = module.driver.durability if module.params["driver"] == "rustfs" else lambda _name: None
        return {
            "buckets": [
                {
                    "name": bucket.name,
                    "versioning": bucket.versioning,
                    "object_lock": bucket.object_lock,
                    "durability": durability(bucket.name),
                }
                for bucket in found
                if bucket
            ]
        }

    module.read(read)


if __name__ == "__main__":
    main()
