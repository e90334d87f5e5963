"""A value as its reader will read it back unchanged: one function for each reader, or a refusal in words.

Refusals never hold the value, since most values are secrets.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from stowage.errors import BadInputError

# systemd hands over tabs and newlines, and drops a variable with any other control character.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PLAIN = re.compile(r"[A-Za-z0-9/+=._~@:,-]*")
# godotenv takes a name in capitals behind $ for a variable, in braces or brackets too.
_GODOTENV_BARE = re.compile(r"[^\s'\"#$][^\n\r#$]*(?<!\s)")


def systemd_value(value: str) -> str:
    """Write a value for systemd's ``EnvironmentFile``; ``sh`` and :func:`stowage.env_file.parse` read it alike.

    Args:
        value: Any text.

    Returns:
        The value in single quotes; one that holds such a quote in double quotes. A quote that is closed, escaped and
        opened again, as shells read it, will not do: for systemd 252 the one that opens again is a part of the value.

    Raises:
        BadInputError: It holds a control character, with which systemd drops the whole variable.
    """
    _without_control(value, "systemd")
    return f"'{value}'" if "'" not in value else systemd_quoted(value)


def systemd_quoted(value: str) -> str:
    """Write a value for systemd's ``EnvironmentFile`` in double quotes whatever it holds, for what looks for them.

    Raises:
        BadInputError: As for :func:`systemd_value`.
    """
    _without_control(value, "systemd")
    escaped = re.sub(r'([\\"`$])', r"\\\1", value)
    return f'"{escaped}"'


def godotenv_value(value: str) -> str:
    """Write a value for godotenv 1.5, which reads qatlasd's settings.

    It takes a quote behind a backslash for an escaped one, also where the backslash is itself escaped; then no quote
    closes and the whole file counts as unreadable. And it cuts quotes off both ends of a quoted value. So a value that
    ends in a backslash, or in a double quote beside a single one, stands without quotes.

    Args:
        value: Any text.

    Raises:
        BadInputError: There is no way to write it.
    """
    _without_control(value, "godotenv")
    if not value.endswith("\\") and not ("'" in value and value.endswith('"')):
        if "'" not in value:
            return f"'{value}'"
        escaped = re.sub(r'([\\"$])', r"\\\1", value)
        return f'"{escaped}"'
    if _GODOTENV_BARE.fullmatch(value):
        return value
    raise BadInputError(
        "godotenv cannot read a value that ends in a backslash, or in a double quote beside a single one, and begins "
        "with a quote or a space, or holds #, $ or a newline",
        "choose another value",
    )


def plain_value(value: str) -> str:
    r"""Write a value for a file that several readers share, which agree on nothing but plain characters.

    ``docker run --env-file`` takes all as it stands, Compose expands ``$`` and reads quotes, systemd reads quotes and
    backslashes.

    Args:
        value: Letters, digits and ``/ + = . _ ~ @ : , -``.

    Raises:
        BadInputError: It holds anything else.
    """
    if not _PLAIN.fullmatch(value):
        raise BadInputError(
            "the readers of this file (systemd, Docker, Podman, Compose) agree on letters, digits and /+=._~@:,- only",
            "choose another value",
        )
    return value


def url_part(value: str) -> str:
    """Write a user, a password or a name as a part of a URL: ``p@ss/w:rd#1`` becomes ``p%40ss%2Fw%3Ard%231``."""
    return quote(value, safe="")


def url_host(address: str) -> str:
    """Write an address as it stands before a port: an IPv6 address in brackets (RFC 3986, 3.2.2).

    >>> url_host("fd00::1"), url_host("[fd00::1]"), url_host("10.9.0.1"), url_host("nas.example.org")
    ('[fd00::1]', '[fd00::1]', '10.9.0.1', 'nas.example.org')
    """
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def _without_control(value: str, reader: str) -> None:
    if _CONTROL.search(value):
        raise BadInputError(f"{reader} cannot be given a control character", "choose another value")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadInputError(f"{reader} can be given UTF-8 only", "choose another value") from None
