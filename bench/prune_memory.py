"""Plan and apply over a simulated server, and print the peak memory of this process as JSON.

The answers are made inside the client, after signing and before parsing, so everything but the network is real.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore.awsrequest import AWSResponse

from stowage.s3.connection import S3Settings, s3_client
from stowage.s3.prune import PlanRequest, carry_out, make_plan
from stowage.s3.prune_plan import PruneRules

VERSIONS = 20
OBJECT = re.compile(rb"<Key>(.*?)</Key><VersionId>(.*?)</VersionId>")


class Body:
    """What botocore reads an answer from."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def stream(self, **_: Any) -> Any:
        """The content, in one piece."""
        yield self.content


def answer(content: str | bytes) -> AWSResponse:
    """An HTTP answer with an XML body."""
    data = content.encode() if isinstance(content, str) else content
    return AWSResponse("http://simulated", 200, {"content-type": "application/xml"}, Body(data))


def key_of(number: int) -> str:
    """A key as long as real ones are."""
    return f"2511/{number:07d}/document-of-some-length.pdf"


def listing(rows: int) -> Any:
    """The handler of ListObjectVersions: row i is version i % 20 of key i // 20."""

    def handler(request: Any, **_: Any) -> AWSResponse:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
        first, last = 0, rows
        if prefix := query.get("prefix"):
            first = int(prefix.split("/")[1]) * VERSIONS
            last = first + VERSIONS
        if marker := query.get("key-marker"):
            number = int(marker.split("/")[1])
            version = query.get("version-id-marker")
            first = number * VERSIONS + (int(version[:2]) + 1 if version else VERSIONS)
        end = min(last, first + int(query.get("max-keys", 1000)))
        entries = []
        for row in range(first, end):
            number, version = divmod(row, VERSIONS)
            latest = "true" if version == 0 else "false"
            entries.append(
                f"<Version><Key>{key_of(number)}</Key><VersionId>{version:02d}{number:030d}</VersionId>"
                f"<IsLatest>{latest}</IsLatest><LastModified>2026-01-{28 - version:02d}T00:00:00Z</LastModified>"
                f"<ETag>&quot;9dd4e461268c8034f5c8564e155c67a6&quot;</ETag><Size>1000</Size>"
                "<Owner><ID>admin</ID><DisplayName>admin</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Version>"
            )
        tail = "<IsTruncated>false</IsTruncated>"
        if end < last:
            number, version = divmod(end - 1, VERSIONS)
            tail = (
                f"<IsTruncated>true</IsTruncated><NextKeyMarker>{key_of(number)}</NextKeyMarker>"
                f"<NextVersionIdMarker>{version:02d}{number:030d}</NextVersionIdMarker>"
            )
        space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
        return answer(f"<ListVersionsResult {space}>{tail}{''.join(entries)}</ListVersionsResult>")

    return handler


def live(rows: int) -> Any:
    """The handler of ListObjectsV2: one current object for each key."""
    keys = rows // VERSIONS

    def handler(request: Any, **_: Any) -> AWSResponse:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
        first = int(query.get("continuation-token", "0"))
        end = min(keys, first + 1000)
        entries = "".join(
            f"<Contents><Key>{key_of(number)}</Key><LastModified>2026-01-28T00:00:00Z</LastModified><Size>1</Size></Contents>"
            for number in range(first, end)
        )
        more = "true" if end < keys else "false"
        token = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < keys else ""
        return answer(f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{token}{entries}</ListBucketResult>")

    return handler


def deleting(request: Any, **_: Any) -> AWSResponse:
    """The handler of DeleteObjects: everything is gone."""
    gone = b"".join(
        b"<Deleted><Key>" + key + b"</Key><VersionId>" + version + b"</VersionId></Deleted>"
        for key, version in OBJECT.findall(request.body)
    )
    return answer(b'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' + gone + b"</DeleteResult>")


def peak_mib() -> float:
    """Highest resident memory of this process so far; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Plan, apply, print."""
    rows = int(sys.argv[1])
    client = s3_client(S3Settings(endpoint="http://127.0.0.1:9", access_key="simulated", secret_key="simulated"))
    events = client.meta.events
    events.register("before-send.s3.ListObjectVersions", listing(rows))
    events.register("before-send.s3.ListObjectsV2", live(rows))
    events.register("before-send.s3.DeleteObjects", deleting)
    enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    events.register("before-send.s3.GetBucketVersioning", lambda **_: answer(enabled))
    events.register("before-send.s3.GetObjectLockConfiguration", lambda **_: answer("<ObjectLockConfiguration/>"))
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        plan = make_plan(client, PlanRequest(bucket="simulated", rules=PruneRules(keep_last=4)), Path(folder) / "plan")
        planned = time.perf_counter()
        plan_rss = peak_mib()
        deleted = sum(result.outcome.value == "deleted" for result in carry_out(client, plan))
        applied = time.perf_counter()
    assert deleted == plan.totals.candidates == rows // VERSIONS * (VERSIONS - 5)
    print(
        json.dumps(
            {
                "listed": plan.totals.listed_versions,
                "deleted": deleted,
                "plan_seconds": planned - begin,
                "apply_seconds": applied - planned,
                "plan_rss_mib": plan_rss,
                "rss_mib": peak_mib(),
            }
        )
    )


if __name__ == "__main__":
    main()
