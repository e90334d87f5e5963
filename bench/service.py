"""`make bench-service`: the file service beside plain S3 and its peers, in one alternating run on loopback.

Ratio = the same bytes straight to the S3 server, divided by the same through filator: once by wall clock (median of
pairs), once by CPU seconds of all processes together. Other load on the machine moves the first, hardly the second.
Where the store or the disk sets the pace, wall says nothing of filator: there the goal is in CPU and wall is a note.
Each goal is a line `goal NAME VALUE BOUND ok|short`; the exit code says whether all that ran are ok.

    python bench/service.py            everything, about eight minutes
    python bench/service.py --quick    fewer rounds
    python bench/service.py --only upload,download,meta,memory,archive,peers
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "service" / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

import servers  # noqa: E402
import service_peers  # noqa: E402
from service_load import (  # noqa: E402
    BOUNDARY,
    Sample,
    curl,
    fire,
    form,
    measure,
    ratio,
    request,
    rss_of,
)

MIB = 1 << 20
FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
short: list[str] = []


def goal(name: str, value: float, bound: float, *, at_most: bool = False) -> None:
    """Print one goal's line and remember those that fell short."""
    fine = value <= bound if at_most else value >= bound
    print(f"goal {name} {value:.2f} {'<=' if at_most else '>='}{bound:g} {'ok' if fine else 'short'}", flush=True)
    if not fine:
        short.append(name)


def note(text: str) -> None:
    """Print what is no goal."""
    print(f"     {text}", flush=True)


class Lab:
    """The servers of one run."""

    def __init__(self, checksum: str) -> None:
        self.postgres, self.redis, self.weed = servers.Postgres(), servers.Redis(), servers.Weed()
        for server in (self.postgres, self.redis, self.weed):
            server.start()
        self.s3 = self.weed.client()
        self.s3.create_bucket(Bucket="bench")
        entry = {
            "name": "s3",
            "type": "s3",
            "endpoint": self.weed.endpoint,
            "access_key": servers.ROOT_KEY,
            "secret_key": servers.ROOT_SECRET,
            "bucket": "bench",
            "prefix": "files",
            "checksum": checksum,
        }
        self.entry = entry
        self.apps = {"s3": self.app("s3", [entry]), "db": self.app("db", [{"name": "db", "type": "db"}])}
        self.others: list[subprocess.Popen[bytes]] = []

    def app(self, name: str, storages: list[dict[str, Any]], **more: str) -> servers.Filator:
        """Start a filator with one worker, as the direct path has one client."""
        return servers.Filator(
            {
                "FILATOR_DATABASE_URL": self.postgres.create(name),
                "FILATOR_REDIS_URL": self.redis.url,
                "STORAGES_CONFIGURATIONS": json.dumps(storages),
                "FILATOR_LOG_LEVEL": "info",
                **more,
            }
        ).start()

    def roots(self) -> list[int]:
        """Return the first process of each part of the chain."""
        chain = (self.postgres, self.weed, self.redis, *self.apps.values())
        return [it.process.pid for it in chain if it.process] + [it.pid for it in self.others]

    def presigned(self, method: str, key: str) -> str:
        """Sign an address for a request straight to the S3 server."""
        return str(self.s3.generate_presigned_url(method, Params={"Bucket": "bench", "Key": key}, ExpiresIn=7200))

    def close(self) -> None:
        """Stop everything by pid."""
        for process in self.others:
            process.terminate()
            process.wait()
        for server in (*self.apps.values(), self.weed, self.redis, self.postgres):
            server.close()


def alternate(lab: Lab, rounds: int, works: dict[str, Callable[[], None]]) -> dict[str, list[Sample]]:
    """Measure the candidates in turn, after one warm-up each."""
    for work in works.values():
        work()
    samples: dict[str, list[Sample]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            samples[name].append(measure(lab.roots(), work))
    return samples


def direct_key() -> str:
    """Make a key of the shape that filator's have: SeaweedFS stores sequential ones for 5 % less."""
    return f"direct-2026-01-01/00-00/{secrets.token_hex(32)}"


def small_works(lab: Lab, data: bytes, count: int) -> dict[str, Callable[[], None]]:
    """Build the rounds of many small uploads over kept connections."""
    body = form(data)
    posts = {
        name: [request("POST", f"{app.url}/attachments", body, Content_Type=FORM_TYPE)] * count
        for name, app in lab.apps.items()
    }
    number = 0

    def direct() -> None:
        nonlocal number
        number += 1
        fire(lab.weed.endpoint, puts[number - 1])

    # Signed before the clock runs.
    puts = [[request("PUT", lab.presigned("put_object", direct_key()), data) for _ in range(count)] for _ in range(20)]
    return {"direct": direct} | {name: (lambda name=name: fire(lab.apps[name].url, posts[name])) for name in posts}


def upload(lab: Lab, *, quick: bool) -> None:
    """Goals of uploads: 4 KiB, 1 MiB, 64 MiB, 512 MiB."""
    lab.s3.put_bucket_versioning(Bucket="bench", VersioningConfiguration={"Status": "Enabled"})
    for label, size, count, rounds in (("4KiB", 4096, 400, 7), ("1MiB", MIB, 24, 7)):
        samples = alternate(lab, 3 if quick else rounds, small_works(lab, os.urandom(size), count))
        for name in lab.apps:
            wall, cpu = ratio(samples["direct"], samples[name])
            rate = count * len(samples[name]) / sum(it.wall for it in samples[name])
            note(f"upload {label} {name}: {rate:.0f}/s, wall {wall:.2f}, chain CPU {cpu:.2f}")
            if (label, name) == ("4KiB", "s3"):
                goal("upload-4KiB-s3-wall", wall, 0.55)
                goal("upload-4KiB-s3-cpu", cpu, 0.37)
            elif (label, name) == ("4KiB", "db"):
                goal("upload-4KiB-db-cpu", cpu, 0.6)
            elif name == "s3":
                goal("upload-1MiB-s3-cpu", cpu, 0.62)
    with tempfile.NamedTemporaryFile(prefix="filator-bench-") as file:
        for label, size, rounds in (("64MiB", 64 * MIB, 7), ("512MiB", 512 * MIB, 3)):
            file.truncate(0)
            file.seek(0)
            for _ in range(size // MIB):
                file.write(os.urandom(MIB))
            file.flush()
            works: dict[str, Callable[[], None]] = {
                "direct": lambda: curl("-T", file.name, lab.presigned("put_object", direct_key()))
            }
            for name, app in lab.apps.items():
                if label == "64MiB" or name == "s3":
                    works[name] = lambda url=app.url: curl("-F", f"body=@{file.name}", f"{url}/attachments")
            samples = alternate(lab, min(rounds, 3 if label == "64MiB" else 1) if quick else rounds, works)
            for name in list(works)[1:]:
                wall, cpu = ratio(samples["direct"], samples[name])
                rate = size / MIB * len(samples[name]) / sum(it.wall for it in samples[name])
                note(f"upload {label} {name}: {rate:.0f} MiB/s, wall {wall:.2f}, chain CPU {cpu:.2f}")
                goal(f"upload-{label}-{name}-cpu", cpu, 0.75 if name == "s3" else 1.0)


def download(lab: Lab, *, quick: bool) -> None:
    """Goal of downloads: 64 MiB beside a straight GET of the same object, checked as by default; others as notes."""
    data = os.urandom(64 * MIB)
    works: dict[str, Callable[[], None]] = {}
    for check in ("sha256", "off"):
        lab.apps[check] = lab.app(check, [lab.entry], FILATOR_VERIFY_READS=check)
    for name in ("s3", "sha256", "off"):
        url = lab.apps[name].url
        item = requests.post(f"{url}/attachments", files={"body": ("b", data)}, timeout=120).json()
        works.setdefault("direct", lambda key=item["identifier_in_store"]: curl(lab.presigned("get_object", key)))
        works[name] = lambda url=url, uuid=item["uuid"]: curl(f"{url}/attachments/{uuid}")
    samples = alternate(lab, 5 if quick else 9, works)
    for check in ("sha256", "off"):
        lab.apps.pop(check).close()
    for name, check in (("s3", "crc32"), ("sha256", "sha256"), ("off", "nothing")):
        wall, cpu = ratio(samples["direct"], samples[name])
        note(f"download 64MiB, {check} checked: wall {wall:.2f}, chain CPU {cpu:.2f}")
        if name == "s3":
            goal("download-64MiB-cpu", cpu, 0.6)


CEILING = """
from starlette.responses import JSONResponse
from starlette.applications import Starlette
from starlette.routing import Route
ANSWER = %r
async def answer(request):
    return JSONResponse(ANSWER)
app = Starlette(routes=[Route("/attachments/{uuid}", answer)])
"""


def meta(lab: Lab, *, quick: bool) -> None:
    """Goal of descriptions: rate beside the framework answering a constant of the same size."""
    url = lab.apps["s3"].url
    item = requests.post(f"{url}/attachments", files={"body": ("b", b"x")}, timeout=30).json()
    port = servers.free_port()
    with tempfile.TemporaryDirectory(prefix="filator-bench-") as place:
        (Path(place) / "ceiling.py").write_text(CEILING % (item,))
        command = [sys.executable, "-m", "uvicorn", "ceiling:app", "--app-dir", place, "--port", str(port)]
        command += ["--log-level", "warning", "--no-access-log"]
        ceiling = subprocess.Popen(command, start_new_session=True)
        lab.others.append(ceiling)
        base = f"http://127.0.0.1:{port}"
        servers.wait_for(lambda: requests.get(f"{base}/attachments/x", timeout=2).ok, "the ceiling")
        count = 2000
        wants = {
            "ceiling": (base, [request("GET", f"{base}/attachments/{item['uuid']}")] * count),
            "s3": (url, [request("GET", f"{url}/attachments/{item['uuid']}.json")] * count),
        }
        works = {name: (lambda it=it: fire(it[0], it[1])) for name, it in wants.items()}
        samples = alternate(lab, 3 if quick else 7, works)
        lab.others.remove(ceiling)
        ceiling.terminate()
        ceiling.wait()
    wall, cpu = ratio(samples["ceiling"], samples["s3"])
    rate = count * len(samples["s3"]) / sum(it.wall for it in samples["s3"])
    note(f"descriptions: {rate:.0f}/s, of a bare Starlette without a database wall {wall:.2f}, chain CPU {cpu:.2f}")
    goal("metadata-of-framework-ceiling", wall, 0.6)


def peak_over_base(session: int, work: Callable[[], None]) -> float:
    """Return how many MiB the resident size of a session rises while `work` runs."""
    import threading  # noqa: PLC0415

    base = peak = rss_of(session)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, rss_of(session))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        work()
    finally:
        done.set()
        thread.join()
    return (peak - base) / MIB


def memory(lab: Lab, *, quick: bool) -> None:
    """Goals of memory: one upload of 64 MiB and 512 MiB, and 24 slow ones within the budget."""
    storages = {"s3": [lab.entry], "db": [{"name": "db", "type": "db"}]}

    def grown(label: str, name: str, work: Callable[[str], None]) -> float:
        # A process of its own each time: one that took an upload before has the memory already, and grows no more.
        with closing(lab.app(f"memory-{label}-{name}", storages[name])) as app:
            assert app.process is not None
            # The first request loads code; memory of uploads is what comes on top.
            requests.post(f"{app.url}/attachments", files={"body": b"x"}, timeout=30).raise_for_status()
            return peak_over_base(app.process.pid, lambda: work(f"{app.url}/attachments"))

    with tempfile.NamedTemporaryFile(prefix="filator-bench-") as file:
        for label, size in (("64MiB", 64), ("512MiB", 512)):
            if quick and size == 512:
                continue
            while file.tell() < size * MIB:
                file.write(os.urandom(MIB))
            file.flush()
            for name, bound in (("s3", 32), ("db", 10)):
                value = grown(label, name, lambda url: curl("-F", f"body=@{file.name}", url))
                goal(f"memory-{label}-{name}-MiB", value, bound, at_most=True)
        os.truncate(file.name, 32 * MIB)

        def slow(url: str) -> None:
            command = ["curl", "-sS", "-f", "-o", "/dev/null", "--limit-rate", "8M", "-F", f"body=@{file.name}"]
            running = [subprocess.Popen([*command, url]) for _ in range(24)]
            codes = [process.wait(300) for process in running]
            if any(codes):
                raise RuntimeError(f"slow uploads failed: {codes}")

        goal("memory-24-slow-uploads-MiB", grown("slow", "s3", slow), 256 + 64, at_most=True)


def archive(lab: Lab, *, quick: bool) -> None:
    """Goals of archives: 100,000 rows with their bytes in the database."""
    app = lab.apps["db"]
    assert app.process is not None
    count = 10_000 if quick else 100_000
    requests.post(f"{app.url}/attachments", files={"body": b"x"}, timeout=30)
    psql = [str(servers.POSTGRES_BIN / "psql"), app.env["FILATOR_DATABASE_URL"], "-qc"]  # type: ignore[operator]
    subprocess.run([*psql, FILL.format(count=count)], check=True)
    tx = requests.post(f"{app.url}/attachments/archive/tx", params={"date": "20220901"}, timeout=30).json()
    with tempfile.TemporaryDirectory(prefix="filator-bench-") as place:
        target = Path(place) / "archive.zip"
        first = 0.0

        def fetch() -> None:
            nonlocal first
            start = time.perf_counter()
            url = f"{app.url}/attachments/archive/{tx['uuid']}"
            with requests.get(url, stream=True, timeout=600) as answer, target.open("wb") as file:
                for block in answer.iter_content(MIB):
                    first = first or time.perf_counter() - start
                    file.write(block)

        start = time.perf_counter()
        grown = peak_over_base(app.process.pid, fetch)
        note(f"archive of {count} rows: {time.perf_counter() - start:.0f} s, {target.stat().st_size / MIB:.0f} MiB")
        goal("archive-memory-MiB", grown, 64, at_most=True)
        goal("archive-first-byte-s", first, 1.0, at_most=True)
        tested = subprocess.run(["unzip", "-tq", str(target)], capture_output=True, check=False)
        goal("archive-unzip-t", float(tested.returncode), 0, at_most=True)


FILL = """
INSERT INTO attachments
  (uuid, checksum, created_at, updated_at, mime_type, filename, store, identifier_in_store, size)
SELECT u, encode(sha256('0123456789'), 'hex'), t, t, 'text/plain', 'old.txt', 'db', u, 10
FROM (SELECT encode(sha256(n::text::bytea), 'hex') AS u, timestamptz '2021-01-01' + n * interval '1 second' AS t
      FROM generate_series(1, {count}) AS n) AS old;
INSERT INTO attachment_blobs (id, attachment_id, blob)
SELECT uuid, uuid, '0123456789' FROM attachments WHERE filename = 'old.txt';
"""


def peers(lab: Lab, *, quick: bool) -> None:
    """Goals beside Node services that do the same work."""
    cache = ROOT / ".cache" / "bench-service-peers"
    reason = service_peers.prepare(cache)
    if reason is not None:
        note(f"peers skipped: {reason}")
        return
    place = {"S3": lab.weed.endpoint, "KEY": servers.ROOT_KEY, "SECRET": servers.ROOT_SECRET, "BUCKET": "bench"}
    ports = {name: servers.free_port() for name in ("busboy", "tus")}
    for name, port in ports.items():
        command = ["node", str(cache / f"{name}.mjs")]
        lab.others.append(
            subprocess.Popen(
                command,
                env={**os.environ, **place, "PORT": str(port)},
                start_new_session=True,
                stdout=subprocess.DEVNULL,
            )
        )
        servers.wait_for(lambda port=port: socket.create_connection(("127.0.0.1", port), 1).close() is None, name)
    data = os.urandom(4096)
    body = form(data)
    count, tus_count = 300, 40
    url = lab.apps["s3"].url
    posts = [request("POST", f"{url}/attachments", body, Content_Type=FORM_TYPE)] * count
    base = f"http://127.0.0.1:{ports['busboy']}"
    node = [request("POST", f"{base}/", body, Content_Type=FORM_TYPE)] * count
    tus_base = f"http://127.0.0.1:{ports['tus']}"
    # Creation with upload: the protocol's own one-request form.
    tus = [
        request(
            "POST",
            f"{tus_base}/files",
            data,
            Tus_Resumable="1.0.0",
            Upload_Length="4096",
            Content_Type="application/offset+octet-stream",
        )
    ] * tus_count
    works = {
        "filator": lambda: fire(url, posts),
        "busboy": lambda: fire(base, node),
        "tus": lambda: fire(tus_base, tus),
    }
    samples = alternate(lab, 3 if quick else 5, works)
    files = {name: (tus_count if name == "tus" else count) * len(runs) for name, runs in samples.items()}
    rates = {name: files[name] / sum(it.wall for it in runs) for name, runs in samples.items()}
    spent = {name: sum(it.cpu for it in runs) / files[name] for name, runs in samples.items()}
    note(", ".join(f"{name} {rate:.0f}/s, {1e3 * spent[name]:.2f} CPU-ms a file" for name, rate in rates.items()))
    # Node works in several threads, so that its wall depends on what else the cores do; its CPU a file does not.
    goal("4KiB-cpu-a-file-of-node-busboy-over-filator", spent["busboy"] / spent["filator"], 2.6)
    goal("4KiB-rate-over-tus-server", rates["filator"] / rates["tus"], 15)


PARTS = {
    "upload": upload,
    "download": download,
    "meta": meta,
    "peers": peers,
    "memory": memory,
    "archive": archive,
}


def main() -> int:
    """Run the chosen parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 10,000 rows")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma between")
    parser.add_argument("--checksum", choices=["auto", "sha256", "crc64nvme"], default="auto", help="of requests to S3")
    options = parser.parse_args()
    chosen = options.only.split(",")
    unknown = set(chosen) - set(PARTS)
    if unknown:
        parser.error(f"--only knows {', '.join(PARTS)}")
    reason = servers.missing()
    if reason is not None:
        print(f"skipped: {reason}")
        return 0
    note(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the run")
    lab = Lab(options.checksum)
    try:
        for name in chosen:
            PARTS[name](lab, quick=options.quick)
    finally:
        lab.close()
    print(f"{len(short)} goals short" + (f": {', '.join(short)}" if short else ""))
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
