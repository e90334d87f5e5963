"""The edges as tests/e2e sees them, beside testinfra's view of their hosts."""

import importlib.util
from pathlib import Path

_PATH = Path(__file__).parents[3] / "tests" / "e2e" / "conftest.py"
_spec = importlib.util.spec_from_file_location("e2e_fixtures", _PATH)
_e2e = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_e2e)

site, tokens, edges = _e2e.site, _e2e.tokens, _e2e.edges
first, last, a_file = _e2e.first, _e2e.last, _e2e.a_file
