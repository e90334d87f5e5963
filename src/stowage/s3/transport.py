"""One rule for every client of a store: whom it trusts, which proxy it takes, and what a broken line is called.

boto3, the doctor and the clients of the admin APIs go by it, so that what one of them reaches, all of them reach.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from stowage import errors

if TYPE_CHECKING:
    import urllib3

    from stowage.s3.connection import S3Settings


_DATE = re.compile(r"[A-Z][a-z]{2}, [^,]*? GMT")


def authorities(settings: S3Settings) -> str | bool:
    """Whom to trust, as boto3 takes it.

    Returns:
        ``False`` for any certificate, which nothing else overrules; else the PEM file: the one that was named, or the
        system's, or where the system has none the one that boto3 brings.
    """
    if not settings.verify:
        return False
    if settings.ca_bundle:
        return settings.ca_bundle
    return system_authorities()


def system_authorities() -> str:
    """The PEM file of the authorities that this machine trusts; where it has none, the one that boto3 brings."""
    from botocore.httpsession import DEFAULT_CA_BUNDLE, get_cert_path  # noqa: PLC0415

    return ssl.get_default_verify_paths().cafile or get_cert_path(True) or str(DEFAULT_CA_BUNDLE)


def proxy_of(endpoint: str) -> str | None:
    """The proxy that the environment names for an endpoint (``HTTPS_PROXY``, ``NO_PROXY``), as botocore reads it."""
    from botocore.utils import get_environ_proxies  # noqa: PLC0415

    found: str | None = get_environ_proxies(endpoint).get(urlsplit(endpoint).scheme)
    if found and "://" not in found:
        found = f"http://{found}"
    return found


def pool(settings: S3Settings, retries: urllib3.Retry | bool = False) -> urllib3.PoolManager:
    """Connections to the endpoint of these settings, for what boto3 does not speak.

    Args:
        settings: Where, whom to trust, and how long to wait.
        retries: As urllib3 takes it.
    """
    import urllib3  # noqa: PLC0415

    trusted = authorities(settings)
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=settings.connect_timeout, read=settings.read_timeout),
        "retries": retries,
        "cert_reqs": "CERT_REQUIRED" if trusted else "CERT_NONE",
        "ca_certs": trusted or None,
    }
    proxy = proxy_of(settings.endpoint)
    if not proxy:
        return urllib3.PoolManager(**options)
    parts = urlsplit(proxy)
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=pair)
    return urllib3.ProxyManager(f"{parts.scheme}://{_without_password(proxy)}", **options)


def _without_password(proxy: str) -> str:
    return urlsplit(proxy).netloc.rpartition("@")[2]


def explained(text: str, endpoint: str) -> tuple[str, str] | None:
    """What is wrong with a line that never gave an answer, and the cure; ``None`` when the words are not known.

    Args:
        text: The words of urllib3, botocore or OpenSSL.
        endpoint: Where it should have led.
    """
    parts = urlsplit(endpoint)
    proxy = proxy_of(endpoint)
    if proxy and "proxy" in text.lower():
        return (
            f"the proxy {_without_password(proxy)} does not let through to it: {innermost(text)}",
            f"mend {parts.scheme.upper()}_PROXY, or set NO_PROXY={parts.hostname}",
        )
    closed = (
        "closes without an answer; that is what many servers do to http where TLS is spoken",
        f"if so, use https://{parts.netloc}",
    )
    known = {
        "WRONG_VERSION_NUMBER": (
            "the server speaks plain HTTP, the endpoint says https",
            f"use http://{parts.netloc}",
        ),
        "CERTIFICATE_VERIFY_FAILED": (
            f"the server's certificate is not trusted here: {innermost(text)}",
            "give ca_bundle (--ca-bundle, AWS_CA_BUNDLE) the PEM of the authority that signed it",
        ),
        "refused": ("nothing listens there", "start the store, or mend the port"),
        "Name or service not known": (f"the name {parts.hostname} is not known here", "mend DNS, or use the address"),
        "resolve": (f"the name {parts.hostname} is not known here", "mend DNS, or use the address"),
        "timed out": ("no answer in time", "a firewall drops it, or the host is down"),
        **(
            dict.fromkeys(("RemoteDisconnected", "closed before", "reset by peer"), closed)
            if parts.scheme == "http"
            else {}
        ),
    }
    spelled = text.replace("wrong version number", "WRONG_VERSION_NUMBER")
    spelled = spelled.replace("certificate verify failed", "CERTIFICATE_VERIFY_FAILED")
    return next((found for sign, found in known.items() if sign in spelled), None)


def broken(error: Exception, doing: str, endpoint: str) -> errors.NetworkError:
    """The engine's error for a line that never gave an answer.

    Args:
        error: Of urllib3 or botocore.
        doing: What was being done, as it follows "failed to".
        endpoint: Where it should have led.
    """
    text = f"{error} {getattr(error, 'kwargs', {}).get('error', '')}"
    detail, cure = explained(text, endpoint) or (innermost(text), None)
    return errors.NetworkError(f"failed to {doing}: {endpoint} not reached: {detail}", cure)


def innermost(text: str) -> str:
    """The innermost reason in one line: botocore wraps urllib3, which wraps the socket's own words."""
    return text.rsplit("Caused by ", 1)[-1].rsplit(": ", 1)[-1].strip("'\") ")


def server_clock(header: str | None) -> datetime | None:
    """The time that an answer tells: the first date of its ``Date`` header that is one.

    A proxy may have added a second date, which is joined with the first by a comma, and some clocks say ``0``.
    """
    for text in [*_DATE.findall(header or ""), header or ""]:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            found = parsedate_to_datetime(text)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None
