"""A double of Fluent Bit: takes events by HTTP and puts them into a bucket, as a configuration of role fluent_bit says.

It exists because Fluent Bit is in no package registry that CI has. Trusted only for what the contract tests have also
shown on the real one: an event posted to it is a line of an object in the bucket when its batch is old enough, batches
are kept in files until they are uploaded, the tag is the event's name, and only tags of the output's pattern are kept.

    AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... python tests/doubles/fluent_bit_double.py -c stowage.yaml
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import re
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from stowage.events.trace import seconds_of
from stowage.s3.connection import S3Settings, s3_client

VERSION = "4.2.8"


@dataclass
class Batch:
    """Lines of one tag in one file, since when."""

    tag: str
    file: Path
    begun: float = field(default_factory=time.time)


class Double:
    """What the rendered configuration asks for; an option that it does not know is an error, as a guard of itself."""

    def __init__(self, config: dict[str, Any], access_key: str, secret_key: str) -> None:
        by_name = {one["name"]: one for one in config["pipeline"]["inputs"]}
        self.http, self.heart, self.out = by_name["http"], by_name["dummy"], config["pipeline"]["outputs"][0]
        assert self.out["name"] == "s3"
        assert str(self.out["use_put_object"]) in ("on", "True")
        self.client = s3_client(
            S3Settings(endpoint=self.out["endpoint"], access_key=access_key, secret_key=secret_key, max_attempts=1)
        )
        self.folder = Path(self.out["store_dir"]) / self.out["bucket"]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        # Files left by an earlier run count from now, as in the real one.
        self.batches = {file.name: Batch(file.name.split(".")[0], file) for file in self.folder.iterdir()}

    def take(self, body: bytes) -> int:
        """Keep one posted event; the status to answer."""
        try:
            found = json.loads(body)
        except ValueError:
            return 400
        for record in found if isinstance(found, list) else [found]:
            # What is no object, or lacks the key, falls to the default tag, which no output takes.
            name = record.get(self.http["tag_key"]) if isinstance(record, dict) else None
            self._keep(re.sub(r"[^A-Za-z0-9_.]", "_", str(name)) if name else self.http["tag"], record)
        return 201

    def _keep(self, tag: str, record: Any) -> None:
        if not fnmatch.fnmatchcase(tag, self.out["match"]):
            return
        line = json.dumps({self.out["json_date_key"]: datetime.now(UTC).isoformat(), **record}) + "\n"
        with self.lock:
            batch = next((one for one in self.batches.values() if one.tag == tag), None)
            if batch is None:
                file = self.folder / f"{tag}.{secrets.token_hex(4)}"
                batch = self.batches[file.name] = Batch(tag, file)
            with batch.file.open("a") as file_:
                file_.write(line)

    def upload(self, *, everything: bool = False) -> None:
        """Put the batches that are old enough; what fails stays."""
        age = seconds_of(self.out["upload_timeout"])
        with self.lock:
            for name, batch in list(self.batches.items()):
                if not everything and time.time() - batch.begun < age:
                    continue
                moment = datetime.fromtimestamp(batch.begun, UTC)
                key = moment.strftime(self.out["s3_key_format"]).replace("$UUID", secrets.token_hex(4)).lstrip("/")
                with contextlib.suppress(BotoCoreError, ClientError):
                    self.client.put_object(
                        Bucket=self.out["bucket"],
                        Key=key,
                        Body=batch.file.read_bytes(),
                        ContentType=self.out["content_type"],
                    )
                    batch.file.unlink()
                    del self.batches[name]

    def timer(self) -> None:
        """Uploads and heartbeats until stopped, then uploads what is left."""
        beat = time.time()
        while not self.stopped.wait(0.5):
            if time.time() >= beat:
                beat = time.time() + float(self.heart["interval_sec"])
                self._keep(self.heart["tag"], json.loads(self.heart["dummy"]))
            self.upload()
        self.upload(everything=True)


@contextlib.contextmanager
def running(config: dict[str, Any], access_key: str, secret_key: str) -> Iterator[Double]:
    """Serve while the block runs."""
    double = Double(config, access_key, secret_key)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            good = self.headers.get("Content-Type") == "application/json"
            self._answer(double.take(body) if good else 400)

        def do_HEAD(self) -> None:
            # As the real one: any answer counts as alive.
            self._answer(400)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Well whatever becomes of the uploads, as the real one."""
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    service = config["service"]
    places = (
        (str(double.http["listen"]), int(double.http["port"]), Handler),
        (str(service["http_listen"]), int(service["http_port"]), Health),
    )
    servers = [ThreadingHTTPServer((address, port), handler) for address, port, handler in places]
    threads = [threading.Thread(target=one.serve_forever, daemon=True) for one in servers]
    threads.append(threading.Thread(target=double.timer, daemon=True))
    for one in threads:
        one.start()
    try:
        yield double
    finally:
        for one in servers:
            one.shutdown()
        double.stopped.set()
        for one in threads:
            one.join()
        for one in servers:
            one.server_close()


def main() -> None:
    """Serve until interrupted or terminated; a stop uploads what is buffered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-c", dest="config")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--version", action="store_true")
    given = parser.parse_args()
    if given.version:
        print(f"Fluent Bit v{VERSION}")
        return
    config = yaml.safe_load(Path(given.config).read_text())
    if given.dry_run:
        print("configuration test is successful")
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with running(config, os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]):
        stop.wait()


if __name__ == "__main__":
    main()
