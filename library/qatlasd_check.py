#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin plugins/action/qatlasd_check.py, which judges on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: qatlasd_check
short_description: Wait until qatlasd is ready, and read what it said at its start
description:
  - Ready is what C(data.checks.rawstore.status) of C(/api/health) calls C(ok). The HTTP code is always 200 and the exit
    code of the process is 0 on most failures, so neither counts.
  - When the store is the cause, the host is asked whether the store answers it, and the line says so.
  - On every run the journal of this start must name the file with the settings, the store and its buckets, the public
    endpoint of presigned links, and versioning; the forms of one bucket and of one per kind are read. Once the journal
    has lost the beginning of this start, only what is left of it is judged, and RV(boot_judged) says so.
options:
  url:
    description: Where qatlasd listens, as the host itself reaches it.
    type: str
    required: true
  env_file:
    description: File with the settings that must have been loaded.
    type: path
    required: true
  endpoint:
    description: URL of the store; empty for the local backend.
    type: str
    default: ""
  buckets:
    description: Buckets in the order in which the server names them.
    type: list
    elements: str
    default: []
  public_endpoint:
    description: URL for which links are presigned; empty when there is no other than O(endpoint).
    type: str
    default: ""
  data_dir:
    description: Folder of the database, which holds the lock.
    type: path
    required: true
  timeout:
    description: Seconds to wait. With the store down the server looks at each bucket for ten seconds before it listens.
    type: float
    default: 60
attributes:
  check_mode:
    description: Reads only, so it does the same in check mode.
    support: full
  diff_mode:
    support: none
author:
  - The Stowage developers
"""

EXAMPLES = r"""
- name: Wait until qatlasd reaches its store
  qatlasd_check:
    url: http://127.0.0.1:4200
    env_file: /etc/quantum-atlas/.env
    endpoint: http://10.9.0.1:9000
    buckets: [qatlas-pdf, qatlas-md, qatlas-images]
    data_dir: /var/lib/quantum-atlas/pb_data
"""

RETURN = r"""
boot_judged:
  description: Whether the journal of this start was whole, so that the boot could be judged.
  type: bool
  returned: always
problems:
  description: What is wrong, one clause each; empty when nothing is.
  type: list
  elements: str
  returned: always
seconds:
  description: How long it took.
  type: float
  returned: always
"""
