"""After the drift: the program serves S3 again, and its event target has its queue back."""

import boto3
import pytest
from botocore.config import Config

testinfra_hosts = ["by_binary"]


@pytest.fixture
def key(host):
    names = ("access_key", "secret_key")
    return [host.file(f"/etc/rustfs/keys/{name}").content_string for name in names]


@pytest.fixture
def endpoint(host):
    return f"http://{host.check_output('hostname -I').split()[0]}:9000"


def test_objects_can_be_written_and_read(key, endpoint):
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )
    s3.create_bucket(Bucket="molecule-nas")
    s3.put_object(Bucket="molecule-nas", Key="a", Body=b"bytes")
    assert s3.get_object(Bucket="molecule-nas", Key="a")["Body"].read() == b"bytes"


def test_the_queue_belongs_to_the_server_again(host):
    started = host.check_output("systemctl show -P ActiveEnterTimestamp rustfs.service")
    assert host.file("/var/lib/rustfs/.notify-events").uid == 10001
    log = host.check_output(f"journalctl -u rustfs.service --since '{started}' --no-pager -o cat")
    assert "is dropped" not in log


def test_a_name_in_upper_case_became_an_id_in_lower_case(host):
    told = host.file("/etc/rustfs/rustfs.env").content_string
    assert "RUSTFS_NOTIFY_WEBHOOK_ENABLE_QATLAS=" in told


def test_the_program_that_runs_is_the_one_that_was_given(host):
    assert "1.0.0-beta.5" in host.check_output("/opt/rustfs/current/rustfs --version")


def test_no_other_release_is_left_half_installed(host):
    for folder in host.check_output("ls /opt/rustfs/releases").split():
        assert host.file(f"/opt/rustfs/releases/{folder}/.complete").exists
