"""The judgement of a running qatlasd, on plain data; tests/contract/test_qatlasd_stub.py asks the programs."""

from __future__ import annotations

import json

import pytest

from stowage.site.qatlasd import Boot, judge_boot, judge_health, judge_rest

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


def test_what_the_program_could_not_read_is_named_without_the_value():
    line = f"WARN found .env but could not load it path={ENV} error=\"unterminated quoted value 's3cret\\"
    unit = {"LoadState": "loaded", "ActiveState": "inactive", "ExecMainStatus": "0"}
    cause = judge_health({"unit": unit, "journal": [line]}).cause
    assert f"could not load it path={ENV}" in cause
    assert "s3cret" not in cause
    problems = judge_boot([line, "raw store: local backend /var/lib/quantum-atlas/raw"], BOOT)
    assert [problem.partition(":")[0] for problem in problems] == [
        f"it could not read {ENV}",
        "it keeps files in a local folder instead of the store",
    ]


def test_a_local_folder_is_told_from_what_is_left_of_a_journal():
    assert judge_rest(["wiki: cache refreshed"], BOOT) == []
    lines = ["raw store: local backend /var/lib/quantum-atlas/raw", "wiki: cache refreshed"]
    assert judge_rest(lines, BOOT) == ["it keeps files in a local folder instead of the store"]
    assert judge_rest(lines, Boot(ENV)) == []
