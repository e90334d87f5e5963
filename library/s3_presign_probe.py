#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Do presigned links open from outside?"""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_presign_probe
short_description: Fetch a canary by a presigned link through each public endpoint and say why it fails
description:
  - Puts a canary object through the internal endpoint, signs a GET for each public one, fetches it the way a client
    would, compares the bytes, and removes the canary with its version.
  - A failure is one line naming the endpoint and the cause, such as a proxy that rewrote Host or lost the port (with
    the Host the store saw), an unknown TLS authority, a wrong scheme, clocks that differ, a refused connection, a
    compressed answer, or a policy that forbids the read.
  - SeaweedFS also accepts a signature for the C(X-Forwarded-Host) that a proxy adds, so that a rewritten Host may go
    unnoticed on it; RustFS and MinIO do not.
options:
  bucket:
    description: Where the canary goes.
    type: str
    required: true
  prefix:
    description: Of the canary's key, which is random behind it.
    type: str
    default: stowage-probe/
  public_endpoints:
    description: The ways in from outside.
    type: list
    elements: dict
    required: true
    suboptions:
      endpoint:
        description: URL as clients call it, V(http(s)://host[:port]). The link is signed for it.
        type: str
        required: true
      ca_bundle:
        description: PEM file, on the controller, of the authority that signed its certificate.
        type: path
      validate_certs:
        description: V(false) takes any certificate.
        type: bool
        default: true
      resolve:
        description: Host to address, for names that DNS does not know, as C(curl --resolve) does.
        type: dict
        default: {}
  timeout:
    description: Seconds for each connection and each answer.
    type: float
    default: 10
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes.probe
author: The Stowage developers (@stowage)
"""

EXAMPLES = r"""
- name: Links open through every edge
  s3_presign_probe:
    endpoint: http://nas.example.net:9000
    access_key: "{{ vault_filator_s3_access_key }}"
    secret_key: "{{ vault_filator_s3_secret_key }}"
    bucket: qatlas-raw
    public_endpoints:
      - endpoint: https://s3.edge1.example.net
      - endpoint: https://s3.edge2.example.net:8443
        ca_bundle: /etc/ssl/edge2-ca.pem
        resolve: { s3.edge2.example.net: 192.0.2.17 }
"""

RETURN = r"""
results:
  description: One entry for each public endpoint, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    endpoint:
      description: The public endpoint.
      type: str
    works:
      description: Whether the bytes arrived as they were put.
      type: bool
    cause:
      description: Why not, in one line; null when it works.
      type: str
    status:
      description: HTTP status, null when there was no answer.
      type: int
"""

import contextlib

from ansible.module_utils.stowage_module import StowageModule

with contextlib.suppress(ImportError):  # StowageModule says what is missing
    from stowage.s3.presign import PublicEndpoint, probe_presigned

OPTIONS = {
    "bucket": {"type": "str", "required": True},
    "prefix": {"type": "str", "default": "stowage-probe/"},
    "public_endpoints": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "endpoint": {"type": "str", "required": True},
            "ca_bundle": {"type": "path"},
            "validate_certs": {"type": "bool", "default": True},
            "resolve": {"type": "dict", "default": {}},
        },
    },
    "timeout": {"type": "float", "default": 10},
}


def main():
    module = StowageModule(OPTIONS, checked=False)

    def probe(options):
        publics = [
            PublicEndpoint(one["endpoint"], one["ca_bundle"], one["resolve"], one["validate_certs"])
            for one in options["public_endpoints"]
        ]
        found = probe_presigned(
            module.settings, options["bucket"], publics, prefix=options["prefix"], timeout=options["timeout"]
        )
        return {
            "rows": [
                {"endpoint": one.endpoint, "works": one.works, "cause": one.cause, "status": one.status}
                for one in found
            ],
            "mismatches": [f"{one.endpoint}: {one.cause}" for one in found if not one.works],
        }

    module.probe(probe)


if __name__ == "__main__":
    main()
