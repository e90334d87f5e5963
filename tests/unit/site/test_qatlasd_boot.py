"""The judgement of a running qatlasd: on plain data, and on the answers of the stub, started for real."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request

import pytest
from example_site import REPOSITORY

from stowage.site.qatlasd import Boot, judge_boot, judge_health

STUB = REPOSITORY / "tests" / "doubles" / "qatlasd_stub"
ENV = "/etc/quantum-atlas/.env"
BUCKETS = ("qatlas-pdf", "qatlas-md", "qatlas-images")
BOOT = Boot(ENV, "http://10.9.0.1:9000", BUCKETS, "https://s3.example.org", "/var/lib/quantum-atlas/pb_data")
LINES = [
    f"2026/11/22 10:00:00 INFO loaded .env path={ENV}",
    *(
        f"2026/11/22 10:00:01 raw store: S3 backend http://10.9.0.1:9000/{bucket} (presign via https://s3.example.org)"
        for bucket in BUCKETS
    ),
    "2026/11/22 10:00:01 bucket versioning: already enabled on qatlas-md",
    '2026/11/22 10:00:01 bucket versioning: enabled (was: "Suspended") on qatlas-pdf',
    '2026/11/22 10:00:01 bucket versioning: enabled (was: "") on qatlas-images',
    "2026/11/22 10:00:02 INFO pb_data lock acquired path=/var/lib/quantum-atlas/pb_data/qatlasd.lock pid=7",
]
RUNNING = {"LoadState": "loaded", "ActiveState": "active"}


def body(rawstore, status="degraded"):
    checks = {"wiki": {"status": "error"}} | ({"rawstore": {"status": rawstore}} if rawstore else {})
    return json.dumps({"code": 200, "data": {"status": status, "checks": checks}})


def seen(rawstore, **more):
    return {"unit": RUNNING, "health": {"code": 200, "body": body(rawstore)}, "journal": LINES} | more


def test_a_good_boot_has_no_problem():
    assert judge_boot(LINES, BOOT) == []


def test_the_lines_of_one_bucket_are_read_too():
    lines = [LINES[0], "raw store: S3 backend http://10.9.0.1:9000/qatlas-raw", "bucket versioning: already enabled"]
    assert judge_boot(lines, Boot(ENV, "http://10.9.0.1:9000", ("qatlas-raw",))) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("loaded .env path", "nothing path", "has not loaded /etc/quantum-atlas/.env"),
        (" (presign via https://s3.example.org)", "", "presigns via the store's own endpoint instead of https://s3"),
        ("via https://s3.example.org", "via https://s3.example.org:9443", "presigns via https://s3.example.org:9443"),
        ("http://10.9.0.1:9000/qatlas-md", "http://10.9.0.1:9000/other", "instead of qatlas-pdf, qatlas-md"),
        ("http://10.9.0.1:9000/", "http://10.9.0.2:9000/", "reaches the store at http://10.9.0.2:9000"),
        ("already enabled on qatlas-md", "", "versioning is on for 1 of 3 buckets"),
        ("quantum-atlas/pb_data/qatlasd.lock", "elsewhere/qatlasd.lock", "its lock is not in"),
    ],
)
def test_a_boot_that_says_otherwise_is_told(old, new, told):
    problems = judge_boot([line.replace(old, new) for line in LINES], BOOT)
    assert any(told in problem for problem in problems), problems


def test_versioning_that_could_not_be_switched_on_is_told_with_the_servers_own_words():
    failed = (
        "bucket versioning: reconcile failed; overwrites will not be recoverable bucket=qatlas-md error=AccessDenied"
    )
    lines = [failed if "on qatlas-md" in line else line for line in LINES]
    assert judge_boot(lines, BOOT) == [failed]


def test_lines_in_another_order_are_told():
    assert "another order" in judge_boot([*LINES[:1], *LINES[4:], *LINES[1:4]], BOOT)[0]


def test_the_local_backend_is_told_where_a_store_was_asked_for():
    lines = [LINES[0], "raw store: local backend /var/lib/quantum-atlas/raw"]
    assert judge_boot(lines, BOOT) == ["it keeps files in a local folder instead of the store"]
    assert judge_boot(lines, Boot(ENV)) == []


def test_rawstore_ok_is_good_though_the_page_says_degraded():
    assert judge_health(seen("ok")).state == "good"


@pytest.mark.parametrize("rawstore", ["error", "not_configured", None])
def test_code_200_is_not_good_by_itself(rawstore):
    verdict = judge_health(seen(rawstore, store="the store at http://10.9.0.1:9000 does not answer this host: refused"))
    assert verdict.state == "wait"
    assert "answers 200, but" in verdict.cause


def test_the_cause_names_what_the_store_answered_to_the_host():
    verdict = judge_health(seen("error", store="the store at http://10.9.0.1:9000 does not answer this host: refused"))
    assert "http://10.9.0.1:9000 does not answer this host: refused" in verdict.cause


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"data": null}'])
def test_a_page_of_another_shape_is_not_good(body):
    assert judge_health({"unit": RUNNING, "health": {"code": 200, "body": body}}).state == "wait"


def test_a_process_that_has_ended_with_0_is_bad_and_its_last_error_is_told():
    unit = {"LoadState": "loaded", "ActiveState": "inactive", "ExecMainStatus": "0"}
    verdict = judge_health({"unit": unit, "journal": ["one", "Error: listen tcp 127.0.0.1:4200: in use", "bye"]})
    assert verdict.state == "bad"
    assert "listen tcp 127.0.0.1:4200: in use" in verdict.cause


@pytest.fixture
def stub(tmp_path):
    """Start the stub with settings; the returned function gives its health, its output and its exit code."""
    started = []

    def start(**settings):
        port = free_port()
        (tmp_path / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()))
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                [STUB, "serve", f"--http=127.0.0.1:{port}", f"--dir={tmp_path / 'pb_data'}"],
                cwd=tmp_path,
                env={"PATH": os.environ["PATH"], "QATLAS_PB_DATA_DIR": str(tmp_path / "pb_data")},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        return process, f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.kill()
        process.wait()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def health_of(url):
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"{url}/api/health", timeout=10) as answer:
                return {"code": answer.status, "body": answer.read().decode()}
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"{url} does not answer")


def test_the_stub_answers_200_while_its_store_is_down_and_is_not_called_ready(stub):
    names = {f"QATLAS_S3_BUCKET_{kind}": f"b-{kind.lower()}" for kind in ("PDF", "MD", "IMAGES")}
    keys = {"QATLAS_S3_ACCESS_KEY_ID": "a", "QATLAS_S3_SECRET_ACCESS_KEY": "s"}
    _, url = stub(QATLAS_S3_ENDPOINT=f"http://127.0.0.1:{free_port()}", **names, **keys)
    health = health_of(url)
    assert health["code"] == 200
    assert judge_health({"unit": RUNNING, "health": health}).state == "wait"


def test_the_stub_on_a_local_folder_boots_as_expected_and_stops_on_sigint(stub, tmp_path):
    process, url = stub()
    assert judge_health({"unit": RUNNING, "health": health_of(url)}).state == "good"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    said = (tmp_path / "log").read_text().splitlines()
    assert judge_boot(said, Boot(str(tmp_path / ".env"), data_dir=str(tmp_path / "pb_data"))) == []


def test_a_half_set_group_ends_the_stub_with_exit_code_0(stub, tmp_path):
    process, _ = stub(QATLAS_S3_ENDPOINT="http://127.0.0.1:1", QATLAS_S3_BUCKET_PDF="b")
    assert process.wait(10) == 0
    assert "Error: after CLI flag overrides: object storage half-configured" in (tmp_path / "log").read_text()


def test_the_one_bucket_of_older_releases_is_refused_by_every_command(stub):
    process, _ = stub(QATLAS_S3_BUCKET="qatlas-raw")
    assert process.wait(10) == 1


def test_prune_of_the_stub_fails_with_exit_code_0_and_a_table_on_stdout(tmp_path):
    names = ("ENDPOINT", "BUCKET_PDF", "BUCKET_MD", "BUCKET_IMAGES", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
    environment = {"PATH": os.environ["PATH"]} | {f"QATLAS_S3_{name}": "x" for name in names}
    done = subprocess.run(
        [STUB, "storage", "prune", "--yes"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split() == ["KEY", "VERSION_ID", "SIZE", "AGE", "ACTION"]
    assert "deleted: 2, failed: 1" in done.stderr
    assert "Error: 1 versions failed to delete" in done.stderr
