"""Which version of RustFS can do what: the one table of version-bound facts.

The version is asked of the server. A version this table can not read (a build from a branch) counts as the oldest one,
so that nothing is relied on that may be missing.
"""

from __future__ import annotations

import re

OLDEST = "1.0.0-beta.5"

# Capability: the first version that has it. Sources: facts/rustfs.md, the number is its section.
RUSTFS_SINCE: dict[str, str] = {
    # 1.8: root may change a service account (before: 403 unless caller and key share the parent)
    "update_service_account": "1.0.0-rc.2",
    # 1.5: a user and a service account of the same name no longer overwrite each other
    "separate_key_namespaces": "1.0.0-beta.11",
    # 1.6: removing a policy that is not there is no 500
    "remove_missing_policy": "1.0.0-beta.9",
    # 2.2: reading a version asks for s3:GetObjectVersion instead of s3:GetObject
    "versioned_read_has_its_own_right": "1.0.0-beta.11",
    # 3.4: a page of versions that ends inside a key loses nothing
    "complete_version_listing": "1.0.0-beta.7",
    # 3.5: many delete markers do not cut a listing short
    "complete_object_listing": "1.0.0-beta.8",
    # 3.6: an old version can be copied onto its own key
    "restore_by_copy": "1.0.0-beta.9",
    # 4.4: webhooks to private addresses need RUSTFS_OUTBOUND_ALLOW_ORIGINS
    "private_webhooks_need_permission": "1.0.0-beta.9",
    # 4.6: events no longer hold the Authorization header
    "events_without_authorization": "1.0.0-beta.9",
    # 5.5: acknowledged writes survive a power loss
    "durable_writes": "1.0.0-beta.9",
    # rustfs-1.0 7.1: what is synced can be set for each bucket
    "bucket_durability": "1.0.0-beta.9",
    # 1.9: configuration by key and value
    "config_kv": "1.0.0-beta.7",
}
_STAGES = {"alpha": 0, "beta": 1, "rc": 2, "": 3}


def parsed_version(text: str | None) -> tuple[int, ...] | None:
    """A version as a comparable tuple; ``None`` when the text names none.

    Args:
        text: ``1.0.0-beta.5``, ``2026-05-26@1.0.0-beta.5``, ``v1.0.0``; a bare commit is no version.
    """
    found = re.search(r"(?:^|[@v\s])(\d+)\.(\d+)\.(\d+)(?:-(alpha|beta|rc)\.(\d+))?", text or "")
    if not found:
        return None
    major, minor, patch, stage, number = found.groups()
    return int(major), int(minor), int(patch), _STAGES[stage or ""], int(number or 0)


def rustfs_capabilities(version: str | None) -> dict[str, bool]:
    """What a RustFS of that version can do; of the oldest one when the version is unknown."""
    at_hand = parsed_version(version) or parsed_version(OLDEST)
    assert at_hand
    return {name: at_hand >= (parsed_version(since) or ()) for name, since in RUSTFS_SINCE.items()}
