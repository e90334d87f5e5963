"""The double runs on its own, as Molecule starts it."""

from __future__ import annotations

from pathlib import Path

from modules import connection, run
from servers import Server, free_ports, process, program, wait_until_it_stores

from stowage.s3.connection import S3Settings


def test_the_double_is_started_from_the_command_line(weed: Server, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    script = str(Path(__file__).with_name("double_server.py"))
    targets = ["--target", f"qatlas=http://127.0.0.1:{port}/"]
    command = [program("python"), script, "--port", str(port), "--upstream", weed.settings.endpoint, *targets]
    key = {
        "AWS_ACCESS_KEY_ID": str(weed.settings.access_key),
        "AWS_SECRET_ACCESS_KEY": str(weed.settings.secret_key),
    }
    settings = S3Settings(
        endpoint=f"http://127.0.0.1:{port}", access_key=weed.settings.access_key, secret_key=weed.settings.secret_key
    )
    with process(command, tmp_path, key) as started:
        wait_until_it_stores(settings, started, tmp_path / "log")
        answer = run("s3_server_info", connection(settings, "rustfs"))
    assert (answer["product"], answer["version"]) == ("rustfs", "1.0.0-beta.5")
    assert answer["targets"] == [{"arn": "arn:rustfs:sqs::qatlas:webhook", "status": "online"}]
