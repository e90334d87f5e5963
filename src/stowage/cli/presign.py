"""``stowage presign``: a link that works without a key for a while."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click

from stowage import errors
from stowage.cli.connect import connection_options, target
from stowage.s3.prune_plan import parse_age

_CALLS = {"get": "get_object", "put": "put_object", "head": "head_object", "delete": "delete_object"}
_LONGEST = timedelta(days=7)


@click.command()
@connection_options
@click.argument("key")
@click.option("--method", type=click.Choice(sorted(_CALLS)), default="get", help="What the link may do  [default: get]")
@click.option("--expires", default="1h", help="How long it works: 15m, 1h, 7d at most  [default: 1h]")
@click.option("--version-id", help="Link to this version instead of the current one")
@click.option(
    "--public-endpoint", help="Sign for this address, as people outside reach it  [env: QATLAS_S3_PUBLIC_ENDPOINT]"
)
def command(connection: Mapping[str, Any], **given: Any) -> None:
    """Make a link to KEY. Whoever has the link can use it until it expires; nothing is asked of the server."""
    from stowage.s3.connection import checked_endpoint, engine_errors, s3_client  # noqa: PLC0415

    lifetime = parse_age(given["expires"])
    if lifetime > _LONGEST or lifetime < timedelta(seconds=1):
        raise errors.BadInputError(f"--expires {given['expires']} is out of range", "1s to 7d: SigV4 allows no more")
    place = target(connection)
    public = given["public_endpoint"] or place.public_endpoint
    settings = dataclasses.replace(place.settings, endpoint=checked_endpoint(public)) if public else place.settings
    if settings.anonymous:
        raise errors.BadInputError("a link can not be signed without a key", "set AWS_ACCESS_KEY_ID and its secret")
    params = {"Bucket": place.bucket, "Key": given["key"]}
    if given["version_id"]:
        params["VersionId"] = given["version_id"]
    with engine_errors(f"sign a link to {given['key']!r}", settings.endpoint):
        link = s3_client(settings).generate_presigned_url(
            _CALLS[given["method"]], Params=params, ExpiresIn=int(lifetime.total_seconds())
        )
    click.echo(link)
