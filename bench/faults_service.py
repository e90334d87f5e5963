"""`make faults-service`: 2,000 mixed requests and archives while worker, PostgreSQL, Redis, S3 and service are killed.

Counts what was acknowledged and checks, after everything has come back and the sweeps have run, that each acknowledged
file is there with the bytes that were acknowledged, and that no answer ever carried wrong bytes.

    python bench/faults_service.py [--requests 2000] [--seed 7]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import requests

sys.path.insert(0, str(Path(__file__).parent.parent / "service" / "tests"))

import servers

SIZES = (100, 4096, 70_000, 1_200_000, 9_500_000)


@dataclass
class Ledger:
    """What the service promised.

    Attributes:
        promised: per uuid the sha256 that the last acknowledged write gave; None when a DELETE was acknowledged.
        maybe: per uuid the sha256 of writes since then whose outcome was not answered; None for such a DELETE.
        counts: answers by kind.
        wrong: what must never happen.
        vault: per uuid the sha256 of all bytes that a ZIP holds which arrived whole, and whose commit was asked for.
        archived: rows that acknowledged commits deleted.
    """

    promised: dict[str, str | None] = field(default_factory=dict)
    maybe: dict[str, set[str | None]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    vault: dict[str, set[str]] = field(default_factory=dict)
    archived: int = 0

    def allowed(self, uuid: str) -> set[str | None]:
        """Return the digests that the file may have now; None when it may be gone, because a ZIP holds its bytes."""
        written = {self.promised.get(uuid)} | self.maybe.get(uuid, set())
        return written | ({None} if written & self.vault.get(uuid, set()) else set())


class Load:
    """Clients, each with its own files, so that the order of writes of one file is known."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.seed = seed
        self.ledger = Ledger()
        self.lock = threading.Lock()

    def client(self, number: int, count: int) -> None:
        """Send `count` requests."""
        dice = random.Random(self.seed * 1000 + number)
        mine: list[str] = []
        for _ in range(count):
            kind = dice.choices(("post", "put", "get", "delete"), (4, 3, 5, 1))[0]
            uuid = dice.choice(mine) if mine else ""
            if kind in ("get", "delete") and not uuid:
                kind = "put"
            if kind == "post" or (kind == "put" and (not uuid or dice.random() < 0.5)):
                # PUT on an own uuid: a lost answer leaves no file that nobody can name.
                uuid = dice.randbytes(32).hex()
                mine.append(uuid)
                kind = "put"
            outcome = (
                self.write(uuid, dice) if kind == "put" else self.read(uuid) if kind == "get" else self.remove(uuid)
            )
            with self.lock:
                self.ledger.counts[f"{kind} {outcome}"] += 1

    def send(self, method: str, uuid: str, data: bytes | None = None) -> requests.Response | None:
        """Send one request; waits while nobody listens (nothing was sent then). None: sent, and no answer came."""
        files = None if data is None else {"body": ("f", data)}
        while True:
            try:
                return requests.request(method, f"{self.url}/attachments/{uuid}", files=files, timeout=120)
            except requests.ConnectionError as exc:
                if "refused" not in str(exc):
                    return None
                time.sleep(0.1)
            except requests.RequestException:
                return None

    def write(self, uuid: str, dice: random.Random) -> str:
        """PUT random bytes."""
        data = dice.randbytes(dice.choices(SIZES, (6, 6, 3, 2, 1))[0])
        digest = hashlib.sha256(data).hexdigest()
        answer = self.send("PUT", uuid, data)
        if answer is None:
            with self.lock:
                self.ledger.maybe.setdefault(uuid, set()).add(digest)
            return "no answer"
        with self.lock:
            if answer.status_code in (200, 201):
                if answer.json()["checksum"] != digest:
                    self.ledger.wrong.append(f"PUT {uuid} acknowledged another checksum")
                self.ledger.promised[uuid] = digest
                self.ledger.maybe.pop(uuid, None)
            else:
                self.ledger.maybe.setdefault(uuid, set()).add(digest)
        return str(answer.status_code)

    def read(self, uuid: str) -> str:
        """GET and compare."""
        answer = self.send("GET", uuid)
        if answer is None:
            return "no answer"
        with self.lock:
            allowed = self.ledger.allowed(uuid)
        if answer.status_code == 200:
            digest = hashlib.sha256(answer.content).hexdigest()
            if digest not in allowed:
                self.ledger.wrong.append(f"GET {uuid} gave wrong bytes")
            return "200"
        if answer.status_code == 404 and None not in allowed:
            self.ledger.wrong.append(f"GET {uuid} lost an acknowledged file")
        return str(answer.status_code)

    def remove(self, uuid: str) -> str:
        """DELETE."""
        answer = self.send("DELETE", uuid)
        if answer is None:
            with self.lock:
                self.ledger.maybe.setdefault(uuid, set()).add(None)
            return "no answer"
        with self.lock:
            if answer.status_code == 204:
                self.ledger.promised[uuid] = None
                self.ledger.maybe.pop(uuid, None)
            elif answer.status_code >= 500:
                self.ledger.maybe.setdefault(uuid, set()).add(None)
        return str(answer.status_code)


class Archivist(threading.Thread):
    """Archives files while others write them: ages rows, opens a transaction, downloads, commits."""

    def __init__(self, load: Load, database: str) -> None:
        super().__init__()
        self.load = load
        self.database = database
        self.done = threading.Event()

    def run(self) -> None:
        """Archive until told to stop; whatever fails because something was killed is tried again."""
        while not self.done.wait(0.5):
            try:
                asyncio.run(self.age())
                self.archive()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, requests.RequestException):
                continue

    async def age(self) -> None:
        """Make a tenth of the files as old as an archive takes."""
        connection = await asyncpg.connect(self.database, timeout=5)
        try:
            await connection.execute(
                "UPDATE attachments SET created_at = '2022-01-01' WHERE random() < 0.1", timeout=10
            )
        finally:
            await connection.close()

    def archive(self) -> None:
        """Do one archive; the vault takes the ZIP in before the commit is sent."""
        place = f"{self.load.url}/attachments/archive"
        tx = requests.post(f"{place}/tx", params={"date": "20230101"}, timeout=30)
        if tx.status_code != 200:
            return
        url = f"{place}/{tx.json()['uuid']}"
        got = requests.get(url, params={"objects": "include", "unreadable": "skip"}, timeout=120)
        if got.status_code != 200:
            return
        with zipfile.ZipFile(io.BytesIO(got.content)) as opened, self.load.lock:
            for name in opened.namelist():
                if name.startswith("blobs/"):
                    digest = hashlib.sha256(opened.read(name)).hexdigest()
                    self.load.ledger.vault.setdefault(name.removeprefix("blobs/"), set()).add(digest)
        commit = {"objects": "delete", "sha256": hashlib.sha256(got.content).hexdigest()}
        for _ in range(20):
            try:
                answer = requests.delete(url, params=commit, timeout=60)
            except requests.RequestException:
                time.sleep(0.5)
                continue
            if answer.status_code == 200:
                self.load.ledger.archived += answer.json()["ctx"]["count"]
                return
            time.sleep(0.5)


class Chaos(threading.Thread):
    """Kills one part after another with SIGKILL and brings it back."""

    def __init__(self, parts: dict[str, servers.Process], seed: int) -> None:
        super().__init__()
        self.parts = parts
        self.dice = random.Random(seed)
        self.done = threading.Event()
        self.kills: Counter[str] = Counter()

    def run(self) -> None:
        """Kill, wait, start, until told to stop; at least once each."""
        order = list(self.parts)
        while not self.done.is_set() or len(self.kills) < len(self.parts):
            self.dice.shuffle(order)
            for name in order:
                if self.done.wait(self.dice.uniform(0.5, 2.5)) and self.kills[name]:
                    continue
                self.parts[name].kill()
                self.kills[name] += 1
                self.done.wait(self.dice.uniform(0.1, 1.5))
                self.parts[name].start()


class Service(servers.Filator):
    """filator whose start needs no migration."""

    def start(self, *, migrate: bool = False) -> servers.Filator:
        """Start without migrating: the database may be the part that was killed."""
        return super().start(migrate=migrate)


class Worker(servers.Process):
    """`filator worker`."""

    def __init__(self, app: servers.Filator) -> None:
        super().__init__(app.home / "worker.log")
        self.app = app

    def start(self) -> None:
        """Start it."""
        self.spawn([str(servers.VENV_BIN / "filator"), "worker"], env=self.app.env)


def main() -> int:
    """Run the load under faults and check the ledger."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    reason = servers.missing()
    if reason is not None:
        print(f"skipped: {reason}")
        return 0
    postgres, redis, weed = servers.Postgres(), servers.Redis(), servers.Weed()
    for server in (postgres, redis, weed):
        server.start()
    s3 = weed.client()
    s3.create_bucket(Bucket="faults")
    storages = [
        {
            "name": "s3",
            "type": "s3",
            "endpoint": weed.endpoint,
            "access_key": servers.ROOT_KEY,
            "secret_key": servers.ROOT_SECRET,
            "bucket": "faults",
            "prefix": "files",
            "open_timeout": 2,
            "read_timeout": 5,
            "retry_limit": 1,
        },
        {"name": "db", "type": "db"},
    ]
    app = Service(
        {
            "FILATOR_DATABASE_URL": postgres.create("faults"),
            "FILATOR_REDIS_URL": redis.url,
            "STORAGES_CONFIGURATIONS": json.dumps(storages),
            "FILATOR_WORKERS": "2",
            "FILATOR_GC_GRACE_SECONDS": "1",
            "FILATOR_LOG_LEVEL": "error",
        }
    )
    app.start(migrate=True)
    worker = Worker(app)
    worker.start()
    load = Load(app.url, options.seed)
    archivist = Archivist(load, app.env["FILATOR_DATABASE_URL"])
    chaos = Chaos({"worker": worker, "postgres": postgres, "redis": redis, "s3": weed, "service": app}, options.seed)
    began = time.monotonic()
    try:
        chaos.start()
        archivist.start()
        with ThreadPoolExecutor(options.clients) as pool:
            each = options.requests // options.clients
            list(pool.map(lambda number: load.client(number, each), range(options.clients)))
        archivist.done.set()
        chaos.done.set()
        chaos.join()
        archivist.join()
        took = time.monotonic() - began
        lost = check(load, app)
        for line in app.log.read_text(errors="replace").splitlines():
            if '"request failed"' in line:
                print("     500: " + json.loads(line).get("exception", "").strip().splitlines()[-1][:200])
    finally:
        archivist.done.set()
        chaos.done.set()
        if chaos.is_alive():
            chaos.join()
        worker.stop(signal.SIGTERM)
        for server in (app, weed, redis, postgres):
            server.close()
    ledger = load.ledger
    print(f"{sum(ledger.counts.values())} requests in {took:.0f} s; killed " + str(dict(sorted(chaos.kills.items()))))
    print("answers: " + ", ".join(f"{name}: {count}" for name, count in sorted(ledger.counts.items())))
    print(f"archives: {ledger.archived} rows deleted by acknowledged commits, {len(ledger.vault)} files in the vault")
    acknowledged = sum(1 for digest in ledger.promised.values() if digest is not None)
    print(f"goal faults-acknowledged-files-lost {lost} <=0 {'ok' if not lost else 'short'} (of {acknowledged})")
    print(f"goal faults-wrong-answers {len(ledger.wrong)} <=0 {'ok' if not ledger.wrong else 'short'}")
    for text in ledger.wrong[:10]:
        print(f"     {text}")
    return 1 if lost or ledger.wrong else 0


def check(load: Load, app: servers.Filator) -> int:
    """Fetch every file after the sweeps; returns how many acknowledged ones are missing or wrong."""
    servers.wait_for(lambda: requests.get(f"{app.url}/readyz", timeout=10).json()["status"] == "ok", "recovery", 120)
    time.sleep(1.5)
    short = {"FILATOR_ORPHAN_GRACE_SECONDS": "1", "FILATOR_INTENT_GRACE_SECONDS": "1", "FILATOR_GC_GRACE_SECONDS": "0"}
    done = subprocess.run(
        [str(servers.VENV_BIN / "filator"), "sweep", "--json"],
        env={**app.env, **short},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    print(f"sweeps: {done.stdout.strip()}")
    lost = 0
    for uuid in {*load.ledger.promised, *load.ledger.maybe}:
        answer = requests.get(f"{app.url}/attachments/{uuid}", timeout=60)
        found = hashlib.sha256(answer.content).hexdigest() if answer.status_code == 200 else None
        if answer.status_code not in (200, 404) or found not in load.ledger.allowed(uuid):
            lost += 1
            load.ledger.wrong.append(
                f"{uuid}: {answer.status_code}, promised {load.ledger.promised.get(uuid)}, is {found}"
            )
    return lost


if __name__ == "__main__":
    sys.exit(main())
