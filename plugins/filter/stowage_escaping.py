# SPDX-License-Identifier: Apache-2.0
"""A value as its reader will read it back: filters over stowage.site.escaping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from stowage.errors import BadInputError
from stowage.site import escaping


def _filter(write: Callable[[str], str]) -> Callable[[Any], str]:
    def wrapped(value: Any) -> str:
        try:
            return write(str(value))
        except BadInputError as error:
            raise AnsibleFilterError(str(error)) from None

    return wrapped


class FilterModule:
    """The filters, each for one reader."""

    def filters(self) -> dict[str, Callable[[Any], str]]:
        """Return them by name."""
        return {
            "systemd_value": _filter(escaping.systemd_value),
            "systemd_quoted": _filter(escaping.systemd_quoted),
            "godotenv_value": _filter(escaping.godotenv_value),
            "plain_value": _filter(escaping.plain_value),
            "url_part": _filter(escaping.url_part),
            "url_host": _filter(escaping.url_host),
        }
