#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Buckets as code."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_bucket
short_description: Make S3 buckets present with versioning, object lock and quota, or absent
description:
  - Makes a bucket present, with versioning enabled where asked for, or removes an empty one.
  - Versioning is never suspended and data is never deleted unless O(force=true) asks for it.
  - Malformed and reserved names are refused before the server is called.
options:
  name:
    description: Name of the bucket.
    type: str
  buckets:
    description:
      - Several buckets in one call. Each item takes the options below; what an item leaves out comes from the call.
      - Mutually exclusive with O(name).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the bucket.
        type: str
        required: true
      state:
        description: See O(state).
        type: str
        choices: [present, absent]
      versioning:
        description: See O(versioning).
        type: str
        choices: [enabled]
      versioning_required:
        description: See O(versioning_required).
        type: bool
      object_lock:
        description: See O(object_lock).
        type: bool
      quota:
        description: See O(quota).
        type: str
      durability:
        description: See O(durability).
        type: str
        choices: [strict, relaxed, none]
      tags:
        description: See O(tags).
        type: dict
      force:
        description: See O(force).
        type: bool
  state:
    description:
      - V(present) makes the bucket if it is missing.
      - V(absent) removes an empty bucket, and fails on one that holds objects, versions or delete markers.
    type: str
    choices: [present, absent]
    default: present
  versioning:
    description: V(enabled) makes sure that versioning is on. Left out, versioning is not looked after.
    type: str
    choices: [enabled]
  versioning_required:
    description: V(false) turns a store that can not version into a warning.
    type: bool
    default: true
  object_lock:
    description:
      - V(true) makes the bucket with object lock, which turns versioning on as well.
      - Fails on a bucket that exists without it, since object lock can be given only at creation.
    type: bool
  quota:
    description:
      - Size limit such as V(500G), V(0) for none. Left out, it is not looked after.
      - Only for O(driver=rustfs) and O(driver=minio).
    type: str
  durability:
    description:
      - What RustFS syncs to disk before it acknowledges a write. V(strict) is everything; with V(relaxed), which
        buckets made by 1.0.0-rc.2 and later have of themselves, a power loss may take small objects that were
        acknowledged.
      - Only for O(driver=rustfs). A server that has no such setting is a warning. Left out, it is not looked after.
    type: str
    choices: [strict, relaxed, none]
  tags:
    description:
      - Tags that the bucket must have, such as V(stowage:managed-by) and V(stowage:prune-older-than), by which
        M(s3_prune) and M(s3_restore) know what holds for it. With an empty value, tags that it must not have.
      - Other tags are left alone. A store without tags for buckets takes no notice.
    type: dict
  force:
    description: With O(state=absent), first delete every object and version in the bucket.
    type: bool
    default: false
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: One bucket with versioning
  s3_bucket:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    name: qatlas-raw
    versioning: enabled

- name: All asset buckets with versioning, the events bucket without, in one call
  s3_bucket:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    check_unreachable: assume_absent
    buckets:
      - { name: qatlas-pdf, versioning: enabled }
      - { name: qatlas-md, versioning: enabled }
      - { name: qatlas-s3-events }

- name: Remove a bucket that nobody uses any more
  s3_bucket:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    name: qatlas-scratch
    state: absent
"""

RETURN = r"""
results:
  description: One entry for each bucket, in the order given. With O(name), its fields also stand at the top.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the bucket.
      type: str
      sample: qatlas-raw
    changed:
      description: Whether this bucket differed.
      type: bool
    differences:
      description: What differed.
      type: list
      elements: str
      sample: [versioning]
    state:
      description: V(present) or V(absent).
      type: str
    versioning:
      description: V(enabled), V(suspended), V(never) or V(unsupported), as it is now or would be.
      type: str
    versioning_before:
      description: The same before this call; null when the bucket was missing.
      type: str
    object_lock:
      description: Whether the bucket has object lock; looked at only when O(object_lock) is given.
      type: bool
    quota:
      description: Size limit in bytes, null for none.
      type: int
    durability:
      description: As it is now or would be, null where the server has no such setting or O(durability) was left out.
      type: str
    deleted_versions:
      description: With O(force=true), how many object versions were deleted.
      type: int
"""

import contextlib

from ansible.module_utils.common.text.formatters import human_to_bytes
from ansible.module_utils.stowage_module import StowageModule

with contextlib.suppress(ImportError):  # StowageModule says what is missing
    from stowage.s3.buckets import WantedBucket, reconcile_bucket
    from stowage.s3.connection import s3_client

OPTIONS = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "versioning": {"type": "str", "choices": ["enabled"]},
    "versioning_required": {"type": "bool", "default": True},
    "object_lock": {"type": "bool"},
    "quota": {"type": "str"},
    "durability": {"type": "str", "choices": ["strict", "relaxed", "none"]},
    "tags": {"type": "dict"},
    "force": {"type": "bool", "default": False},
}


def main():
    module = StowageModule(OPTIONS, many="buckets")

    client = s3_client(module.settings)

    def reconcile(options):
        quota = options["quota"]
        wanted = WantedBucket(
            options["name"],
            present=options["state"] == "present",
            versioned=options["versioning"] == "enabled",
            versioning_required=options["versioning_required"],
            object_lock=options["object_lock"],
            quota=None if quota is None else human_to_bytes(quota),
            durability=options["durability"],
            tags={str(name): str(value or "") for name, value in (options["tags"] or {}).items()},
            empty_first=options["force"],
        )
        return reconcile_bucket(
            module.settings,
            wanted,
            beyond_s3=module.driver if quota is not None or options["durability"] else None,
            check=module.check,
            assume_absent=module.empty,
            client=client,
        )

    module.reconcile(reconcile)


if __name__ == "__main__":
    main()
