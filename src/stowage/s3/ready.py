"""Is a store ready? Only a signed write that is read back says so.

A port that answers is not enough: SeaweedFS 4.48 was seen to answer 500 to most reads for a whole run while its health
page said 200, and MinIO's descendants answer admin calls before their users are loaded.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from stowage.errors import AuthError, NetworkError, ServerFaultError, StowageError
from stowage.s3.connection import S3Settings, s3_client

_REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}


@dataclass(frozen=True)
class Readiness:
    """What was seen: seconds waited and the number of tries."""

    seconds: float
    tries: int


def _canary(settings: S3Settings) -> None:
    client = s3_client(settings)
    bucket = f"stowage-canary-{secrets.token_hex(6)}"
    body = secrets.token_bytes(64)
    client.create_bucket(Bucket=bucket)
    try:
        client.put_object(Bucket=bucket, Key="canary", Body=body)
        seen = client.get_object(Bucket=bucket, Key="canary")["Body"].read()
        if seen != body:
            raise ServerFaultError(f"{settings.endpoint} gave back other bytes than were written")
    finally:
        client.delete_object(Bucket=bucket, Key="canary")
        client.delete_bucket(Bucket=bucket)


def _as_error(settings: S3Settings, error: Exception) -> StowageError:
    if isinstance(error, StowageError):
        return error
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        if code in _REFUSED:
            return AuthError(
                f"{settings.endpoint} refuses the administrator's key: {code}",
                "is the key in the vault the one the store was started with?",
            )
        return ServerFaultError(f"{settings.endpoint} answers {code}")
    return NetworkError(f"{settings.endpoint} is not reached: {error}")


def wait_until_ready(
    settings: S3Settings,
    *,
    timeout: float = 60,
    interval: float = 0.5,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Readiness:
    """Wait until a signed canary was written to a bucket of its own, read back and removed.

    Args:
        settings: The store's endpoint and its administrator's key.
        timeout: Seconds after which the last cause is raised.
        interval: Seconds between two tries.
        clock: Source of monotonic seconds.
        sleep: What waits.

    Raises:
        AuthError: The key is refused; not tried again, since waiting does not mend a key.
        NetworkError: Nothing was reached in time.
        ServerFaultError: The store answered, but not rightly, until the time was up.
    """
    begin = clock()
    tries = 0
    while True:
        tries += 1
        try:
            _canary(settings)
            return Readiness(seconds=clock() - begin, tries=tries)
        except (StowageError, ClientError, BotoCoreError) as raised:
            error = _as_error(settings, raised)
        if isinstance(error, AuthError) or clock() - begin >= timeout:
            raise error
        sleep(interval)
