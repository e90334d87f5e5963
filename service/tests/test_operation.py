"""Section 5: commands, health, metrics, tokens, limits, stopping."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import requests
import servers
from conftest import MakeSite, Site, s3_entry
from test_files import get, post

BOUNDARY = b'--b\r\nContent-Disposition: form-data; name="body"; filename="a"\r\n\r\n'


def test_migrate_reports_and_checks(make_site: MakeSite) -> None:
    app = make_site("db", start=False, migrated=False).app
    assert app.run("migrate", "--check", check=False).returncode == 3
    assert re.fullmatch(r"migrated from nothing to \d+\n", app.run("migrate").stdout)
    assert re.fullmatch(r"already at \d+\n", app.run("migrate").stdout)
    assert app.run("migrate", "--check").returncode == 0
    nowhere = app.run("migrate", check=False, FILATOR_DATABASE_URL="postgresql://u:HIDDEN@127.0.0.1:1/x")
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (69, 1)
    assert "HIDDEN" not in nowhere.stderr


def test_two_hosts_may_migrate_at_once(make_site: MakeSite) -> None:
    app = make_site("db", start=False, migrated=False).app
    command = [str(servers.VENV_BIN / "filator"), "migrate"]
    both = [subprocess.Popen(command, env=app.env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    texts = sorted(process.communicate(timeout=60)[0].split()[0] for process in both)
    assert texts == ["already", "migrated"]


def test_health_and_readiness_name_each_part(make_site: MakeSite) -> None:
    site = make_site(lambda weed, name: [s3_entry(weed, name), s3_entry(weed, "absent-bucket", name="lost")])
    report = requests.get(f"{site.url}/readyz", timeout=10)
    body = report.json()
    assert (report.status_code, body["status"]) == (200, "degraded")
    assert body["database"]["ok"]
    assert body["redis"]["ok"]
    assert body["storages"]["s3"]["ok"]
    assert "absent-bucket does not exist" in body["storages"]["lost"]["reason"]


def test_metrics_count_uploads_over_all_workers(make_site: MakeSite) -> None:
    site = make_site("db", FILATOR_WORKERS="2")
    for _ in range(8):
        post(site, b"12345")
    text = requests.get(f"{site.url}/metrics", timeout=10).text
    assert 'filator_uploaded_bytes_total{store="db"} 40.0' in text
    assert 'filator_requests_total{method="POST",route="attachments",status="201"} 8.0' in text


def test_tokens_and_scopes(make_site: MakeSite, tmp_path: Path) -> None:
    tokens, lines = {}, []
    for scope in ("read", "write", "admin"):
        done = subprocess.run(
            [servers.VENV_BIN / "filator", "token", f"n-{scope}", "--scopes", scope],
            capture_output=True,
            text=True,
            check=True,
        )
        tokens[scope] = done.stderr.strip()
        lines.append(done.stdout)
    path = tmp_path / "tokens"
    path.write_text("".join(lines))
    site = make_site("db", FILATOR_TOKENS_FILE=str(path))

    def as_(scope: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {tokens[scope]}"}

    url = f"{site.url}/attachments"
    anonymous = requests.post(url, files={"body": b"x"}, timeout=10)
    assert anonymous.status_code == 401
    assert "Bearer" in anonymous.headers["www-authenticate"]
    assert (
        requests.post(url, files={"body": b"x"}, headers={"Authorization": "Bearer no"}, timeout=10).status_code == 401
    )
    assert requests.post(url, files={"body": b"x"}, headers=as_("read"), timeout=10).status_code == 403
    made = requests.post(url, files={"body": b"x"}, headers=as_("write"), timeout=10)
    one = f"{url}/{made.json()['uuid']}"
    assert requests.get(one, headers=as_("write"), timeout=10).status_code == 403
    assert requests.get(one, headers=as_("read"), timeout=10).content == b"x"
    assert requests.delete(one, headers=as_("write"), timeout=10).status_code == 403
    assert requests.post(f"{url}/archive/tx", headers=as_("write"), timeout=10).status_code == 403
    assert requests.delete(one, headers=as_("admin"), timeout=10).status_code == 204
    assert requests.get(f"{site.url}/healthz", timeout=10).ok
    assert not any(token in site.app.log.read_text() for token in tokens.values())


def test_too_large_is_refused_before_and_while_reading(make_site: MakeSite) -> None:
    site = make_site("db", FILATOR_MAX_BODY_BYTES="2000000")
    data = b"x" * 2_000_001
    announced = requests.post(f"{site.url}/attachments", files={"body": data}, timeout=10)
    assert announced.status_code == 413
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    pieces = iter([BOUNDARY, data, b"\r\n--b--\r\n"])
    assert requests.post(f"{site.url}/attachments", data=pieces, headers=headers, timeout=10).status_code == 413
    post(site, data[:2_000_000])


def _begin(site: Site, length: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", site.app.port), 10)
    head = "POST /attachments HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    sock.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + BOUNDARY)
    return sock


def test_a_silent_client_is_cut_off(make_site: MakeSite) -> None:
    site = make_site("s3", FILATOR_IDLE_SECONDS="1")
    with _begin(site, 20 << 20) as sock:
        sock.sendall(b"x" * (9 << 20))
        answer = sock.recv(4096)
    assert b" 408 " in answer.split(b"\r\n")[0]
    servers.wait_for(lambda: not site.s3.list_multipart_uploads(Bucket=site.bucket).get("Uploads"), "abort")
    assert "Versions" not in site.s3.list_object_versions(Bucket=site.bucket)


def test_a_client_that_goes_away_leaves_nothing(make_site: MakeSite) -> None:
    site = make_site("s3")
    with _begin(site, 40 << 20) as sock:
        sock.sendall(b"x" * (18 << 20))
        time.sleep(0.5)
    servers.wait_for(lambda: "client gone" in site.app.log.read_text(), "the end of the request")
    servers.wait_for(lambda: not site.s3.list_multipart_uploads(Bucket=site.bucket).get("Uploads"), "abort")
    assert "Versions" not in site.s3.list_object_versions(Bucket=site.bucket)


def test_sigterm_finishes_the_running_upload_and_exits_0(make_site: MakeSite) -> None:
    site = make_site("s3", FILATOR_WORKERS="2")
    tail = b"\r\n--b--\r\n"
    data = b"y" * (20 << 20)
    codes: list[int] = []
    with _begin(site, len(BOUNDARY) + len(data) + len(tail)) as sock:
        sock.sendall(data[: 12 << 20])
        time.sleep(0.3)
        stopper = threading.Thread(target=lambda: codes.append(site.app.stop(signal.SIGTERM)))
        stopper.start()
        time.sleep(1.5)
        sock.sendall(data[12 << 20 :] + tail)
        answer = b""
        while not answer.endswith(b"}") and (more := sock.recv(65536)):
            answer += more
        stopper.join()
    assert answer.startswith(b"HTTP/1.1 201 "), answer
    assert codes == [0]
    site.app.start(migrate=False)
    uuid = re.search(rb'"uuid":"([0-9a-f]{64})"', answer)
    assert uuid
    assert get(site, uuid[1].decode()).content == data


def test_sighup_replaces_the_workers_without_refusing_a_request(make_site: MakeSite) -> None:
    site = make_site("db", FILATOR_WORKERS="2")
    stop = threading.Event()
    failures: list[str] = []
    sent = 0

    def load() -> None:
        nonlocal sent
        while not stop.is_set():
            try:
                post(site, b"steady")
                sent += 1
            except Exception as exc:
                failures.append(repr(exc))

    thread = threading.Thread(target=load)
    thread.start()
    time.sleep(1)
    assert site.app.process is not None
    site.app.process.send_signal(signal.SIGHUP)
    servers.wait_for(lambda: site.app.log.read_text().count("Finished server process") >= 2, "new workers", 150)
    time.sleep(1)
    stop.set()
    thread.join()
    assert failures == []
    assert sent > 10
