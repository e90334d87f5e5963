"""Log lines as JSON on stderr, one a line."""

from __future__ import annotations

import logging
import sys
from collections import deque
from datetime import UTC, datetime
from typing import Any

import structlog

from filator import jsontext

# The last warnings and errors of this process, shown on the page at /.
RECENT: deque[dict[str, Any]] = deque(maxlen=20)


def _remember(_logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if method in ("warning", "error", "critical"):
        RECENT.append({key: str(value)[:300] for key, value in event.items()})
    return event


_state = {"requests": True}


def request(fields: dict[str, Any], *, warn: bool) -> None:
    """Write the line of one answered request; not by structlog, whose chain costs more than the line."""
    if warn:
        structlog.get_logger().warning("request", **fields)
    elif _state["requests"]:
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = jsontext.dumps({"event": "request", "level": "info", "timestamp": stamp, **fields})
        sys.stderr.write(line.decode() + "\n")


def configure(level: str) -> None:
    """Set up structlog and let other libraries' warnings through as JSON too.

    Args:
        level: debug, info, warning or error.
    """
    number = getattr(logging, level.upper())
    _state["requests"] = number <= logging.INFO
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _remember,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.INFO))
    # botocore logs request bodies and headers at debug; uvicorn's access log would double ours.
    for name, least in (
        ("botocore", logging.WARNING),
        ("uvicorn.access", logging.CRITICAL),
        ("alembic", logging.WARNING),
    ):
        logging.getLogger(name).setLevel(least)
