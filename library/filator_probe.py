#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Use the file service through every edge as a client does."""

from __future__ import annotations

DOCUMENTATION = r"""
module: filator_probe
short_description: Upload, fetch and open presigned links through every edge of a site
description:
  - Uploads a file of random bytes through each edge, fetches it through the next one, asks that one for a presigned
    link, opens it, compares all bytes and deletes the file again.
  - Tries at each edge what somebody without a token may not do; none of it would change anything if it were let in.
  - Fails with one line per fault, which names the edge and the likely cause.
options:
  edges:
    description: The public faces of the site.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: For messages.
        type: str
        required: true
      service_url:
        description: URL of the file service at this edge.
        type: str
        required: true
      s3_url:
        description: Public endpoint of the store at this edge; links that it gives must name it. Empty, none is tried.
        type: str
        default: ""
      ca_bundle:
        description: PEM file of the authorities to trust; empty, the system's.
        type: str
        default: ""
      address:
        description: Address to connect to instead of asking DNS, as with C(curl --resolve).
        type: str
        default: ""
  token:
    description: Bearer token with the scopes read, write and admin; empty where the service is open.
    type: str
    default: ""
  access:
    description: >-
      V(tokens) where every request without a token must be refused; V(open) where files are open on purpose, and only
      the archive, the status page, readiness and metrics must be refused; V(private) where nothing of it is tried,
      since O(edges) name a listener that is open to its network.
    type: str
    choices: [tokens, open, private]
    default: tokens
  size:
    description: Bytes to upload.
    type: int
    default: 65536
extends_documentation_fragment:
  - stowage_attributes.info
author: The Stowage developers
"""

EXAMPLES = r"""
- name: Use both edges as a client does
  filator_probe:
    edges:
      - name: edge1
        service_url: https://files.example.net
        s3_url: https://s3.example.net
      - name: edge2
        service_url: https://192.0.2.21
        s3_url: https://192.0.2.21:9443
        ca_bundle: authorities/edge2.crt
    token: "{{ vault_filator_token_verify }}"
"""

RETURN = r"""
steps:
  description: What was tried, in order.
  returned: always
  type: list
  elements: dict
  contains:
    what:
      description: The step.
      type: str
    edge:
      description: The edge that answered, or should have.
      type: str
    problem:
      description: Why it failed; empty when it went well.
      type: str
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule


def main():
    """See DOCUMENTATION."""
    edge = {
        "name": {"type": "str", "required": True},
        "service_url": {"type": "str", "required": True},
        "s3_url": {"type": "str", "default": ""},
        "ca_bundle": {"type": "str", "default": ""},
        "address": {"type": "str", "default": ""},
    }
    module = AnsibleModule(
        argument_spec={
            "edges": {"type": "list", "elements": "dict", "required": True, "options": edge},
            "token": {"type": "str", "default": "", "no_log": True},
            "access": {"type": "str", "choices": ["tokens", "open", "private"], "default": "tokens"},
            "size": {"type": "int", "default": 65536},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, skipped=True, steps=[], msg="a probe uploads files: not in check mode")
    from stowage.service_probe import Edge, round_trips, strangers  # noqa: PLC0415 -- after check mode has left

    edges = [Edge(**one) for one in module.params["edges"]]
    access = module.params["access"]
    steps = [] if access == "private" else strangers(edges, access=access)
    steps += round_trips(edges, token=module.params["token"], size=module.params["size"])
    problems = [step.problem for step in steps if step.problem]
    result = {"changed": False, "steps": [asdict(step) for step in steps]}
    if problems:
        module.fail_json(msg="; ".join(problems), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
