# SPDX-License-Identifier: Apache-2.0
"""Ask a host about its qatlasd until it is ready. Documented in library/qatlasd_check.py."""

from __future__ import annotations

import json
import shlex
import time

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from stowage.site.qatlasd import Boot, judge_boot, judge_health, judge_rest

SPEC = {
    "url": {"type": "str", "required": True},
    "env_file": {"type": "path", "required": True},
    "endpoint": {"type": "str", "default": ""},
    "buckets": {"type": "list", "elements": "str", "default": []},
    "public_endpoint": {"type": "str", "default": ""},
    "data_dir": {"type": "path", "required": True},
    "timeout": {"type": "float", "default": 60},
}
# Debian's Python and nothing else: a module would have to bring the judgement along, which belongs on the controller.
LOOK = r"""
import collections, itertools, json, subprocess, sys, urllib.error, urllib.request

def ask(url, method="GET"):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=20) as answer:
            return {"code": answer.status, "body": answer.read(65536).decode("utf-8", "replace")}
    except urllib.error.HTTPError as error:
        return {"code": error.code, "body": error.read(65536).decode("utf-8", "replace")}
    except (OSError, ValueError) as error:
        return {"error": str(getattr(error, "reason", error))}

def run(*command):
    return subprocess.run(command, capture_output=True, text=True, errors="replace").stdout

def ends(*command):
    # The boot stands at the beginning, the last words at the end; a server of a year says 500,000 lines between them.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        first = list(itertools.islice(process.stdout, 400))
        return [line.rstrip("\n") for line in first + list(collections.deque(process.stdout, 100))]

url, endpoint = sys.argv[1:3]
names = "LoadState,ActiveState,SubState,Result,ExecMainStatus,InvocationID"
shown = run("systemctl", "show", "-p", names, "qatlasd.service")
unit = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
journal = ["journalctl", "--no-pager", "-q", "-o", "cat"]
started = ""
if unit.get("InvocationID"):
    # systemd's own line "Started ..." comes before all that the process says: while it is there, nothing was cut off.
    fields = ["INVOCATION_ID=" + unit["InvocationID"], "MESSAGE_ID=39f53479d3a045ac8e11786248231fbf"]
    started = run(*journal, "-n", "1", *fields)
    journal.append("_SYSTEMD_INVOCATION_ID=" + unit["InvocationID"])
else:
    journal += ["-u", "qatlasd.service", "-n", "500"]
seen = {"unit": unit, "health": ask(url + "/api/health"), "store": "", "whole": bool(started.strip())}
if endpoint:
    store = ask(endpoint, "HEAD")
    if "code" in store:
        seen["store"] = f"the store at {endpoint} answers this host ({store['code']}): look at the key and the buckets"
    else:
        seen["store"] = f"the store at {endpoint} does not answer this host: {store['error']}"
seen["journal"] = ends(*journal)
print("SEEN " + json.dumps(seen))
"""


class ActionModule(ActionBase):
    """Sends one small script per look; judges on the controller."""

    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp=None, task_vars=None):
        """Fail with the cause in one line, or say what was seen."""
        result = super().run(tmp, task_vars or {})
        _, args = self.validate_argument_spec(argument_spec=SPEC)
        begin = time.monotonic()
        while True:
            seen = self._look(args)
            verdict = judge_health(seen)
            seconds = time.monotonic() - begin
            if verdict.state != "wait" or seconds > args["timeout"]:
                break
            time.sleep(1)
        result |= {"changed": False, "seconds": round(seconds, 1), "problems": [], "boot_judged": False}
        if verdict.state != "good":
            host = (task_vars or {}).get("inventory_hostname", "the host")
            waited = f" (after {seconds:.0f} s)" if verdict.state == "wait" else ""
            result |= {"failed": True, "problems": [verdict.cause]}
            result["msg"] = (
                f"qatlasd on {host} is not ready{waited}: {verdict.cause}; right: checks.rawstore.status ok at "
                f"{args['url']}/api/health; fix: journalctl -u qatlasd on {host}, and stowage doctor for the store"
            )
            return result
        # On every run: a boot that was wrong stays wrong until the next one, whatever the health page says.
        boot = self._boot(args)
        result["boot_judged"] = seen["whole"]
        result["problems"] = judge_boot(seen["journal"], boot) if seen["whole"] else judge_rest(seen["journal"], boot)
        result["failed"] = bool(result["problems"])
        result["msg"] = "checks.rawstore.status is ok"
        if not seen["whole"]:
            result["msg"] += "; its boot was not judged: the journal of its start is gone"
        if result["failed"]:
            result["msg"] = (
                f"qatlasd runs, but {'; '.join(result['problems'])}; fix: journalctl -u qatlasd, then "
                "systemctl restart qatlasd once the cause is gone"
            )
        return result

    def _look(self, args):
        script = f"/usr/bin/python3 -c {shlex.quote(LOOK)} {shlex.quote(args['url'])} {shlex.quote(args['endpoint'])}"
        done = self._low_level_execute_command(script)
        line = next((line for line in done.get("stdout", "").splitlines() if line.startswith("SEEN ")), None)
        if line is None:
            words = " ".join((done.get("stderr", "") or done.get("stdout", "")).split())[-300:]
            raise AnsibleActionFail(f"the host could not be asked about qatlasd: {words or 'no answer'}")
        return json.loads(line.removeprefix("SEEN "))

    def _boot(self, args):
        return Boot(
            env_file=args["env_file"],
            endpoint=args["endpoint"],
            buckets=tuple(args["buckets"]),
            public_endpoint=args["public_endpoint"],
            data_dir=args["data_dir"],
        )
