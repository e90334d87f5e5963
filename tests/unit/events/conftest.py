"""What is rendered, and the judge of a trace, are the contract tests' own."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "contract"))
