#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""How fresh the event trace is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_trace_info
short_description: Tell how old the newest object of the events bucket is, and whether uploads are stuck
description:
  - Fluent Bit's own health page says V(ok) while no upload succeeds, so its work is judged from outside. The sink makes
    a heartbeat event now and then; when the newest object is older than that and the upload time, uploads are stuck.
  - The age is told by the store's clock alone.
options:
  events_bucket:
    description: Bucket that the sink writes to.
    type: str
    required: true
  upload_timeout:
    description: The sink's own time between two uploads, as V(60), V(60s) or V(1m).
    type: str
    default: 1m
  heartbeat:
    description: Seconds between two heartbeats of the sink.
    type: float
    default: 300
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes.info
seealso:
  - module: s3_event_probe
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: Are uploads of events stuck
  s3_trace_info:
    endpoint: https://nas.example.net:9000
    access_key: "{{ vault_events_reader_s3_access_key }}"
    secret_key: "{{ vault_events_reader_s3_secret_key }}"
    events_bucket: s3-events
  register: trace
  failed_when: trace.stuck
"""

RETURN = r"""
newest:
  description: Key of the newest object; empty when there is none.
  returned: always
  type: str
seconds:
  description: Its age; null when there is none.
  returned: always
  type: float
limit:
  description: Age up to which all is well.
  returned: always
  type: float
stuck:
  description: Whether it is older, or there is none.
  returned: always
  type: bool
said:
  description: The same in a line.
  returned: always
  type: str
"""

from ansible.module_utils.stowage_module import StowageModule

OPTIONS = {
    "events_bucket": {"type": "str", "required": True},
    "upload_timeout": {"type": "str", "default": "1m"},
    "heartbeat": {"type": "float", "default": 300},
}


def main():
    """See DOCUMENTATION."""
    module = StowageModule(OPTIONS)

    def work():
        from stowage.events.trace import TraceAge, age_limit, seconds_of, trace_age  # noqa: PLC0415 -- boto3 is slow
        from stowage.s3.connection import s3_client  # noqa: PLC0415

        limit = age_limit(module.params["heartbeat"], seconds_of(module.params["upload_timeout"]))
        if module.empty:
            return TraceAge("", None, limit).result()
        client = s3_client(module.settings)
        return trace_age(client, module.settings.endpoint, module.params["events_bucket"], limit).result()

    module.read(work)


if __name__ == "__main__":
    main()
