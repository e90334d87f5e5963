#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Wait until a store has written and given back a canary."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_ready
short_description: Wait until an S3 store has written a signed canary and given it back
description:
  - Makes a bucket with a random name, writes an object, reads it, compares the bytes and removes both.
  - A refused key ends the wait at once, since waiting does not mend it.
options:
  timeout:
    description: Seconds to wait at the most.
    type: float
    default: 60
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes.info
author: The Stowage developers
"""

EXAMPLES = r"""
- name: Wait for the store after its restart
  s3_ready:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    timeout: 120
"""

RETURN = r"""
seconds:
  description: How long it took until the canary was read.
  returned: always
  type: float
tries:
  description: How many canaries were sent.
  returned: always
  type: int
"""

from dataclasses import asdict

from ansible.module_utils.stowage_module import StowageModule


def main():
    """See DOCUMENTATION."""
    module = StowageModule({"timeout": {"type": "float", "default": 60}}, checked=False)

    def work():
        from stowage.s3.ready import wait_until_ready  # noqa: PLC0415 -- boto3 is slow to load

        return asdict(wait_until_ready(module.settings, timeout=module.params["timeout"]))

    module.read(work)


if __name__ == "__main__":
    main()
