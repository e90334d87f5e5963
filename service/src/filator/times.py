"""Times as the contract writes them: milliseconds and the service's offset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

_LOCALTIME = Path("/etc/localtime")
# No zone is a day off UTC: what lies between can be written in every one of them.
EARLIEST = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
LATEST = datetime(9999, 12, 30, 23, 59, 59, 999000, tzinfo=UTC)


def service_zone(name: str) -> ZoneInfo:
    """Find the zone that dates and keys are written in.

    Args:
        name: the value of `TZ`, e.g. `Europe/Moscow`; empty means the host's zone.

    Returns:
        The zone; UTC on a host without /etc/localtime.

    Raises:
        ValueError: the name is not in the zone database.
    """
    if name:
        try:
            return ZoneInfo(name.removeprefix(":"))
        except (OSError, ValueError, KeyError):
            raise ValueError(f"{name!r} is no zone of the database; give one such as Europe/Moscow") from None
    if not _LOCALTIME.exists():
        return ZoneInfo("UTC")
    parts = _LOCALTIME.resolve().parts
    if "zoneinfo" in parts:
        key = "/".join(parts[parts.index("zoneinfo") + 1 :])
        try:
            return ZoneInfo(key)
        except (OSError, ValueError, KeyError):
            pass
    with _LOCALTIME.open("rb") as file:
        return ZoneInfo.from_file(file, key="localtime")


def now() -> datetime:
    """Return the present moment in UTC, cut to milliseconds: what is stored equals what was answered."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def in_zone(moment: datetime, zone: ZoneInfo) -> datetime:
    """Shift a moment into a zone; one at the edge of the calendar, which old rows may have, stays in UTC."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment.astimezone(UTC)


def iso(moment: datetime, zone: ZoneInfo) -> str:
    """Write a moment as `2021-12-11T15:47:26.570+03:00`."""
    return in_zone(moment, zone).isoformat(timespec="milliseconds")


def parse_delete_at(text: str, zone: ZoneInfo, moment: datetime) -> datetime | None:
    """Read the field delete_at (docs/contract.md 3).

    Args:
        text: `never`, `2022-04-04 23:22:32` or ISO 8601; without an offset the service's zone is meant.
        zone: the service's zone.
        moment: now.

    Returns:
        The time in UTC, or None for `never`.

    Raises:
        ValueError: unreadable, not after `moment`, or too late; the text says which.
    """
    text = text.strip()
    if text.lower() == "never":
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"delete_at {text[:40]!r} cannot be read; give a time such as 2022-04-04 23:22:32, ISO 8601, or never"
        ) from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=zone)
    try:
        when = when.astimezone(UTC)
    except OverflowError:
        when = EARLIEST if when.year == 1 else datetime.max.replace(tzinfo=UTC)
    if when <= moment:
        raise ValueError(f"delete_at {text[:40]!r} has already passed")
    if when > LATEST:
        raise ValueError(f"delete_at {text[:40]!r} lies beyond {LATEST:%Y-%m-%d}; give an earlier time, or never")
    return when.replace(microsecond=when.microsecond // 1000 * 1000)


def months_before(moment: datetime, months: int) -> datetime:
    """Return the midnight of the day `months` calendar months before `moment`, in the zone of `moment`."""
    index = moment.year * 12 + moment.month - 1 - months
    year, month = divmod(index, 12)
    day = moment.day
    while True:
        try:
            return moment.replace(year=year, month=month + 1, day=day, hour=0, minute=0, second=0, microsecond=0)
        except ValueError:
            day -= 1
