#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""What a key can really do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_permission_probe
short_description: Try each verb with an access key and compare with a table of what must be allowed and refused
description:
  - Tries every verb of the table on the live store with the key under test, and fails listing each difference.
  - The connection options are the administrator's, who lays out scratch objects and removes them with their versions.
  - "No attempt does harm when it is allowed: objects are scratch objects, V(DeleteBucket) is tried only on a server
    that was just seen to refuse it for a bucket with an object in it, V(PutBucketVersioning) sends V(Enabled) where it
    is enabled already, V(PutBucketPolicy) sends something that is no policy, V(CreateBucket) makes an empty bucket that
    is removed at once."
  - A verb that can not be tried safely is reported as V(untested); see O(untested).
options:
  name:
    description: What to call this probe in messages, for example the user's name.
    type: str
  probes:
    description: Several keys in one call. What an item leaves out comes from the call.
    type: list
    elements: dict
    suboptions:
      name:
        description: See O(name).
        type: str
        required: true
      probe_access_key:
        description: See O(probe_access_key).
        type: str
      probe_secret_key:
        description: See O(probe_secret_key).
        type: str
      bucket:
        description: See O(bucket).
        type: str
      prefix:
        description: See O(prefix).
        type: str
      other_bucket:
        description: See O(other_bucket).
        type: str
      expected:
        description: See O(expected).
        type: dict
  probe_access_key:
    description: Id of the key under test.
    type: str
  probe_secret_key:
    description: Secret of the key under test.
    type: str
  bucket:
    description: Bucket on which the rights are tried.
    type: str
  prefix:
    description: Where in the bucket scratch objects go.
    type: str
    default: stowage-probe/
  other_bucket:
    description: A bucket in which the key must have no business, for the verbs that begin with V(OtherBucket).
    type: str
  expected:
    description:
      - The table. Each verb is V(allowed) or V(refused).
      - Verbs are V(ListBuckets), V(CreateBucket), V(DeleteBucket), V(HeadBucket), V(ListObjectsV2),
        V(ListObjectVersions), V(GetBucketLocation), V(GetBucketVersioning), V(PutBucketVersioning), V(PutBucketPolicy),
        V(GetObject), V(GetObjectVersion), V(PutObject), V(DeleteObject), V(DeleteObjectVersion), V(AnonymousGetObject),
        V(AnonymousListObjectsV2), V(OtherBucketGetObject), V(OtherBucketListObjectsV2) and V(OtherBucketPutObject).
      - V(ListBuckets) counts as refused when the answer names no bucket, because several servers answer everybody with
        what the key may see.
    type: dict
  untested:
    description:
      - Whether a verb that can not be tried safely on this server counts as a difference or only gives a warning.
      - For example V(PutBucketVersioning) on a bucket whose versioning is off.
    type: str
    choices: [fail, warn]
    default: fail
  settle:
    description: Seconds in which rights given a moment ago may become true; what differs is tried again so long.
    type: float
    default: 5
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes.probe
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: The sink can add to the trace and nothing else
  s3_permission_probe:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    name: events writer
    probe_access_key: "{{ vault_sink_access_key_id }}"
    probe_secret_key: "{{ vault_sink_secret_access_key }}"
    bucket: qatlas-s3-events
    other_bucket: qatlas-raw
    expected:
      PutObject: allowed
      ListObjectsV2: allowed
      DeleteObject: refused
      DeleteBucket: refused
      PutBucketPolicy: refused
      AnonymousGetObject: refused
      OtherBucketGetObject: refused
"""

RETURN = r"""
results:
  description: One entry for each probe. With O(name), its fields also stand at the top.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the probe.
      type: str
    bucket:
      description: Where it was tried.
      type: str
    table:
      description: One row for each verb.
      type: list
      elements: dict
      contains:
        verb:
          description: What was tried.
          type: str
        expected:
          description: V(allowed) or V(refused), as given.
          type: str
        found:
          description: V(allowed), V(refused) or V(untested).
          type: str
        evidence:
          description: The server's answer.
          type: str
      sample: [{verb: DeleteObject, expected: refused, found: refused, evidence: 403 AccessDenied}]
    mismatches:
      description: Each difference as one line.
      type: list
      elements: str
"""

import contextlib
import dataclasses

from ansible.module_utils.stowage_module import StowageModule

with contextlib.suppress(ImportError):  # StowageModule says what is missing
    from stowage import errors
    from stowage.access.probe import probe_key

OPTIONS = {
    "name": {"type": "str"},
    "probe_access_key": {"type": "str", "no_log": False},
    "probe_secret_key": {"type": "str", "no_log": True},
    "bucket": {"type": "str"},
    "prefix": {"type": "str", "default": "stowage-probe/"},
    "other_bucket": {"type": "str"},
    "expected": {"type": "dict"},
}


def main():
    module = StowageModule(
        OPTIONS,
        many="probes",
        checked=False,
        extra={
            "untested": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
            "settle": {"type": "float", "default": 5},
        },
    )

    def probe(options):
        missing = [one for one in ("probe_access_key", "probe_secret_key", "bucket", "expected") if not options[one]]
        if missing:
            raise errors.BadInputError(f"probe {options['name']}: {', '.join(missing)} missing")
        table = probe_key(
            module.settings,
            module.settings.with_key(options["probe_access_key"], options["probe_secret_key"]),
            options["bucket"],
            options["expected"],
            prefix=options["prefix"],
            other_bucket=options["other_bucket"],
            settle=module.params["settle"],
        )
        wrong = {row: f"{options['name']} on {options['bucket']}: {row}" for row in table if not row.as_expected}
        spared = [row for row in wrong if row.found == "untested" and module.params["untested"] == "warn"]
        for row in spared:
            module.module.warn(wrong.pop(row))
        return {
            "name": options["name"],
            "bucket": options["bucket"],
            "table": [dataclasses.asdict(row) for row in table],
            "mismatches": list(wrong.values()),
        }

    module.probe(probe)


if __name__ == "__main__":
    main()
