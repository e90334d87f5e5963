"""The page at `/` and the OpenAPI document."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import requests
from conftest import MakeSite, Site, s3_entry
from test_archive import begin
from test_files import post
from test_sweeps import expire, sweep

from filator import page

CHROME = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


class Cells(HTMLParser):
    """Collects the text of table cells, and the tags that must not be there."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        self.inside = tag not in ("h2", "p", "footer") and self.inside
        if tag in ("td", "th") and self.rows:
            self.inside = True
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.inside and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


@pytest.fixture(scope="module")
def page_site(make_site: MakeSite) -> Site:
    return make_site(lambda weed, name: [s3_entry(weed, name), {"name": "db", "type": "db", "readonly": True}])


def read(site: Site) -> Cells:
    answer = requests.get(site.url, timeout=20)
    assert answer.status_code == 200
    cells = Cells()
    cells.feed(answer.text)
    return cells


def test_the_page_tells_storages_expiry_and_transactions_without_script(page_site: Site) -> None:
    post(page_site, b"x" * 2048)
    post(page_site, b"x", data={"delete_at": "never"})
    expire(page_site, post(page_site, b"late")["uuid"])
    tx = begin(page_site)
    assert ["s3", "s3", "works", "?", "?"] in read(page_site).rows
    assert "not counted yet" in requests.get(page_site.url, timeout=20).text
    assert sweep(page_site, "figures") == {"figures": {"counted": 1}}
    cells = read(page_site)
    assert "script" not in cells.tags
    assert ["s3", "s3", "works", "2", "2.0 KiB"] in cells.rows
    assert ["db", "db, read only", "works", "0", "0 B"] in cells.rows
    found = {row[0]: row[2] for row in cells.rows if len(row) == 4 and row[1] == ""}
    assert (found["overdue"], found["in 3 days"], found["never"]) == ("1", "0", "1")
    assert found["in 1 day"] == "1"
    assert any(row[0].startswith(tx["uuid"][:12]) for row in cells.rows if row)
    text = requests.get(page_site.url, timeout=20).text
    assert "Files and bytes as counted" in text
    assert tx["uuid"][:13] not in text


def test_names_from_outside_are_escaped_and_scripts_forbidden(page_site: Site) -> None:
    answer = requests.get(page_site.url, timeout=20)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "viewport" in answer.text
    assert "prefers-color-scheme: dark" in answer.text


@pytest.mark.skipif(CHROME is None, reason="needs a browser: apt-get install chromium")
@pytest.mark.parametrize("size", ["390,844", "1280,900"])
def test_a_browser_draws_the_page_within_its_width(page_site: Site, size: str, tmp_path: Path) -> None:
    command = [
        str(CHROME),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--window-size={size}",
        "--virtual-time-budget=2000",
    ]
    post(page_site, b"x")
    sweep(page_site, "figures")
    picture = tmp_path / "page.png"
    subprocess.run([*command, f"--screenshot={picture}", page_site.url], check=True, capture_output=True, timeout=90)
    assert picture.stat().st_size > 5000
    dom = subprocess.run(
        [*command, "--dump-dom", page_site.url], check=True, capture_output=True, text=True, timeout=90
    )
    assert re.search(r'<rect width="100.0%"', dom.stdout)


def test_openapi_names_every_route(page_site: Site) -> None:
    document = requests.get(f"{page_site.url}/openapi.json", timeout=10).json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]["/attachments/{uuid}"]) == {"get", "head", "put", "delete"}
    assert {"/attachments", "/attachments/{uuid}.json", "/attachments/archive/tx", "/readyz"} <= set(document["paths"])


def test_last_errors_name_no_file() -> None:
    uuid = "ab" * 32
    error = {
        "timestamp": "2026-11-28T10:00:00",
        "event": "request",
        "level": "warning",
        "method": "GET",
        "path": f"/attachments/{uuid}",
        "uuid": uuid,
        "reason": f"{uuid}: other bytes",
        "ended": f"{uuid}: other bytes",
        "status": 503,
        "storage": "s3",
    }
    report = {"status": "ok", "storages": {}, "database": {"ok": True}, "redis": {"ok": True}}
    text = page.render(page.Facts(report, None, [], [error], None), ZoneInfo("UTC")).decode()
    assert uuid not in text
    assert "/attachments" not in text
    assert "method GET, status 503, storage s3" in text
