"""A plan as a file: JSON lines that can be read, kept, signed off and applied later.

The first line says for which bucket and by which rules, each further line names one version with the reason, the last
line holds the totals and a SHA-256 over everything above it. A plan that was cut short or edited is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from stowage import errors
from stowage.s3.prune_plan import Decision, PruneRules, Why

FORMAT = 1


class Candidate(NamedTuple):
    """One version of a plan.

    Args:
        key: Object name.
        version_id: The version.
        size: Bytes; 0 for a delete marker.
        age_seconds: Age by the plan's basis when it was planned.
        delete_marker: True for a delete marker.
        reason: The rule that decided, for a person.
        why: The same as a word.
        last_modified: The version's own date: together with the id it proves that the version is still the same.
        siblings: Rows of the key when it was planned.
        position: Row number in the listing.
    """

    key: str
    version_id: str
    size: int
    age_seconds: int
    delete_marker: bool
    reason: str
    why: str
    last_modified: str
    siblings: int
    position: int

    @classmethod
    def of(cls, decision: Decision) -> Candidate:
        """The line of a decision."""
        version = decision.version
        return cls(
            version.key,
            version.version_id,
            version.size,
            round(decision.age_seconds),
            version.is_marker,
            decision.reason,
            decision.why.value,
            version.last_modified.isoformat(),
            decision.siblings,
            version.position,
        )

    @property
    def goes(self) -> bool:
        """True for a version to delete, False for one that is listed with the reason why it stays."""
        return self.why == Why.DELETE


@dataclass(frozen=True, kw_only=True)
class PlanHead:
    """For what a plan was made.

    Args:
        endpoint: The server.
        bucket: The bucket.
        prefix: Only keys that start so were listed.
        planned_at: The clock of the plan, with time zone.
        rules: The rules that decided.
    """

    endpoint: str
    bucket: str
    prefix: str
    planned_at: datetime
    rules: PruneRules


@dataclass
class PlanTotals:
    """What a plan holds.

    Args:
        candidates: Versions to delete.
        bytes: Their size.
        listed_versions: Rows seen.
        listed_keys: Keys seen.
        kept: Rows that stay, by rule.
        missing_keys: Live keys that the version listing lost; nothing of them is planned.
        cut_keys: Keys of which the server may have hidden the oldest versions; those are not planned.
        sha256: Of all lines before the last; the plan's identity.
    """

    candidates: int = 0
    bytes: int = 0
    listed_versions: int = 0
    listed_keys: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    missing_keys: int = 0
    cut_keys: int = 0
    sha256: str = ""


class PlanWriter:
    """Writes a plan beside its final name and moves it there when it is whole.

    Args:
        path: Where the plan will lie.
        head: For what it is made.
    """

    def __init__(self, path: Path, head: PlanHead) -> None:
        self.path = path
        self.head = head
        self.totals = PlanTotals()
        self._part = path.with_name(path.name + ".part")
        try:
            self._file = self._part.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise errors.BadInputError(f"plan can not be written to {path}: {error.strerror}") from None
        self._digest = hashlib.sha256()
        self._line({"stowage_plan": FORMAT, **_head_as_json(head)})

    def add(self, decision: Decision) -> None:
        """Append one line and count it."""
        line = Candidate.of(decision)
        self._line(line._asdict())
        if line.goes:
            self.totals.candidates += 1
            self.totals.bytes += line.size

    def finish(self) -> PlanTotals:
        """Write the totals and give the file its name."""
        self.totals.sha256 = self._digest.hexdigest()
        self._line({"totals": asdict(self.totals)})
        self._file.close()
        self._part.replace(self.path)
        return self.totals

    def discard(self) -> None:
        """Give up; nothing is left behind."""
        self._file.close()
        self._part.unlink(missing_ok=True)

    def _line(self, content: dict[str, Any]) -> None:
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
        self._digest.update(text.encode("utf-8"))
        self._file.write(text)


def _head_as_json(head: PlanHead) -> dict[str, Any]:
    rules = asdict(head.rules)
    rules["older_than"] = head.rules.older_than.total_seconds() if head.rules.older_than else None
    return {
        "endpoint": head.endpoint,
        "bucket": head.bucket,
        "prefix": head.prefix,
        "planned_at": head.planned_at.isoformat(),
        "rules": rules,
    }


@dataclass(frozen=True)
class Plan:
    """A plan that was read and found whole.

    Args:
        path: Its file.
        head: For what it was made.
        totals: What it holds.
    """

    path: Path
    head: PlanHead
    totals: PlanTotals

    def lines(self) -> Iterator[Candidate]:
        """All lines in listing order, kept ones included, read anew at each call."""
        with self.path.open(encoding="utf-8", newline="\n") as file:
            next(file)
            for text in file:
                content = json.loads(text)
                if "totals" in content:
                    return
                yield Candidate(**content)

    def candidates(self) -> Iterator[Candidate]:
        """The lines that name a version to delete."""
        return (line for line in self.lines() if line.goes)


def read_plan(path: Path) -> Plan:
    """Open a plan and check that it is whole and unedited.

    Raises:
        BadInputError: It can not be read, is no plan, was cut short, or was changed after it was made.
    """
    digest = hashlib.sha256()
    first = last = b""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file):
                if number == 0:
                    first = line
                if last:
                    digest.update(last)
                last = line
    except OSError as error:
        raise errors.BadInputError(f"plan {path} can not be read: {error.strerror}") from None
    mend = "make a new one with: stowage prune … --plan-out FILE"
    try:
        head_json, tail_json = json.loads(first), json.loads(last)
        if head_json["stowage_plan"] != FORMAT:
            raise errors.BadInputError(f"plan {path} has format {head_json['stowage_plan']}, known is {FORMAT}", mend)
        totals = PlanTotals(**tail_json["totals"])
        rules = dict(head_json["rules"])
        if rules["older_than"] is not None:
            rules["older_than"] = timedelta(seconds=rules["older_than"])
        head = PlanHead(
            endpoint=head_json["endpoint"],
            bucket=head_json["bucket"],
            prefix=head_json["prefix"],
            planned_at=datetime.fromisoformat(head_json["planned_at"]),
            rules=PruneRules(**rules),
        )
    except (ValueError, KeyError, TypeError, IndexError):
        raise errors.BadInputError(
            f"{path} is not a whole plan: its first or last line is not what it should be", mend
        ) from None
    if digest.hexdigest() != totals.sha256:
        raise errors.BadInputError(f"plan {path} was changed after it was made: its SHA-256 does not match", mend)
    return Plan(path, head, totals)
