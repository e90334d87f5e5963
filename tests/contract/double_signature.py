"""SigV4 as a server checks it: header authentication and presigned links, whole bodies only."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote

from double_admin import RefusedError

_HEADER = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)")


def access_key_of(headers: Mapping[str, str], query: str) -> str | None:
    """The key that claims to have signed; ``None`` for an unsigned request."""
    if found := _HEADER.match(headers.get("authorization", "")):
        return found.group(1)
    return dict(parse_qsl(query)).get("X-Amz-Credential", "").partition("/")[0] or None


def check(method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, secret: str) -> None:
    """Compare the signature of a request as it arrived.

    Args:
        method: HTTP method.
        path: Raw, as received.
        query: Raw, as received.
        headers: With lower-case names.
        body: Whole.
        secret: Of the key that claims to have signed.

    Raises:
        RefusedError: It does not match.
    """
    found = _HEADER.match(headers.get("authorization", ""))
    parameters = parse_qsl(query, keep_blank_values=True)
    if found:
        scope, signed, given = found.group(2), found.group(3), found.group(4)
        date = headers["x-amz-date"]
        digest = headers["x-amz-content-sha256"]
        if digest not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
            raise RefusedError(400, "XAmzContentSHA256Mismatch", "the body is not what was signed")
    else:
        named = dict(parameters)
        scope = named["X-Amz-Credential"].partition("/")[2]
        signed, given, date = named["X-Amz-SignedHeaders"], named["X-Amz-Signature"], named["X-Amz-Date"]
        digest = "UNSIGNED-PAYLOAD"
        parameters = [one for one in parameters if one[0] != "X-Amz-Signature"]
    canonical_query = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(parameters))
    lines = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in signed.split(";"))
    canonical = "\n".join([method, path, canonical_query, lines, signed, digest])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    if not hmac.compare_digest(hmac.new(key, to_sign.encode(), "sha256").hexdigest(), given):
        raise RefusedError(403, "SignatureDoesNotMatch", "The signature does not match the one that was calculated.")
