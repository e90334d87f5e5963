#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Bucket notifications as code."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_notification
short_description: Bind buckets to event targets, so that an event really arrives
description:
  - Makes the notification bindings of a bucket what they should be, and reads them back.
  - An ARN of RustFS is put into lower case, which is how it names its targets; a wrong case would be accepted by the
    server and then send nothing. The module warns when it had to.
  - The target must be in the server's own list and online, and the bucket must not be one of O(sink_buckets).
options:
  name:
    description: Name of the bucket.
    type: str
  buckets:
    description: Several buckets in one call. What an item leaves out comes from the call.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the bucket.
        type: str
        required: true
      bindings:
        description: See O(bindings).
        type: list
        elements: dict
        suboptions:
          arn:
            description: The target.
            type: str
            required: true
          events:
            description: Which events.
            type: list
            elements: str
            required: true
          prefix:
            description: Only keys that begin so.
            type: str
          suffix:
            description: Only keys that end so.
            type: str
      mode:
        description: See O(mode).
        type: str
        choices: [exact, at_least]
      sink_buckets:
        description: See O(sink_buckets).
        type: list
        elements: str
      allow_offline:
        description: See O(allow_offline).
        type: bool
  bindings:
    description: The bindings of the bucket. An empty list with O(mode=exact) takes all away.
    type: list
    elements: dict
    suboptions:
      arn:
        description: The target, as V(arn:rustfs:sqs::NAME:webhook).
        type: str
        required: true
      events:
        description: Names such as V(s3:ObjectCreated:*), or V(put), V(delete), V(get) for short.
        type: list
        elements: str
        required: true
      prefix:
        description: Only keys that begin so.
        type: str
      suffix:
        description: Only keys that end so.
        type: str
  mode:
    description:
      - V(exact) takes other bindings away and names them in a warning.
      - V(at_least) keeps them, those of other kinds (topics, functions) and of foreign queues as they are. Where one of
        them is a rule that this server would not take again, nothing is changed and the call fails.
      - Bindings to the same target that overlap are made one in both modes, so that no event is sent twice. An overlap
        that can not be cut out, as that of a prefix with a suffix, is refused.
    type: str
    choices: [exact, at_least]
    default: exact
  sink_buckets:
    description: Buckets that are written to because of events. Binding one of them is refused, it would never end.
    type: list
    elements: str
    default: []
  allow_offline:
    description: Bind to a target that is offline, with a warning. Its queue keeps the events until it is back.
    type: bool
    default: false
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes
seealso:
  - module: s3_server_info
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: Every write to the asset buckets leaves a trace
  s3_notification:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    driver: rustfs
    sink_buckets: [qatlas-s3-events]
    bindings:
      - arn: arn:rustfs:sqs::qatlas:webhook
        events: [put, delete]
    buckets:
      - name: qatlas-pdf
      - name: qatlas-md

- name: No events of this bucket any more
  s3_notification:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    driver: rustfs
    name: qatlas-pdf
    bindings: []
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
    changed:
      description: Whether its bindings differed.
      type: bool
    differences:
      description: What differed.
      type: list
      elements: str
      sample: [bindings]
    bindings:
      description: The bindings, as they are now or would be.
      type: list
      elements: dict
      sample: [{arn: "arn:rustfs:sqs::qatlas:webhook", events: ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]
    lost:
      description: Bindings that were (or would be) taken away.
      type: list
      elements: dict
"""

import contextlib

from ansible.module_utils.stowage_module import StowageModule

with contextlib.suppress(ImportError):  # StowageModule says what is missing
    from stowage import errors
    from stowage.events.bindings import binding
    from stowage.events.reconcile import reconcile_bindings
    from stowage.s3.connection import s3_client

BINDING = {
    "arn": {"type": "str", "required": True},
    "events": {"type": "list", "elements": "str", "required": True},
    "prefix": {"type": "str"},
    "suffix": {"type": "str"},
}
OPTIONS = {
    "name": {"type": "str"},
    "bindings": {"type": "list", "elements": "dict", "options": BINDING},
    "mode": {"type": "str", "choices": ["exact", "at_least"], "default": "exact"},
    "sink_buckets": {"type": "list", "elements": "str", "default": []},
    "allow_offline": {"type": "bool", "default": False},
}


def main():
    module = StowageModule(OPTIONS, many="buckets")
    client = s3_client(module.settings)

    def reconcile(options):
        if options["bindings"] is None:
            raise errors.BadInputError(f"bucket {options['name']}: no bindings given", "right: bindings: [] for none")
        wanted = [
            binding(one["arn"], one["events"], one["prefix"] or "", one["suffix"] or "") for one in options["bindings"]
        ]
        outcome = reconcile_bindings(
            client,
            module.driver,
            module.settings.endpoint,
            options["name"],
            wanted,
            mode=options["mode"],
            sink_buckets=options["sink_buckets"],
            allow_offline=options["allow_offline"],
            check=module.check,
            assume_absent=module.empty,
        )
        for asked, used in zip(options["bindings"], wanted, strict=True):
            if asked["arn"] != used.arn:
                outcome.warnings.append(f"{asked['arn']} is {used.arn} on the server: bound in lower case")
        return outcome

    module.reconcile(reconcile)


if __name__ == "__main__":
    main()
