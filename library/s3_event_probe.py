#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""See by a canary in each bucket whether events arrive."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_event_probe
short_description: See by a canary whether the events of buckets arrive in the events bucket
description:
  - Writes an object under V(stowage-canary/) in each bucket, waits until its event can be read in the events bucket,
    and removes it again, its version included.
  - A bucket whose event does not arrive is named with the likely causes. A binding that can send nothing (none, a
    target that is not there, its name in the wrong case) is not waited for longer than for the others.
  - The event must name the key that wrote the canary, or the trace could not tell who wrote.
options:
  buckets:
    description: Buckets whose writes must leave a trace.
    type: list
    elements: str
    required: true
  events_bucket:
    description: Bucket that the sink writes to. It may not be one of O(buckets).
    type: str
    required: true
  reader_access_key:
    description: Key that may list and read O(events_bucket); empty, O(access_key).
    type: str
  reader_secret_key:
    description: Its secret.
    type: str
  timeout:
    description: Seconds to wait at the most. The sink uploads a batch when it is O(upload_timeout) old.
    type: float
    default: 150
  upload_timeout:
    description: The sink's own time between two uploads, as V(60), V(60s) or V(1m).
    type: str
    default: 1m
  heartbeat:
    description: Seconds between two heartbeats of the sink; with O(upload_timeout) it says how old the newest may be.
    type: float
    default: 300
  remember:
    description:
      - Seconds for which an earlier canary is proof enough, while the bucket's bindings are the same and the trace is
        fresh, so that a run that changes nothing does not wait for an upload. V(0), none is.
      - The proof lies in the events bucket beside the trace. A failure is never remembered.
    type: float
    default: 0
  renew:
    description: Write canaries although an earlier one would be proof enough, as after a restart of the sink.
    type: bool
    default: false
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes.probe
seealso:
  - module: s3_trace_info
  - module: s3_notification
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: An event of each asset bucket arrives
  s3_event_probe:
    endpoint: https://nas.example.net:9000
    access_key: "{{ object_store_root_access_key }}"
    secret_key: "{{ object_store_root_secret_key }}"
    driver: rustfs
    buckets: [qatlas-pdf, qatlas-md]
    events_bucket: s3-events
"""

RETURN = r"""
results:
  description: One entry for each bucket.
  returned: always
  type: list
  elements: dict
  contains:
    bucket:
      description: The bucket.
      type: str
    key:
      description: The canary, gone by now.
      type: str
    arrived:
      description: Whether its event was found.
      type: bool
    seconds:
      description: How long it took from the write until the event was read; null when none was.
      type: float
    copies:
      description: How often the event was found; delivery is at least once.
      type: int
    principal:
      description: The access key that the event names.
      type: str
    trace:
      description: The object in the events bucket that holds it.
      type: str
    proven:
      description: When an earlier canary arrived, where O(remember) let that be enough; else empty.
      type: str
    causes:
      description: What is wrong, likeliest first.
      type: list
      elements: str
    said:
      description: The same in a line.
      type: str
sink:
  description: How fresh the events bucket was at the end, as s3_trace_info tells it.
  returned: always
  type: dict
mismatches:
  description: One line for each bucket whose event did not arrive or names another key.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.stowage_module import StowageModule

OPTIONS = {
    "buckets": {"type": "list", "elements": "str", "required": True},
    "events_bucket": {"type": "str", "required": True},
    "reader_access_key": {"type": "str", "no_log": False},
    "reader_secret_key": {"type": "str", "no_log": True},
    "timeout": {"type": "float", "default": 150},
    "upload_timeout": {"type": "str", "default": "1m"},
    "heartbeat": {"type": "float", "default": 300},
    "remember": {"type": "float", "default": 0},
    "renew": {"type": "bool", "default": False},
}


def main():
    """See DOCUMENTATION."""
    module = StowageModule(OPTIONS, checked=False)

    def work():
        from stowage.events.canary import Probe  # noqa: PLC0415 -- boto3 is slow to load
        from stowage.events.trace import age_limit, seconds_of  # noqa: PLC0415
        from stowage.s3.connection import s3_client  # noqa: PLC0415

        given = module.params
        client = reader = s3_client(module.settings)
        if given["reader_access_key"]:
            reader = s3_client(module.settings.with_key(given["reader_access_key"], given["reader_secret_key"]))
        probe = Probe(
            client,
            reader,
            module.settings.endpoint,
            given["events_bucket"],
            access_key=module.settings.access_key,
            # MinIO's code keeps its list of targets to itself.
            targets=module.driver.targets() if given["driver"] == "rustfs" else None,
            age_limit=age_limit(given["heartbeat"], seconds_of(given["upload_timeout"])),
        )
        report = probe.run(given["buckets"], timeout=given["timeout"], remember=given["remember"], renew=given["renew"])
        return report.result()

    module.read(work)


if __name__ == "__main__":
    main()
