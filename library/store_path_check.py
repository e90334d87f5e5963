#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin plugins/action/store_path_check.py, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: store_path_check
short_description: Look once at the folders of a store and say what is wrong with them
description:
  - Sends one shell script that reads, and judges owner, free room, file system and device of each data folder.
  - Compares the disks and nodes with those that a server on this host was set up with.
  - Everything that is wrong is told at once, one line each, with the command that mends it.
options:
  data_dirs:
    description: Folder of each disk; for one that is not there yet the nearest folder above it is looked at.
    type: list
    elements: path
    required: true
  user:
    description: Name of the server's user.
    type: str
    required: true
  uid:
    description: Its number, which must own what lies in the folders.
    type: int
    required: true
  gid:
    description: Number of its group.
    type: int
    required: true
  filesystems:
    description: Types of file system that data may lie on, as C(df -T) names them.
    type: list
    elements: str
    required: true
  min_free_mb:
    description: Megabytes that must be free at each folder.
    type: int
    required: true
  allow_same_device:
    description: Whether several folders may lie on one device.
    type: bool
    default: false
  volumes:
    description: Disks of the whole store, as RUSTFS_VOLUMES will say it.
    type: str
    required: true
  settings_file:
    description: Environment file of a server that was set up before; it may be absent.
    type: path
    required: true
  allow_topology_change:
    description: Whether O(volumes) may differ from what stands in O(settings_file).
    type: bool
    default: false
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
- name: Look at disks and folders before anything is written
  store_path_check:
    data_dirs: [/srv/disk1, /srv/disk2]
    user: rustfs
    uid: 10001
    gid: 10001
    filesystems: [xfs, ext4]
    min_free_mb: 1024
    volumes: /srv/disk1 /srv/disk2
    settings_file: /etc/rustfs/rustfs.env
"""

RETURN = r"""
problems:
  description: One line per fault; empty when there is none.
  type: str
  returned: always
"""
