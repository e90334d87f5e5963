"""Which version a server says it is: a way around a fault holds for the versions that were seen to have it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# Up to 1.0.0-beta.8, GET /health of RustFS tells the version of its manifest, which is beta.4 in 1.0.0-beta.5.
READS_FAR_MORE_THAN_IT_SHOWS = frozenset({"1.0.0-beta.4", "1.0.0-beta.5"})


def rustfs_version(client: S3Client) -> str:
    """The version that a RustFS tells everybody on its port; empty where nobody tells one.

    Args:
        client: boto3 S3 client.

    Returns:
        As the server writes it: ``1.0.0-beta.4``.
    """
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, HTTPClientError  # noqa: PLC0415

    # The client's own session has its TLS settings.
    session: Any = client._endpoint.http_session  # type: ignore[attr-defined]
    with suppress(BotoCoreError, HTTPClientError, ValueError, AttributeError):
        answer = session.send(AWSRequest(method="GET", url=f"{client.meta.endpoint_url}/health").prepare())
        if answer.status_code == 200:
            told = json.loads(answer.content)
            if str(told.get("service", "")).startswith("rustfs"):
                return str(told.get("version") or "")
    return ""
