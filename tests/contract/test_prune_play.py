"""playbooks/ops/prune.yml in the bucket of the file service: the first app host is asked what its rows say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from modules import ROOT
from servers import Server
from versioned import stored, versioned_bucket, write_versions

from stowage.s3.connection import s3_client

KEY = "files/aa/bb"
# Stands in for systemd-run on the app host: notes what it was asked, and does what `filator rows --out FILE` would.
ASKED = """#!/bin/sh
printf '%s\\n' "$@" >>"$FAKE_TOLD"
for last; do :; done
echo "$last" >"$FAKE_TOLD.file"
{answer}
"""


class Site:
    """Two app hosts that are this machine, and a bucket with five versions of one file."""

    def __init__(self, weed: Server, folder: Path) -> None:
        self.weed, self.folder = weed, folder
        self.client = s3_client(weed.settings)
        self.bucket = versioned_bucket(self.client)
        self.ids = write_versions(self.client, self.bucket, [KEY], 5)[KEY]
        self.told = folder / "told"
        own = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
        app = {"hosts": {"edge-1": {}, "edge-2": {}}, "vars": own}
        (folder / "hosts.yml").write_text(json.dumps({"all": {"children": {"app": app}}}))
        (folder / "vault").write_text("x")
        (folder / "programs").mkdir()
        (folder / "tmp").mkdir()

    def rows(self) -> str:
        """Only the first version was replaced; the last is current; what lies between, no row names."""
        states = {self.ids[0]: "replaced", self.ids[4]: "current"}
        lines: list[dict[str, Any]] = [{"filator_rows": 1, "taken_at": datetime.now(UTC).isoformat()}]
        lines += [
            {"bucket": self.bucket, "key": KEY, "version_id": one, "state": state} for one, state in states.items()
        ]
        lines.append({"rows": 2})
        return "".join(json.dumps(line) + "\n" for line in lines)

    def play(self, *, answer: str = 'cat "$FAKE_TOLD.rows" >"$last"', **more: Any) -> tuple[int, str]:
        """Prune what was replaced; return the exit status and what Ansible said."""
        fake = self.folder / "programs" / "systemd-run"
        fake.write_text(ASKED.format(answer=answer))
        fake.chmod(0o755)
        Path(f"{self.told}.rows").write_text(self.rows())
        given = {
            "object_store_endpoint": self.weed.settings.endpoint,
            "object_store_filator_bucket": self.bucket,
            "app_services": ["filator"],
            "prune_bucket": self.bucket,
            "prune_access_key": self.weed.settings.access_key,
            "prune_secret_key": self.weed.settings.secret_key,
            "prune_recipe": "custom",
            "prune_all_old": True,
            "prune_apply": True,
            **more,
        }
        (self.folder / "vars.json").write_text(json.dumps(given))
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                *("-i", str(self.folder / "hosts.yml"), "-e", f"@{self.folder / 'vars.json'}"),
                "playbooks/ops/prune.yml",
            ],
            check=False,
            cwd=ROOT,
            env=os.environ
            | {
                "PATH": f"{self.folder / 'programs'}{os.pathsep}{os.environ['PATH']}",
                "TMPDIR": str(self.folder / "tmp"),
                "FAKE_TOLD": str(self.told),
                "ANSIBLE_VAULT_PASSWORD_FILE": str(self.folder / "vault"),
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True,
            text=True,
        )
        said = done.stdout + done.stderr
        assert self.weed.settings.secret_key not in said
        return done.returncode, said

    @property
    def left(self) -> set[str]:
        """The versions that are there."""
        return set(stored(self.client, self.bucket)[KEY])

    @property
    def rows_file(self) -> Path:
        """The file on the app host that the rows were written to."""
        return Path(Path(f"{self.told}.file").read_text().strip())


@pytest.fixture
def site(weed: Server, tmp_path: Path) -> Site:
    return Site(weed, tmp_path)


def test_the_rows_of_the_service_are_fetched_and_decide(site: Site) -> None:
    status, said = site.play()
    assert status == 0, said
    # Without the rows, all four old versions would have gone.
    assert site.left == set(site.ids[1:])
    told = site.told.read_text().splitlines()
    assert told.count("rows") == 1, "one app host is asked, not each"
    assert told[-4:-1] == ["/opt/filator/current/venv/bin/filator", "rows", "--out"]
    assert "--property=EnvironmentFile=/etc/filator/filator.env" in told
    assert not site.rows_file.exists()
    assert list((site.folder / "tmp").glob("stowage-*")) == []


def test_a_service_that_cannot_say_stops_the_play_and_nothing_goes(site: Site) -> None:
    status, said = site.play(answer="echo 'filator: the database does not answer' >&2; exit 1")
    assert status != 0
    assert "the database does not answer" in said
    assert site.left == set(site.ids)
    assert not site.rows_file.exists()


def test_in_another_bucket_the_service_is_not_asked(site: Site) -> None:
    status, said = site.play(object_store_filator_bucket="another-bucket")
    assert status == 0, said
    assert not site.told.exists()
    assert site.left == {site.ids[4]}
