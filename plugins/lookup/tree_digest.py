# Copyright: The Stowage developers
# SPDX-License-Identifier: Apache-2.0
"""Digest of files and folders on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: tree_digest
author: The Stowage developers
short_description: Digest of the contents of files and folders
description:
  - Gives one digest over the names and contents of all files named or below the folders named, so that a release can be
    told by what is in it.
  - Folders that tools leave behind (C(__pycache__), C(*.egg-info), C(.pytest_cache) and the like) and folders called
    C(tests) do not count.
options:
  _terms:
    description: Paths of files and folders on the controller.
    required: true
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show which source the wheel is built from
  ansible.builtin.debug:
    msg: "{{ lookup('tree_digest', 'service', 'requirements/service.txt') }}"
"""

RETURN = r"""
_raw:
  description: The first 12 hexadecimal digits of the SHA-256 digest.
  type: list
  elements: str
"""

import hashlib
from pathlib import Path

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

LEFT_BY_TOOLS = {"__pycache__", "tests", "build", "dist"}


def _counts(path: Path, top: Path) -> bool:
    parts = path.relative_to(top).parts
    return not any(part in LEFT_BY_TOOLS or part.startswith(".") or part.endswith(".egg-info") for part in parts)


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms: list[str], variables: dict | None = None, **kwargs: object) -> list[str]:
        """Return the digest of `terms`, in their order, as a list of one string."""
        digest = hashlib.sha256()
        for term in terms:
            top = Path(term)
            if not top.exists():
                raise AnsibleLookupError(f"tree_digest: {term} does not exist")
            files = [top] if top.is_file() else sorted(p for p in top.rglob("*") if p.is_file() and _counts(p, top))
            for file in files:
                digest.update(f"{file.relative_to(top.parent)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
        return [digest.hexdigest()[:12]]
