"""The questions that docs/trace.md asks of a trace, run by jq as they are written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from page_blocks import BLOCKS

QUERIES = [block for block in BLOCKS if block.page == "docs/trace.md" and block.text.startswith("jq ")]


def event(who: str, name: str, key: str) -> dict[str, object]:
    record = {
        "eventTime": "2026-11-22T14:58:39.123456789Z",
        "eventName": name,
        "userIdentity": {"principalId": who},
        "s3": {"bucket": {"name": "filator"}, "object": {"key": key, "versionId": "v1"}},
    }
    return {"EventName": name, "Key": f"filator/{key}", "Records": [record]}


TRACE = [
    event("FILATORKEY", "s3:ObjectCreated:Put", "files/report.pdf"),
    event("FILATORKEY", "s3:ObjectCreated:Put", "files/other.pdf"),
    event("STRANGERKEY", "s3:ObjectRemoved:Delete", "files/report.pdf"),
    event("FILATORKEY", "s3:ObjectRemoved:Delete", "files/other.pdf"),
    {"EventName": "stowage:Heartbeat", "Key": "", "Records": []},
]


def asked(text: str, folder: Path) -> list[list[str]]:
    (folder / "day.ndjson").write_text("".join(json.dumps(one) + "\n" for one in TRACE))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env={**os.environ, "KNOWN_KEYS": "FILATORKEY OTHERKEY"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.skipif(not shutil.which("jq"), reason="needs jq")
def test_each_question_is_answered_as_the_page_says(tmp_path: Path) -> None:
    one_object, by_key, strangers = (asked(block.text, tmp_path) for block in QUERIES)
    when = "2026-11-22T14:58:39"
    assert one_object == [
        [when, "s3:ObjectCreated:Put", "FILATORKEY", "v1"],
        [when, "s3:ObjectRemoved:Delete", "STRANGERKEY", "v1"],
    ]
    assert by_key == [
        ["2", "FILATORKEY", "s3:ObjectCreated:Put"],
        ["1", "FILATORKEY", "s3:ObjectRemoved:Delete"],
        ["1", "STRANGERKEY", "s3:ObjectRemoved:Delete"],
    ]
    assert strangers == [[when, "STRANGERKEY", "filator", "files/report.pdf"]]
