"""Requests made from the service's own OpenAPI document, valid and not: answers as the document says, never a 500."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import servers
from conftest import MakeSite, s3_entry

# By operation and phase; FILATOR_FUZZ=10000 for the long run.
EXAMPLES = max(20, int(os.environ.get("FILATOR_FUZZ", "600")) // 30)
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_answers_are_those_of_the_document(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(lambda weed, name: [s3_entry(weed, name), {"name": "db", "type": "db"}])
    command = [str(servers.VENV_BIN / "schemathesis"), "run", f"{site.url}/openapi.json"]
    command += ["--checks", CHECKS, "--max-examples", str(EXAMPLES), "--mode", "all", "--no-color"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    counted = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert counted, done.stdout[-2000:]
    assert int(counted[1]) == int(counted[2]) > 13 * EXAMPLES // 2
    assert "Traceback" not in site.app.log.read_text()
