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
    is enabled already, V(PutBucketPolicy) sends something that is no policy, V(CreateBucket) makes an empty bucket and
    V(CreateAccessKey) a key, which are removed at once."
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
      other_buckets:
        description: See O(other_buckets).
        type: list
        elements: str
      expected:
        description: See O(expected).
        type: dict
      policies:
        description: See O(policies).
        type: list
        elements: dict
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
    description:
      - A bucket in which the key must have no business, for the verbs that begin with V(OtherBucket).
      - Left out, one is made for the time of the probe.
    type: str
  other_buckets:
    description: Several such buckets; each is tried.
    type: list
    elements: str
  expected:
    description:
      - The table. Each verb is V(allowed) or V(refused).
      - Verbs are V(ListBuckets), V(CreateBucket), V(DeleteBucket), V(HeadBucket), V(ListObjectsV2),
        V(ListObjectVersions), V(GetBucketLocation), V(GetBucketVersioning), V(PutBucketVersioning), V(PutBucketPolicy),
        V(GetObject), V(GetObjectVersion), V(PutObject), V(DeleteObject), V(DeleteObjectVersion), V(AnonymousGetObject),
        V(AnonymousListObjectsV2), V(CreateAccessKey), V(OtherBucketGetObject), V(OtherBucketListObjectsV2) and
        V(OtherBucketPutObject).
      - V(CreateAccessKey) tries to make a further key of the key's own user, by the API that O(driver) names. SeaweedFS
        lets every key do that, whatever its policies say, so there it is a warning.
      - V(ListBuckets) counts as refused when the answer names no bucket, because several servers answer everybody with
        what the key may see.
    type: dict
  policies:
    description:
      - All policies of the key's user, instead of O(expected). The table is worked out from them, with all verbs that
        can be foretold and tried on O(bucket).
    type: list
    elements: dict
  skip:
    description: Verbs of a table worked out from O(policies) that are not tried.
    type: list
    elements: str
    default: []
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
    from stowage.access.connect import connect
    from stowage.access.expected import Ways, expected_rights
    from stowage.access.probe import probe_key
    from stowage.s3.connection import engine_errors, s3_client

# What a server lets every key do, whatever its policies say (docs/quirks.md).
NOT_WITHHELD = {("seaweedfs", "CreateAccessKey")}

OPTIONS = {
    "name": {"type": "str"},
    "probe_access_key": {"type": "str", "no_log": False},
    "probe_secret_key": {"type": "str", "no_log": True},
    "bucket": {"type": "str"},
    "prefix": {"type": "str", "default": "stowage-probe/"},
    "other_bucket": {"type": "str"},
    "other_buckets": {"type": "list", "elements": "str"},
    "expected": {"type": "dict"},
    "policies": {"type": "list", "elements": "dict"},
}


def main():
    module = StowageModule(
        OPTIONS,
        many="probes",
        checked=False,
        extra={
            "skip": {"type": "list", "elements": "str", "default": []},
            "untested": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
            "settle": {"type": "float", "default": 5},
        },
    )

    open_to_all = {}

    def ways():
        if module.params["driver"] != "rustfs":
            return Ways()
        own_right = module.driver.info().capabilities["versioned_read_has_its_own_right"]
        return Ways(list_gives_versions=True, get_gives_versions=not own_right)

    def table_of(options):
        if options["expected"]:
            return options["expected"]
        bucket = options["bucket"]
        with engine_errors(f"read versioning of bucket {bucket}", module.settings.endpoint):
            versioning = s3_client(module.settings).get_bucket_versioning(Bucket=bucket)
        table = expected_rights(
            options["policies"],
            bucket,
            others_of(options) or ["stowage-probe-foreign"],
            versioned=versioning.get("Status") == "Enabled",
            prefix=options["prefix"],
            ways=ways(),
        )
        return {verb: wanted for verb, wanted in table.items() if verb not in module.params["skip"]}

    def others_of(options):
        single = [options["other_bucket"]] if options["other_bucket"] else []
        return single + (options["other_buckets"] or [])

    def withheld(row):
        return row.found != "allowed" or (module.driver.info().product, row.verb) not in NOT_WITHHELD

    def probe(options):
        missing = [one for one in ("probe_access_key", "probe_secret_key", "bucket") if not options[one]]
        if bool(options["expected"]) == bool(options["policies"]):
            missing.append("one of expected and policies")
        if missing:
            raise errors.BadInputError(f"probe {options['name']}: {', '.join(missing)} missing")
        key = module.settings.with_key(options["probe_access_key"], options["probe_secret_key"])
        table = probe_key(
            module.settings,
            key,
            options["bucket"],
            table_of(options),
            prefix=options["prefix"],
            other_buckets=others_of(options),
            drivers=(module.driver, connect(module.params["driver"], key)),
            settle=module.params["settle"],
        )
        wrong = {row: f"{options['name']} on {options['bucket']}: {row}" for row in table if not row.as_expected}
        spared = [row for row in wrong if row.found == "untested" and module.params["untested"] == "warn"]
        for row in spared:
            module.module.warn(wrong.pop(row))
        for row in [row for row in wrong if not withheld(row)]:
            del wrong[row]
            open_to_all.setdefault(row.verb, []).append(f"{options['name']} on {options['bucket']}")
        return {
            "name": options["name"],
            "bucket": options["bucket"],
            "table": [dataclasses.asdict(row) for row in table],
            "mismatches": list(wrong.values()),
        }

    def told(options):
        result = probe(options)
        if options == module.objects()[-1]:
            for verb, seen in open_to_all.items():
                module.module.warn(f"this server lets every key do {verb}, see docs/quirks.md; seen: {', '.join(seen)}")
        return result

    module.probe(told)


if __name__ == "__main__":
    main()
