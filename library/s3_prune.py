#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Old versions, planned and pruned."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_prune
short_description: Plan or carry out the removal of old object versions
description:
  - Lists the versions of a bucket, decides which old ones may go, and removes them.
  - Check mode makes and returns the same plan and removes nothing.
  - The current version, a current delete marker, versions under lock or legal hold, and (unless
    O(include_last_copy=true)) the last data version under a delete marker never go.
  - Without O(older_than), O(keep_last) and O(all_old) there is a plan in check mode, and a failure outside of it.
  - What the tags V(stowage:prune-older-than) and V(stowage:prune-keep-last) of the bucket want kept is kept, too.
  - A bucket of the file service, known by its tag V(stowage:managed-by) or its shape of keys, needs O(service_rows).
  - Each key is looked at again right before its versions go; what is no longer true of the plan is skipped.
options:
  bucket:
    description: Name of the bucket.
    type: str
    required: true
  prefix:
    description: Only keys that start so. Without a leading slash.
    type: str
    default: ''
  key:
    description:
      - Only this one key, and none that starts like it.
      - Mutually exclusive with O(prefix).
    type: str
    default: ''
  older_than:
    description:
      - Least age of a version that may go, as V(30d), V(2w), V(1y) or a Go duration such as V(36h). V(m) means minutes.
      - Left out, age does not matter.
    type: str
  keep_last:
    description: This many of the newest noncurrent versions of each key stay. Both filters must agree before one goes.
    type: int
    default: 0
  age_basis:
    description:
      - V(noncurrent) counts the age from the moment a version was replaced.
      - V(own) counts from the version's own date, as older tools do.
    type: str
    choices: [noncurrent, own]
    default: noncurrent
  keep_last_scope:
    description: Whether O(keep_last) counts over V(all) noncurrent versions or only those old enough (V(eligible)).
    type: str
    choices: [all, eligible]
    default: all
  include_last_copy:
    description: Let the last data version under a delete marker go, too. A deleted file is then gone for good.
    type: bool
    default: false
  all_old:
    description: Says that no filter is meant, so that every old version goes.
    type: bool
    default: false
  service_rows:
    description:
      - File, on the host that runs the module, that C(filator rows --out FILE) wrote on a host of the file service.
      - Current and replaced is then what the rows say; a version that no row names stays.
    type: path
  ignore_bucket_rules:
    description: Act against the bucket's tags, or behind the back of the file service.
    type: bool
    default: false
  max_delete:
    description: Fail, and remove nothing, when the plan holds more versions than this.
    type: int
  plan_out:
    description: File, on the host that runs the module, in which the plan is kept. Written in check mode, too.
    type: path
  plan_in:
    description:
      - File with a stored plan, to be carried out as far as it is still true. Brings its own rules.
      - Mutually exclusive with the options that say what to plan.
    type: path
  log:
    description: File to which one JSON line is appended for each version that was planned, with the result.
    type: path
  workers:
    description: Batches of up to 1,000 versions that are worked on at the same time.
    type: int
    default: 8
extends_documentation_fragment:
  - stowage_connection
  - stowage_attributes
author: The Stowage developers
"""

EXAMPLES = r"""
- name: What would go
  s3_prune:
    endpoint: https://nas.example.net:9000
    access_key: "{{ prune_access_key }}"
    secret_key: "{{ prune_secret_key }}"
    bucket: filator
    older_than: 90d
    keep_last: 5
    plan_out: /var/tmp/filator.plan
  check_mode: true
  register: planned

- name: What was signed off goes
  s3_prune:
    endpoint: https://nas.example.net:9000
    access_key: "{{ prune_access_key }}"
    secret_key: "{{ prune_secret_key }}"
    bucket: filator
    plan_in: /var/tmp/filator.plan
    max_delete: 10000
"""

RETURN = r"""
plan:
  description: What the plan holds.
  returned: always
  type: dict
  contains:
    candidates:
      description: Versions to remove.
      type: int
    bytes:
      description: Their size.
      type: int
    listed_versions:
      description: Rows of the listing.
      type: int
    listed_keys:
      description: Keys of the listing.
      type: int
    kept:
      description: How many versions stay, by the rule that keeps them.
      type: dict
    missing_keys:
      description: Live keys that the server's version listing lost. Nothing of them is planned.
      type: int
    cut_keys:
      description: Keys of which the server may show only the newest versions. Plan again for the rest.
      type: int
    sha256:
      description: Identity of the plan.
      type: str
  sample: {candidates: 12, bytes: 3456789, listed_versions: 40, listed_keys: 10, kept: {current: 10}, cut_keys: 0}
versions:
  description: The first 200 versions of the plan.
  returned: always
  type: list
  elements: dict
  sample: [{key: a.pdf, version_id: 3f0c, size: 1024, age_seconds: 9000000, delete_marker: false, reason: "goes: …"}]
outcomes:
  description: How many versions were V(deleted), V(already_gone), V(skipped), V(locked) or V(failed).
  returned: outside check mode
  type: dict
  sample: {deleted: 12}
freed:
  description: Bytes of what was removed.
  returned: outside check mode
  type: int
exceptions:
  description: The first 50 versions that were planned and are still there, with the reason.
  returned: outside check mode
  type: list
  elements: dict
"""

import contextlib
import json
import tempfile
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from ansible.module_utils.stowage_module import StowageModule

with contextlib.suppress(ImportError):  # StowageModule says what is missing
    from stowage import errors
    from stowage.s3.connection import s3_client
    from stowage.s3.prune import PlanRequest, carry_out, check_cap, check_may_apply, make_plan, open_plan
    from stowage.s3.prune_plan import PruneRules, parse_age
    from stowage.s3.service_rows import read_service_rows

SHOWN = 200
EXPLAINED = 50
PLANNING = (
    "prefix",
    "key",
    "older_than",
    "keep_last",
    "all_old",
    "age_basis",
    "keep_last_scope",
    "include_last_copy",
    "plan_out",
)
DEFAULTS = {
    "prefix": "",
    "key": "",
    "keep_last": 0,
    "all_old": False,
    "age_basis": "noncurrent",
    "keep_last_scope": "all",
    "include_last_copy": False,
}

SPEC = {
    "bucket": {"type": "str", "required": True},
    "prefix": {"type": "str", "default": ""},
    "key": {"type": "str", "default": "", "no_log": False},
    "older_than": {"type": "str"},
    "keep_last": {"type": "int", "default": 0, "no_log": False},
    "age_basis": {"type": "str", "choices": ["noncurrent", "own"], "default": "noncurrent"},
    "keep_last_scope": {"type": "str", "choices": ["all", "eligible"], "default": "all"},
    "include_last_copy": {"type": "bool", "default": False},
    "all_old": {"type": "bool", "default": False},
    "service_rows": {"type": "path"},
    "ignore_bucket_rules": {"type": "bool", "default": False},
    "max_delete": {"type": "int"},
    "plan_out": {"type": "path"},
    "plan_in": {"type": "path"},
    "log": {"type": "path"},
    "workers": {"type": "int", "default": 8},
}


def planned(client, params, folder, rows):
    """The plan that was asked for: a stored one, or a new one."""
    if params["plan_in"]:
        told = [name for name in PLANNING if params[name] != DEFAULTS.get(name)]
        if told:
            raise errors.BadInputError(f"plan_in brings its own rules, so {', '.join(told)} can not be given with it")
        return open_plan(client, Path(params["plan_in"]), params["bucket"])
    rules = PruneRules(
        older_than=parse_age(params["older_than"]) if params["older_than"] is not None else None,
        keep_last=params["keep_last"],
        age_basis=params["age_basis"],
        keep_last_scope=params["keep_last_scope"],
        include_last_copy=params["include_last_copy"],
        all_old=params["all_old"],
    )
    request = PlanRequest(
        bucket=params["bucket"],
        prefix=params["prefix"],
        key=params["key"],
        rules=rules,
        service_rows=rows,
        ignore_bucket_rules=params["ignore_bucket_rules"],
    )
    return make_plan(client, request, Path(params["plan_out"] or Path(folder) / "plan"))


def line(candidate):
    """A version of the plan, as it is returned and logged."""
    names = ("key", "version_id", "size", "age_seconds", "delete_marker", "reason")
    return {name: getattr(candidate, name) for name in names}


def apply(client, plan, params, rows):
    """Carry the plan out; what is returned about it."""
    outcomes, freed, exceptions = Counter(), 0, []
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(Path(params["log"]).open("a", encoding="utf-8")) if params["log"] else None
        for result in carry_out(client, plan, workers=params["workers"], service_rows=rows):
            told = {**line(result.candidate), "result": result.outcome.value, "detail": result.detail}
            outcomes[told["result"]] += 1
            freed += result.candidate.size if told["result"] == "deleted" else 0
            if told["result"] not in ("deleted", "already_gone") and len(exceptions) < EXPLAINED:
                exceptions.append(told)
            if log:
                log.write(json.dumps({"bucket": plan.head.bucket, **told}, ensure_ascii=False) + "\n")
    return {"outcomes": dict(outcomes), "freed": freed, "exceptions": exceptions}


def main():
    module = StowageModule(SPEC, main="bucket")
    params = module.params
    try:
        client = s3_client(module.settings, pool_size=2 * params["workers"])
        with tempfile.TemporaryDirectory(prefix="stowage-") as folder:
            path = params["service_rows"]
            rows = read_service_rows(Path(path), params["bucket"], datetime.now(UTC)) if path else None
            plan = planned(client, params, folder, rows)
            check_cap(plan, params["max_delete"])
            try:
                ignore = params["ignore_bucket_rules"]
                check_may_apply(client, plan, service_rows=rows, ignore_bucket_rules=ignore)
            except errors.RefusedError as error:
                if not module.check:
                    raise
                module.module.warn(f"a plan only; it would be refused: {error}")
            totals = plan.totals
            versions = [line(candidate) for candidate in islice(plan.candidates(), SHOWN)]
            answer = {"plan": asdict(totals), "versions": versions}
            if totals.missing_keys:
                module.module.warn(
                    f"the server's version listing lost {totals.missing_keys} live keys; nothing of them is planned"
                )
            if totals.cut_keys:
                module.module.warn(
                    f"of {totals.cut_keys} keys the server may show only the newest versions; plan again for the rest"
                )
            if module.module._diff:
                before = "".join(f"{one['key']} @{one['version_id']} {one['reason']}\n" for one in versions)
                answer["diff"] = {
                    "before_header": params["bucket"],
                    "after_header": "pruned",
                    "before": before,
                    "after": "",
                }
            changed = totals.candidates > 0
            if not module.check:
                answer |= apply(client, plan, params, rows)
                changed = answer["outcomes"].get("deleted", 0) > 0
                if answer["outcomes"].get("failed"):
                    first = next((one for one in answer["exceptions"] if one["result"] == "failed"), {"detail": "?"})
                    module.module.fail_json(
                        msg=f"{answer['outcomes']['failed']} of {totals.candidates} versions failed to delete in bucket"
                        f" {params['bucket']}; the first: {first['detail']}",
                        changed=changed,
                        **answer,
                    )
    except errors.StowageError as error:
        module.fail(error)
    except OSError as error:
        module.module.fail_json(msg=f"log {params['log']} can not be written: {error.strerror}")
    module.module.exit_json(changed=changed, **answer)


if __name__ == "__main__":
    main()
