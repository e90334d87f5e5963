#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""What a store tells of itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_server_info
short_description: Tell version, readiness, capabilities and event targets of an S3 store
description: Asks the store itself, so that nothing has to be assumed about its version.
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes.info
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: What is running on the NAS
  s3_server_info:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    driver: rustfs
  register: store
"""

RETURN = r"""
product:
  description: Name of the server; null when check mode assumed an empty store.
  returned: always
  type: str
  sample: seaweedfs
version:
  description: Its version, null when it does not tell.
  returned: always
  type: str
  sample: "4.48"
ready:
  description: Whether it says it is ready, null when it has no way to say.
  returned: always
  type: bool
capabilities:
  description: What it can do, as far as its version tells; empty where nothing depends on the version.
  returned: always
  type: dict
targets:
  description: Event targets with their state.
  returned: always
  type: list
  elements: dict
  contains:
    arn:
      description: What a bucket is bound to.
      type: str
    status:
      description: V(online), V(offline) or V(unknown).
      type: str
details:
  description: More, as the server tells it.
  returned: always
  type: dict
"""

from ansible.module_utils.stowage_module import StowageModule


def main():
    module = StowageModule({})

    def read():
        if module.empty:
            return {
                "product": None,
                "version": None,
                "ready": False,
                "capabilities": {},
                "targets": [],
                "details": {},
            }
        info = module.driver.info()
        return {
            "product": info.product,
            "version": info.version,
            "ready": info.ready,
            "capabilities": info.capabilities,
            "targets": [{"arn": one.arn, "status": one.status} for one in info.targets],
            "details": info.details,
        }

    module.read(read)


if __name__ == "__main__":
    main()
