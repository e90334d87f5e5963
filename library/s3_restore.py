#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Overwritten and deleted objects, brought back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_restore
short_description: Make an old object version current again
description:
  - Writes an old version on top of its key, with content type, metadata and tags, and reads it back. What was current
    before stays in the bucket as an old version.
  - The bytes go through the host that runs the module, because a server-side copy onto itself is refused or edits the
    version in place on RustFS before 1.0.0-beta.9.
  - Refuses a bucket of the file service, known by its tag V(stowage:managed-by) or the shape of its keys, since the
    service would go on serving the old bytes and remove the copy. There it is C(filator restore).
  - Refuses a bucket whose versioning is not enabled, where writing on top would destroy what is current.
options:
  bucket:
    description: Name of the bucket.
    type: str
    required: true
  key:
    description: The object to restore. Mutually exclusive with O(prefix).
    type: str
  version_id:
    description: The version to bring back. Mutually exclusive with O(as_of).
    type: str
  as_of:
    description: Bring back what was current then, as V(2026-11-22T17:00:00Z), or V(2d) for two days ago.
    type: str
  prefix:
    description: Instead of one key, every key that starts so. Needs O(as_of). Try it in check mode first.
    type: str
  remove_newer:
    description: With O(prefix), put delete markers on keys that did not exist then. Otherwise they are left.
    type: bool
    default: false
  method:
    description: V(stream) reads and writes the bytes, V(copy) asks the server to copy.
    type: str
    choices: [stream, copy]
    default: stream
  without_tags:
    description: Leave tags out, for a key that may not read them. Otherwise such a key fails.
    type: bool
    default: false
  ignore_bucket_rules:
    description: Write behind the back of the file service.
    type: bool
    default: false
  workers:
    description: Keys that are worked on at the same time.
    type: int
    default: 4
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes
author: The Stowage developers
"""

EXAMPLES = r"""
- name: Bring one overwritten file back
  s3_restore:
    endpoint: https://nas.example.net:9000
    access_key: "{{ restore_access_key }}"
    secret_key: "{{ restore_secret_key }}"
    bucket: reports
    key: 2511/2511.00010v1.pdf
    version_id: 671592e7841dccbf1e215de405faff6f

- name: A whole folder as it was yesterday at noon
  s3_restore:
    endpoint: https://nas.example.net:9000
    access_key: "{{ restore_access_key }}"
    secret_key: "{{ restore_secret_key }}"
    bucket: reports
    prefix: 2511/
    as_of: "2026-11-21T12:00:00Z"
"""

RETURN = r"""
results:
  description: The keys that were (or, in check mode, would be) changed, and those that were left or failed.
  returned: always
  type: list
  elements: dict
  contains:
    key:
      description: Object name.
      type: str
    action:
      description: V(restore), V(remove), V(leave), V(nothing), or V(refuse), which fails.
      type: str
    reason:
      description: Why.
      type: str
    source_version_id:
      description: The version that was brought back.
      type: str
    version_id:
      description: The version that is current now. Empty in check mode.
      type: str
    previous_version_id:
      description: The version that was current before. It is still there.
      type: str
    size:
      description: Bytes.
      type: int
    sha256:
      description: Of the bytes, as read back. Empty in check mode.
      type: str
  sample: [{key: a.pdf, action: restore, changed: true, source_version_id: 3f0c, version_id: 9ab1}]
unchanged:
  description: How many keys already were as asked for.
  returned: always
  type: int
"""

import contextlib
from dataclasses import asdict
from datetime import UTC, datetime

from ansible.module_utils.stowage_module import StowageModule

with contextlib.suppress(ImportError):  # StowageModule says what is missing
    from stowage import errors
    from stowage.s3.connection import s3_client
    from stowage.s3.restore import Restored, check_may_restore, plan_key_restore, plan_prefix_restore, restore
    from stowage.s3.restore_plan import Action, parse_moment

SPEC = {
    "bucket": {"type": "str", "required": True},
    "key": {"type": "str", "no_log": False},
    "version_id": {"type": "str"},
    "as_of": {"type": "str"},
    "prefix": {"type": "str"},
    "remove_newer": {"type": "bool", "default": False},
    "method": {"type": "str", "choices": ["stream", "copy"], "default": "stream"},
    "without_tags": {"type": "bool", "default": False},
    "ignore_bucket_rules": {"type": "bool", "default": False},
    "workers": {"type": "int", "default": 4},
}


def steps_for(client, params):
    """What is to be done, key by key."""
    if (params["key"] is None) == (params["prefix"] is None):
        raise errors.BadInputError("give exactly one of key and prefix")
    if params["remove_newer"] and params["prefix"] is None:
        raise errors.BadInputError("remove_newer belongs to prefix")
    tags = not params["without_tags"]
    moment = parse_moment(params["as_of"], datetime.now(UTC)) if params["as_of"] else None
    if params["key"] is not None:
        given = {"version_id": params["version_id"], "moment": moment, "with_tags": tags}
        return [plan_key_restore(client, params["bucket"], params["key"], **given)]
    if moment is None or params["version_id"]:
        raise errors.BadInputError("prefix needs as_of, and takes no version_id")
    remove = params["remove_newer"]
    return list(
        plan_prefix_restore(client, params["bucket"], params["prefix"], moment, remove_newer=remove, with_tags=tags)
    )


def foretold(step):
    """What check mode says about a step."""
    source = step.source if step.action is Action.RESTORE else None
    return Restored(
        key=step.key,
        changed=step.action in (Action.RESTORE, Action.REMOVE),
        action=step.action.value,
        reason=step.reason,
        source_version_id=source.version_id if source else "",
        previous_version_id=step.current.version_id,
        size=source.size if source else 0,
    )


def main():
    module = StowageModule(SPEC, main="bucket")
    params = module.params
    try:
        client = s3_client(module.settings, pool_size=2 * params["workers"])
        steps = steps_for(client, params)
        open_steps = [step for step in steps if step.action is not Action.NOTHING]
        if not params["ignore_bucket_rules"]:
            check_may_restore(client, params["bucket"], open_steps)
        if module.check:
            done = [foretold(step) for step in open_steps]
        else:
            given = {name: params[name] for name in ("method", "workers", "ignore_bucket_rules")}
            given["with_tags"] = not params["without_tags"]
            done = list(restore(client, params["bucket"], open_steps, **given)) if open_steps else []
        results = [asdict(one) for one in done]
        answer = {"results": results, "unchanged": len(steps) - len(open_steps)}
        changed = any(one.changed for one in done)
        if module.module._diff:
            answer["diff"] = [
                {
                    "before_header": one.key,
                    "after_header": one.key,
                    "before": f"version {one.previous_version_id}\n",
                    "after": f"{one.action}: {one.reason}\n",
                }
                for one in done
                if one.changed
            ]
        failed = [one for one in done if one.error]
        if failed:
            module.module.fail_json(
                msg=f"{len(failed)} of {len(done)} keys failed to restore; the first: {failed[0].error}",
                changed=changed,
                **answer,
            )
    except errors.StowageError as error:
        module.fail(error)
    module.module.exit_json(changed=changed, **answer)


if __name__ == "__main__":
    main()
