"""Real S3 servers for the contract tests: started on free loopback ports in a temporary folder, stopped by pid."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stowage import errors
from stowage.s3.connection import S3Settings, engine_errors, s3_client


@dataclass
class Server:
    """A running server: where it is, its root key, and what it is called in the contract table."""

    name: str
    settings: S3Settings
    driver: str
    folder: Path
    extra: dict[str, object] = field(default_factory=dict)


def program(name: str) -> str:
    """The path of a program that came with the development requirements."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: install requirements/dev.txt")
    return str(path)


def free_ports(count: int, *, with_offset: int = 0) -> list[int]:
    """Ports free on loopback, far from each other's ``+offset`` shadow.

    SeaweedFS opens a gRPC port at +10000 beside each port, so both must be free.
    """
    found: list[int] = []
    while len(found) < count:
        port = 20000 + secrets.randbelow(12000)
        wanted = [port, port + with_offset] if with_offset else [port]
        if port in found or not all(_is_free(one) for one in wanted):
            continue
        found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def process(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the length of the block; its output lies in ``folder/log``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("ab") as log:
        started = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder), **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(15)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def wait_until_it_stores(settings: S3Settings, started: subprocess.Popen[bytes], log: Path, seconds: int = 60) -> None:
    """Wait for a signed bucket create, put, get and delete: an open port says nothing (facts/s3-servers.md 1)."""
    client = s3_client(settings)
    bucket = f"ready-{secrets.token_hex(4)}"
    deadline = time.monotonic() + seconds
    while True:
        try:
            with engine_errors("reach the server", settings.endpoint):
                client.create_bucket(Bucket=bucket)
                client.put_object(Bucket=bucket, Key="canary", Body=b"x")
                client.get_object(Bucket=bucket, Key="canary")["Body"].read()
                client.delete_object(Bucket=bucket, Key="canary")
                client.delete_bucket(Bucket=bucket)
            return
        except errors.StowageError as error:
            if started.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
                raise RuntimeError(f"server does not store: {error}\n{tail}") from error
            time.sleep(0.1)


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[Server]:
    """``weed mini`` with every default that is unsafe turned off (facts/s3-servers.md 1)."""
    master, volume, filer, s3, admin = free_ports(5, with_offset=10000)
    access_key, secret_key = "contract-root", secrets.token_urlsafe(24)
    command = [
        program("weed"),
        "mini",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-s3.autoCreateBucket=false",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-s3.iam.readOnly=false",
        "-disableHttp=true",
        "-webdav=false",
        "-admin.ui=false",
        # Each bucket takes seven volumes, of which there are as many as the free disk holds at this size. With the
        # default of 128 MB a session's buckets used them up, and every PUT answered 500.
        "-master.volumeSizeLimitMB=16",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-master.port={master}",
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        f"-s3.port={s3}",
        f"-admin.port={admin}",
    ]
    (folder / "data").mkdir(parents=True, exist_ok=True)
    environment = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key, "GOMEMLIMIT": "400MiB"}
    settings = S3Settings(
        endpoint=f"http://127.0.0.1:{s3}", access_key=access_key, secret_key=secret_key, read_timeout=30
    )
    with process(command, folder, environment) as started:
        wait_until_it_stores(settings, started, folder / "log")
        yield Server("seaweedfs", settings, "iam", folder)


@contextlib.contextmanager
def rustfs(
    folder: Path, binary: str, environment: dict[str, str] | None = None, secret_key: str | None = None
) -> Iterator[Server]:
    """A real RustFS on one folder; ``environment`` adds for example event targets."""
    settings, variables = _rustfs_on_free_ports(folder, secret_key, environment)
    with process([binary, str(folder / "data")], folder, variables) as started:
        wait_until_it_stores(settings, started, folder / "log")
        yield Server("rustfs", settings, "rustfs", folder)


@contextlib.contextmanager
def rustfs_image(folder: Path, image: str, environment: dict[str, str] | None = None) -> Iterator[Server]:
    """The same in a container of a given image, as its own user, on the network of this machine."""
    settings, variables = _rustfs_on_free_ports(folder, None, environment)
    variables["RUSTFS_VOLUMES"] = str(folder / "data")
    listed = folder / "environment"
    listed.touch(0o600)
    listed.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    # The image's user is 10001; the folder's own parent stays closed to others of this machine.
    folder.chmod(0o755)
    for place in folder.iterdir():
        if place.is_dir():
            place.chmod(0o777)
    limits = ["--user", "10001:10001", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    command = ["docker", "run", "--rm", "--network", "host", *limits, "--env-file", str(listed)]
    # docker hands the signal on that ends it.
    with process([*command, "--volume", f"{folder}:{folder}", image], folder, {}) as started:
        wait_until_it_stores(settings, started, folder / "log")
        yield Server("rustfs", settings, "rustfs", folder)


def _rustfs_on_free_ports(
    folder: Path, secret_key: str | None, environment: dict[str, str] | None
) -> tuple[S3Settings, dict[str, str]]:
    port, console = free_ports(2)
    access_key = "contract-root"
    secret_key = secret_key or secrets.token_hex(16)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    settings = S3Settings(
        endpoint=f"http://127.0.0.1:{port}", access_key=access_key, secret_key=secret_key, read_timeout=30
    )
    return settings, {
        "RUSTFS_ACCESS_KEY": access_key,
        "RUSTFS_SECRET_KEY": secret_key,
        "RUSTFS_ADDRESS": f"127.0.0.1:{port}",
        "RUSTFS_CONSOLE_ENABLE": "false",
        "RUSTFS_CONSOLE_ADDRESS": f"127.0.0.1:{console}",
        "RUSTFS_CHECK_UPDATE": "false",
        "RUSTFS_OBS_LOGGER_LEVEL": "warn",
        **(environment or {}),
    }


def rustfs_targets(folder: Path, sink_port: int) -> dict[str, str]:
    """Two webhooks: ``qatlas``, which is there, and ``dead``, where nothing listens."""
    found = {"RUSTFS_NOTIFY_ENABLE": "true"}
    for name, port in (("QATLAS", sink_port), ("DEAD", free_ports(1)[0])):
        queue = folder / f"queue-{name.lower()}"
        queue.mkdir()
        found |= {
            f"RUSTFS_NOTIFY_WEBHOOK_ENABLE_{name}": "on",
            f"RUSTFS_NOTIFY_WEBHOOK_ENDPOINT_{name}": f"http://127.0.0.1:{port}/events",
            f"RUSTFS_NOTIFY_WEBHOOK_AUTH_TOKEN_{name}": "contract-token",
            f"RUSTFS_NOTIFY_WEBHOOK_QUEUE_DIR_{name}": str(queue),
        }
    # Needed since beta.9, ignored before (facts/rustfs.md 4.4).
    found["RUSTFS_OUTBOUND_ALLOW_ORIGINS"] = f"http://127.0.0.1:{sink_port}"
    return found


@contextlib.contextmanager
def juicefs(folder: Path, sink_port: int) -> Iterator[Server]:
    """The JuiceFS gateway, which is MinIO's own server code, with the webhook ``qatlas`` (facts/s3-servers.md 3)."""
    port, metrics = free_ports(2)
    access_key, secret_key = "contract-root", secrets.token_hex(16)
    folder.mkdir(parents=True, exist_ok=True)
    store = f"sqlite3://{folder / 'meta.db'}"
    make = ["format", store, "--storage", "file", "--bucket", f"{folder / 'data'}/", "--trash-days", "0", "contract"]
    subprocess.run([program("juicefs"), *make], check=True, capture_output=True, cwd=folder)
    switches = ["--multi-buckets", "--no-usage-report", "--no-agent"]
    switches += ["--object-meta", "--object-tag", "--keep-etag", "--no-banner"]
    places = ["--cache-dir", str(folder / "cache"), "--log", str(folder / "log"), "--metrics", f"127.0.0.1:{metrics}"]
    command = [program("juicefs"), "gateway", *switches, *places, store, f"127.0.0.1:{port}"]
    settings = S3Settings(
        endpoint=f"http://127.0.0.1:{port}", access_key=access_key, secret_key=secret_key, read_timeout=30
    )
    variables = {
        "MINIO_ROOT_USER": access_key,
        "MINIO_ROOT_PASSWORD": secret_key,
        "MINIO_BROWSER": "off",
        # MinIO keeps the case of the id; RustFS puts it into lower case.
        "MINIO_NOTIFY_WEBHOOK_ENABLE_qatlas": "on",
        "MINIO_NOTIFY_WEBHOOK_ENDPOINT_qatlas": f"http://127.0.0.1:{sink_port}/events",
        "MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_qatlas": "contract-token",
        "MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_qatlas": str(folder / "queue"),
    }
    with process(command, folder, variables) as started:
        wait_until_it_stores(settings, started, folder / "log")
        yield Server("juicefs", settings, "minio", folder)
