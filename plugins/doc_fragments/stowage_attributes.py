"""What every module here can do, as Ansible's attributes."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of modules that change something; INFO of those that only read."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and return what it would change without changing anything.
    support: full
  diff_mode:
    description: Shows what differs, before and after, under C(--diff). Secrets are never part of it.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

    INFO = r"""
attributes:
  check_mode:
    description: Can run in check mode, where it does the same since it only reads.
    support: full
  diff_mode:
    description: Has nothing to show under C(--diff), since it changes nothing.
    support: N/A
  idempotent:
    description: Never changes anything.
    support: full
"""

    PROBE = r"""
attributes:
  check_mode:
    description: Can run in check mode and return what it would change without changing anything.
    support: partial
    details: Skipped in check mode, because a probe writes and removes scratch objects.
  diff_mode:
    description: Has nothing to show under C(--diff), since nothing it does outlives it.
    support: N/A
  idempotent:
    description: Leaves the store as it was and never reports a change.
    support: full
"""
