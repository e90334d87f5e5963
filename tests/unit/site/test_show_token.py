"""The write token in the lines of scripts/show: itself on a terminal, elsewhere how to take it from the vault."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader

import pytest
from example_site import REPOSITORY
from plays import Play


@pytest.fixture(scope="module")
def show():
    loader = SourceFileLoader("show", str(REPOSITORY / "scripts" / "show"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("show", loader))
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("terminal", [True, False])
def test_the_token_of_the_line_is_the_one_of_the_vault(show, mine: Play, terminal, monkeypatch):
    monkeypatch.setenv("STOWAGE_VAULT_PASSWORD_FILE", str(mine.folder / "password"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    token = mine.secrets()["vault_filator_token_write"]
    printed = show.write_token({"vault": str(mine.vault)})
    assert (token in printed) is terminal
    pasted = ["bash", "-c", f'TOKEN={printed}; echo "$TOKEN"']
    done = subprocess.run(pasted, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == token
