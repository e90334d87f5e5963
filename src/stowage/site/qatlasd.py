"""What a host says about its qatlasd, judged: health page, unit, and the lines of its boot. Pure functions.

Neither the HTTP code nor the exit code means anything here: the health page answers 200 whatever is wrong, and the
launcher of the program exits 0 on most failures. What counts is ``checks.rawstore.status``, the state of the unit and
the journal.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["good", "wait", "bad"]
_S3_LINE = re.compile(r"raw store: S3 backend (?P<at>\S+)/(?P<bucket>[^/\s]+?)(?: \(presign via (?P<public>\S+)\))?$")
_VERSIONING = re.compile(r"bucket versioning: (?:already enabled|enabled \(was: \"[^\"]*\"\))(?: on (?P<bucket>\S+))?$")
_VERSIONING_FAILED = re.compile(r"bucket versioning: reconcile failed.*$")
# The rest of such a line quotes the value that it could not read, which may be a secret.
_UNREADABLE = re.compile(r"found \.env but could not load it path=\"?(?P<path>[^\s\"]+)")
_LOCAL_BACKEND = "raw store: local backend"
_CAUSE = re.compile(r"\b(?:Error|ERROR|WARN|panic)\b:?\s.*$")


@dataclass(frozen=True)
class Boot:
    """What the boot of a server must show.

    Args:
        env_file: Path of the file with the settings.
        endpoint: URL of the store; empty for the local backend.
        buckets: Names of the buckets, in the order in which the server names them.
        public_endpoint: URL for which links are presigned; empty or the endpoint itself when there is one only.
        data_dir: Directory that holds the lock of the database.
    """

    env_file: str
    endpoint: str = ""
    buckets: tuple[str, ...] = ()
    public_endpoint: str = ""
    data_dir: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether to go on, to ask again, or to stop.

    Args:
        state: ``good``; ``wait`` when it may still become good; ``bad`` when waiting does not help.
        cause: What stands in the way, in one line; empty when good.
    """

    state: State
    cause: str = ""


def judge_health(seen: Mapping[str, Any]) -> Verdict:
    """Say whether a server may be called ready.

    Args:
        seen: ``unit`` (properties of the unit by name), ``health`` (``code`` and ``body``, or ``error``), ``store``
            (what the store answered to an unsigned look from the same host, in words; empty when there is none) and
            ``journal`` (lines of this start of the unit).

    Returns:
        Never ``good`` by the HTTP code alone. A unit that is not running is ``bad`` with the last words of its journal,
        whatever its exit code was.
    """
    unit = seen.get("unit") or {}
    if unit.get("LoadState") == "not-found":
        return Verdict("bad", "there is no unit qatlasd.service")
    if unit.get("ActiveState") in ("inactive", "failed"):
        code = unit.get("ExecMainStatus", "?")
        return Verdict("bad", f"the process has ended (exit code {code}, which means nothing here): {last_words(seen)}")
    health = seen.get("health") or {}
    if "code" not in health:
        return Verdict("wait", f"no answer: {health.get('error', 'nothing was asked')}; {last_words(seen)}")
    answered = f"the health page answers {health['code']}, but"
    try:
        status = json.loads(health.get("body") or "")["data"]["checks"]["rawstore"]["status"]
    except (ValueError, TypeError, KeyError):
        return Verdict("wait", f"{answered} without data.checks.rawstore.status")
    if status == "ok":
        return Verdict("good")
    return Verdict("wait", f"{answered} checks.rawstore.status is {status}: {_store_cause(seen)}")


def _store_cause(seen: Mapping[str, Any]) -> str:
    failed = next((found for line in _lines(seen) if (found := _VERSIONING_FAILED.search(line))), None)
    at_boot = f"; at its start it said: {_short(failed.group())}" if failed else ""
    return f"{seen.get('store') or 'the store was not looked at'}{at_boot}"


def last_words(seen: Mapping[str, Any]) -> str:
    """Return the last line of the journal that names a cause, or the last line at all."""
    lines = [_without_values(line) for line in _lines(seen)]
    found = [cause.group() for line in lines if (cause := _CAUSE.search(line))]
    return _short((found or lines or ["its journal is empty"])[-1])


def _without_values(line: str) -> str:
    found = _UNREADABLE.search(line)
    return line[: found.end()] if found else line


def judge_boot(lines: Sequence[str], boot: Boot) -> list[str]:
    """Find what the boot of a server should have said and did not, or said in the wrong order.

    Both forms of the lines are read, that of one bucket (before 0.7.0) and that of one per kind.

    Args:
        lines: The journal of this start, oldest first.
        boot: What is expected.

    Returns:
        One clause per fault; empty when all is as asked for.
    """
    problems = []
    unreadable = next((found["path"] for line in lines if (found := _UNREADABLE.search(line))), None)
    if unreadable:
        problems.append(
            f"it could not read {unreadable}: one of its values has a quote or a backslash that it takes amiss"
        )
    elif not any(re.search(rf"loaded \.env path={re.escape(boot.env_file)}\"?$", line) for line in lines):
        problems.append(f"it has not loaded {boot.env_file}")
    backend = [(number, found) for number, line in enumerate(lines) if (found := _S3_LINE.search(line))]
    local = any(_LOCAL_BACKEND in line for line in lines)
    if not boot.endpoint:
        return [*problems, *([] if local else ["it does not say that it keeps files in a local folder"])]
    if local:
        return [*problems, "it keeps files in a local folder instead of the store"]
    problems += _backend_problems([found for _, found in backend], boot)
    done = [(number, found) for number, line in enumerate(lines) if (found := _VERSIONING.search(line))]
    failed = [found.group() for line in lines if (found := _VERSIONING_FAILED.search(line))]
    problems += [_short(line) for line in failed]
    unsaid = len(boot.buckets) - len(done) - len(failed)
    if unsaid > 0:
        problems.append(f"it does not say that versioning is on for {unsaid} of {len(boot.buckets)} buckets")
    locked = [number for number, line in enumerate(lines) if "pb_data lock acquired" in line]
    order = [[number for number, _ in backend], [number for number, _ in done], locked]
    there = [numbers for numbers in order if numbers]
    # Lines of the same stream only: those on standard output reach the journal by another way.
    if any(max(before) > min(after) for before, after in itertools.pairwise(there)):
        problems.append("its lines stand in another order than store, versioning, lock")
    if locked and boot.data_dir and f"{boot.data_dir}/" not in lines[locked[-1]]:
        problems.append(f"its lock is not in {boot.data_dir}")
    return problems


def judge_rest(lines: Sequence[str], boot: Boot) -> list[str]:
    """Find what speaks against a server in a journal that has lost the beginning of this start.

    Args:
        lines: What is left of the journal of this start, oldest first.
        boot: What is expected.

    Returns:
        One clause per fault that can still be read; that a line is missing means nothing here.
    """
    if boot.endpoint and any(_LOCAL_BACKEND in line for line in lines):
        return ["it keeps files in a local folder instead of the store"]
    return [_short(found.group()) for line in lines if (found := _VERSIONING_FAILED.search(line))]


def _backend_problems(found: Sequence[re.Match[str]], boot: Boot) -> list[str]:
    said = [line["bucket"] for line in found]
    if said != list(boot.buckets):
        return [f"it serves the buckets {', '.join(said) or 'none'} instead of {', '.join(boot.buckets)}"]
    problems = []
    at = {line["at"] for line in found if _bare(line["at"]) != _bare(boot.endpoint)}
    if at:
        problems.append(f"it reaches the store at {', '.join(sorted(at))} instead of {boot.endpoint}")
    wanted = "" if _bare(boot.public_endpoint) == _bare(boot.endpoint) else boot.public_endpoint
    public = {line["public"] or "" for line in found}
    if {_bare(one) for one in public} != {_bare(wanted)}:
        shown = ", ".join(sorted(filter(None, public))) or "the store's own endpoint"
        problems.append(f"it presigns via {shown} instead of {wanted or boot.endpoint}")
    return problems


def _bare(url: str) -> str:
    return url.rpartition("://")[2].rstrip("/").lower()


def _lines(seen: Mapping[str, Any]) -> list[str]:
    return [str(line) for line in seen.get("journal") or []]


def _short(line: str) -> str:
    return " ".join(line.split())[:300]
