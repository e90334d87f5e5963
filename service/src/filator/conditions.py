"""What must hold of the file under a uuid before a request may change it: preconditions of HTTP, and whose file it is.

Pure. The rows ask it twice: as soon as the old row is known, before a byte of the body is read, and once more under the
row's lock, where nobody can come between the answer and the change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from filator.errors import BadRequest, Forbidden, PreconditionFailed
from filator.models import Attachment

# RFC 9110, 8.8.3; the weak form is read, and never matches: If-Match compares strongly (13.1.1).
_TAGS = re.compile(r'\s*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')


@dataclass(frozen=True, slots=True)
class Condition:
    """Of one request.

    Args:
        match: ETags of If-Match; `*` for any file; None where the header was not sent.
        absent: whether If-None-Match: * was sent, so that only a new file may be made.
        owner: name of a token that may change its own files only; None where it may change every file.
    """

    match: frozenset[str] | None = None
    absent: bool = False
    owner: str | None = None

    def check(self, there: Attachment | None) -> None:
        """Let the change pass or refuse it.

        Args:
            there: the unexpired file under the uuid, None where there is none.

        Raises:
            Forbidden: the file is not the token's own.
            PreconditionFailed: a header says that the file must be another one, or none.
        """
        if there is None:
            if self.match is not None:
                raise PreconditionFailed("If-Match: there is no such file")
            return
        if self.owner is not None and there.owner != self.owner:
            # Before the preconditions: their answer would tell a stranger what the file holds.
            raise Forbidden(f"The token {self.owner} may change its own files only, and this one is not its own")
        if self.absent:
            raise PreconditionFailed("If-None-Match: the file is there already")
        if self.match is not None and not self.match & {"*", f'"{there.checksum}"'}:
            raise PreconditionFailed("If-Match: the file has other bytes by now")


ANYTHING = Condition()


def read_condition(if_match: str | None, if_none_match: str | None, owner: str | None) -> Condition:
    """Read the headers of a PUT or DELETE.

    Args:
        if_match: value of If-Match, None where it was not sent.
        if_none_match: value of If-None-Match.
        owner: as in Condition.

    Raises:
        BadRequest: a header that would be silently passed over, and with it what the client relies on.
    """
    if if_none_match is not None and if_none_match.strip() != "*":
        raise BadRequest("If-None-Match may only be * in a request that changes a file")
    match = None
    if if_match is not None:
        match = frozenset(["*"]) if if_match.strip() == "*" else _tags(if_match)
    return Condition(match, if_none_match is not None, owner)


def _tags(value: str) -> frozenset[str]:
    tags = []
    position = 0
    while position < len(value):
        found = _TAGS.match(value, position)
        if found is None:
            raise BadRequest('If-Match must be * or ETags in quotes, such as "2cf24dba..."')
        tags.append(found[1])
        position = found.end()
    if not tags:
        raise BadRequest('If-Match must be * or ETags in quotes, such as "2cf24dba..."')
    return frozenset(tags)
