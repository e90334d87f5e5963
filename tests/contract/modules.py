"""Run a module of library/ in this process, as Ansible would, and hand back what it answered."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import unittest.mock
from pathlib import Path
from types import ModuleType
from typing import Any

import ansible.module_utils
from ansible.module_utils import _internal, basic
from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args

from stowage.s3.connection import S3Settings

ROOT = Path(__file__).parents[2]
_OUR_UTILS = str(ROOT / "plugins" / "module_utils")


class ModuleFailedError(AssertionError):
    """The module left through fail_json; ``answer`` is what it said."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer.get("msg"))
        self.answer = answer


def load(name: str) -> ModuleType:
    """Import ``library/NAME.py`` with the repository's module_utils on the path."""
    if _OUR_UTILS not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_OUR_UTILS)
    spec = importlib.util.spec_from_file_location(f"library_{name}", ROOT / "library" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def connection(settings: S3Settings, driver: str) -> dict[str, Any]:
    """The connection options of a server."""
    return {
        "endpoint": settings.endpoint,
        "access_key": settings.access_key,
        "secret_key": settings.secret_key,
        "driver": driver,
    }


def run(name: str, options: dict[str, Any], *, check: bool = False) -> dict[str, Any]:
    """The module's answer.

    Raises:
        ModuleFailedError: When it failed.
    """
    module = load(name)
    arguments = {**options, "_ansible_check_mode": check, "_ansible_diff": True}
    printed = io.StringIO()
    warnings._global_warnings.clear()
    with (
        # Rendering a template in a test makes this process a controller, where warnings go to the display instead.
        unittest.mock.patch.object(_internal, "is_controller", False),
        patch_module_args(arguments),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        module.main()
    basic._ANSIBLE_ARGS = None
    answer: dict[str, Any] = json.loads(printed.getvalue().strip().splitlines()[-1])
    if answer.get("failed"):
        raise ModuleFailedError(answer)
    return answer
