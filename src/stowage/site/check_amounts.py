"""Ages, times and switches that no role takes as its own, or whose argument spec can only say that they are text.

Without this a word such as ``1day`` would pass: Ansible's filter ``int`` makes 0 of it, so that a key whose links are
still out is retired at once, and an age is refused only by the program that reads it, on a host, days later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stowage.errors import BadInputError
from stowage.s3.prune_plan import parse_age
from stowage.site.model import Problem, Rules, Site

Judge = Callable[[Any], str | None]


def _age(value: Any) -> str | None:
    if value == "":
        return None
    try:
        parse_age(str(value))
    except BadInputError:
        return "an age such as 14d, 2w, 36h or 1h30m; empty, none"
    return None


def _whole(least: int, most: int | None = None) -> Judge:
    right = f"a whole number from {least}" + (f" to {most}" if most is not None else " on")

    def judge(value: Any) -> str | None:
        text = str(value)
        fits = text.isascii() and text.isdigit() and least <= int(text) and (most is None or int(text) <= most)
        return None if fits else right

    return judge


def _switch(value: Any) -> str | None:
    # What Ansible's filter `bool` takes; everything else it takes for false.
    known = str(value).lower() in ("true", "false", "yes", "no", "on", "off", "1", "0")
    return None if known else "true or false"


def _one_of(*choices: str) -> Judge:
    right = f"one of {', '.join(one or 'empty' for one in choices)}"
    return lambda value: None if value in choices else right


AMOUNTS: dict[str, Judge] = {
    "prune_timer_older_than": _age,
    "object_store_filator_prune_older_than": _age,
    "object_store_link_seconds": _whole(0),
    "object_store_trace_heartbeat": _whole(0),
    "object_store_trace_timeout": _whole(1),
    "object_store_trace_remember": _whole(0),
    "object_store_port": _whole(1, 65535),
    "object_store_durability": _one_of("strict", "relaxed", "none", ""),
    "object_store_trace": _switch,
    "stowage_prune_timer": _switch,
    "stowage_service_tokens": _switch,
    # What the file service's own settings would refuse, on a host.
    "filator_default_lifetime": _whole(1),
    "filator_presign_seconds": _whole(1, 604800),
    "filator_log_level": _one_of("debug", "info", "warning", "error"),
}
"""Variable and the function that says what would be right; ``None`` where the value is."""


def check_amounts(site: Site, _rules: Rules) -> list[Problem]:
    """Every age, time and switch is one that its reader understands."""
    return [
        Problem(
            where=site.where(users, name),
            what=f"{name} is {str(value)[:60]!r}",
            right=right,
            mend=site.edit(users, name),
        )
        for name, judge in AMOUNTS.items()
        for value, users in site.by_value(site.hosts, name)
        if value is not None
        and (right := judge(value))
        and not any(name in site.misfits.get(user, {}) for user in users)
    ]
