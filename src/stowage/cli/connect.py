"""Where to and as whom: flags over environment over env file and profile, or a storage of the file service."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from stowage import errors
from stowage.cli.profile import with_profile
from stowage.cli.site import site_place
from stowage.env_file import parse
from stowage.s3.connection import S3Settings, environment_buckets, from_environment

Command = TypeVar("Command", bound=Callable[..., Any])

_GROUPS = {
    "QATLAS": ("QATLAS_S3_ENDPOINT", "QATLAS_S3_ACCESS_KEY_ID", "QATLAS_S3_SECRET_ACCESS_KEY"),
    "AWS": ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A bucket that can be reached.

    Args:
        settings: Endpoint and key.
        bucket: Bucket name.
        kind: Of the group of six, which one; empty otherwise.
        public_endpoint: Where people outside reach the same store; empty when not told.
    """

    settings: S3Settings
    bucket: str
    kind: str = ""
    public_endpoint: str = ""


_OPTIONS = [
    click.option("--endpoint", help="http(s)://host[:port] of the store  [env: QATLAS_S3_ENDPOINT, AWS_ENDPOINT_URL]"),
    click.option("-b", "--bucket", help="Bucket  [env: QATLAS_S3_BUCKET]"),
    click.option("--kind", help="Which bucket of QATLAS_S3_BUCKET_PDF, _MD, _IMAGES: pdf, md or images"),
    click.option(
        "--storage", help="Take everything from this storage of the file service  [env: STORAGES_CONFIGURATIONS]"
    ),
    click.option(
        "--env-file", type=click.Path(path_type=Path), help="Read variables from this file; the environment wins"
    ),
    click.option("--site", type=click.Path(path_type=Path), help="Endpoint, key and bucket of this inventory"),
    click.option("--profile", help="Endpoint and key of this profile of ~/.aws  [env: AWS_PROFILE]"),
    click.option("--access-key", help="Access key id  [env: QATLAS_S3_ACCESS_KEY_ID, AWS_ACCESS_KEY_ID]"),
    click.option(
        "--secret-key-file",
        type=click.Path(path_type=Path),
        help="File that holds the secret  [env: QATLAS_S3_SECRET_ACCESS_KEY, AWS_SECRET_ACCESS_KEY]",
    ),
    click.option("--region", help="Region of the signature  [env: AWS_REGION]"),
    click.option("--addressing-style", type=click.Choice(["path", "virtual", "auto"]), help="Default: path"),
    click.option("--ca-bundle", help="PEM of the authority that signed the server's certificate  [env: AWS_CA_BUNDLE]"),
    click.option("--insecure", is_flag=True, help="Accept any certificate"),
]


def connection_options(command: Command) -> Command:
    """Give a command the connection options; they arrive in its ``connection`` argument as a dictionary."""

    def wrapped(**given: Any) -> Any:
        connection = {name: given.pop(name) for name in _NAMES}
        context = click.get_current_context(silent=True)
        if context:
            connection["site"] = connection["site"] or context.find_root().params.get("site")
            connection["command"] = context.info_name
        return command(connection=connection, **given)

    wrapped.__doc__ = command.__doc__
    wrapped.__name__ = command.__name__
    wrapped.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]
    for option in reversed(_OPTIONS):
        option(wrapped)
    return wrapped  # type: ignore[return-value]


_NAMES = (
    "endpoint",
    "bucket",
    "kind",
    "storage",
    "env_file",
    "site",
    "profile",
    "access_key",
    "secret_key_file",
    "region",
    "addressing_style",
    "ca_bundle",
    "insecure",
)


def target(connection: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Target:
    """Turn the connection options into a bucket that can be reached.

    Args:
        connection: What ``connection_options`` collected.
        environ: Defaults to the process's environment.

    Raises:
        BadInputError: Something is missing, half-set or malformed; the message says what and what would be right.
    """
    env = environment(connection.get("env_file"), environ)
    if connection["site"]:
        made = _with_flags(_from_site(connection), connection)
    elif storage := connection["storage"] or _only_storage(env, connection):
        made = _with_flags(
            _from_storage(env, storage, connection["bucket"], insecure=connection["insecure"]), connection
        )
    else:
        made = _from_variables(env, connection)
    given = ("region", "addressing_style", "ca_bundle")
    changes: dict[str, Any] = {name: connection[name] for name in given if connection[name]}
    if not (made.settings.ca_bundle or connection["ca_bundle"]) and env.get("AWS_CA_BUNDLE"):
        changes["ca_bundle"] = env["AWS_CA_BUNDLE"]
    return dataclasses.replace(made, settings=dataclasses.replace(made.settings, **changes))


def environment(env_file: Path | None, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables to go by: an env file beneath the process's environment.

    Raises:
        BadInputError: The file can not be read.
    """
    env = dict(os.environ if environ is None else environ)
    if env_file is None:
        return env
    try:
        values = parse(env_file.read_text(encoding="utf-8"))
    except OSError as error:
        raise errors.BadInputError(
            f"env file {env_file} can not be read: {error.strerror}",
            "run as the service's user: sudo -u USER stowage …",
        ) from None
    return values | env


def _from_site(connection: Mapping[str, Any]) -> Target:
    settings, bucket, public = site_place(
        connection["site"],
        connection.get("command") or "",
        bucket=connection["bucket"],
        verify=not connection["insecure"],
    )
    return Target(settings=settings, bucket=bucket, public_endpoint=public)


def _with_flags(place: Target, connection: Mapping[str, Any]) -> Target:
    """Where a site or a storage leads, with what the command line says instead."""
    changes: dict[str, Any] = {name: connection[name] for name in ("endpoint", "access_key") if connection[name]}
    if connection["secret_key_file"]:
        changes["secret_key"] = _secret(connection["secret_key_file"])
    return dataclasses.replace(place, settings=dataclasses.replace(place.settings, **changes))


def _only_storage(env: Mapping[str, str], connection: Mapping[str, Any]) -> str | None:
    """The storage of the file service, where its variables are given and nothing else says where to go."""
    elsewhere = [*_GROUPS["QATLAS"], *_GROUPS["AWS"], "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"]
    flags = ("endpoint", "access_key", "profile", "kind")
    if not env.get("STORAGES_CONFIGURATIONS") or any(env.get(name) for name in elsewhere):
        return None
    if any(connection[name] for name in flags):
        return None
    names = sorted(name for name, entry in _storages(env).items() if entry.get("type") == "s3")
    if len(names) != 1:
        shown = ", ".join(names) or "none"
        hint = f"add for example --storage {names[0]}" if names else "versions exist only in S3"
        raise errors.BadInputError(f"which storage of the file service? of type s3 there are: {shown}", hint)
    return names[0]


def _from_variables(env: dict[str, str], connection: Mapping[str, Any]) -> Target:
    env = with_profile(env, connection["profile"])
    group = "QATLAS" if any(env.get(name) for name in _GROUPS["QATLAS"]) else "AWS"
    secret_file: Path | None = connection["secret_key_file"]
    flags = (connection["endpoint"], connection["access_key"], _secret(secret_file) if secret_file else None)
    merged = dict(env)
    for name, value in zip(_GROUPS[group], flags, strict=True):
        if value:
            merged[name] = value
    if connection["endpoint"]:
        merged.pop("AWS_ENDPOINT_URL_S3", None)
    settings = from_environment(merged, verify=not connection["insecure"])
    bucket, kind = _bucket(environment_buckets(merged), connection["bucket"], connection["kind"])
    public = env.get("QATLAS_S3_PUBLIC_ENDPOINT", "")
    return Target(settings=settings, bucket=bucket, kind=kind, public_endpoint=public)


def _bucket(named: dict[str, str], bucket: str | None, kind: str | None) -> tuple[str, str]:
    if bucket:
        return bucket, ""
    if kind:
        if kind not in named:
            known = ", ".join(sorted(named)) or "none"
            raise errors.BadInputError(f"no bucket of kind {kind!r} in the environment (there: {known})")
        return named[kind], kind
    if list(named) == ["raw"]:
        return named["raw"], ""
    if named:
        kinds = ", ".join(sorted(named))
        raise errors.BadInputError(f"which bucket? the environment names {kinds}", "add for example --kind pdf")
    raise errors.BadInputError("no bucket given", "add --bucket NAME, or set QATLAS_S3_BUCKET")


def _secret(path: Path) -> str:
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise errors.BadInputError(f"secret file {path} can not be read: {error.strerror}") from None
    if not secret:
        raise errors.BadInputError(f"secret file {path} is empty")
    return secret


def _storages(env: Mapping[str, str]) -> dict[str, Any]:
    text = env.get("STORAGES_CONFIGURATIONS")
    if not text:
        raise errors.BadInputError(
            "STORAGES_CONFIGURATIONS is not set", "add --env-file with the file service's own env file"
        )
    try:
        return {entry["name"]: entry for entry in json.loads(text)}
    except (ValueError, TypeError, KeyError):
        # The text holds secrets, so nothing of it is repeated.
        raise errors.BadInputError("STORAGES_CONFIGURATIONS is no JSON array of objects with a name") from None


def _from_storage(env: Mapping[str, str], name: str, bucket: str | None, *, insecure: bool) -> Target:
    """A storage of the file service (docs/contract.md 1)."""
    storages = _storages(env)
    entry = storages.get(name)
    if entry is None:
        raise errors.BadInputError(f"no storage {name!r} (there: {', '.join(sorted(storages)) or 'none'})")
    if entry.get("type") != "s3":
        raise errors.BadInputError(f"storage {name!r} is of type {entry.get('type')!r}; versions exist only in s3")
    bucket = bucket or entry.get("bucket")
    if not bucket:
        raise errors.BadInputError(f"storage {name!r} makes a bucket per day", "add --bucket with the day's bucket")
    settings = S3Settings(
        endpoint=entry.get("endpoint"),
        access_key=entry.get("access_key"),
        secret_key=entry.get("secret_key"),
        region=entry.get("region", "region"),
        addressing_style=entry.get("addressing_style", "path"),
        ca_bundle=entry.get("ca_bundle"),
        verify=entry.get("ssl_verify_peer", True) and not insecure,
    )
    return Target(settings=settings, bucket=bucket, public_endpoint=entry.get("public_endpoint") or "")
