"""``stowage doctor``: what is wrong between here and the store, and what would mend it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import click

from stowage import errors
from stowage.cli.connect import Target, connection_options, target
from stowage.cli.output import say
from stowage.doctor import FAIL, OK, WARN, Finding, examine

_SIGNS = {OK: "ok      ", WARN: "warning ", FAIL: "FAULT   "}


@click.command()
@connection_options
@click.option(
    "--public-endpoint", multiple=True, help="Also try a presigned link through this address; can be repeated"
)
@click.option("--write", is_flag=True, help="Put and remove a canary object, which a presigned link needs")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line")
@click.pass_context
def command(ctx: click.Context, /, connection: Mapping[str, Any], **given: Any) -> None:
    """Look at settings, address, clock, signature, bucket, versioning and permissions, in this order.

    Nothing is written without --write. Exit status 1 when a fault was found.
    """
    worst = OK
    for finding in _findings(connection, given):
        worst = max(worst, finding.result, key=[OK, WARN, FAIL].index)
        if given["as_json"]:
            click.echo(json.dumps(asdict(finding), ensure_ascii=False))
            continue
        click.echo(f"{_SIGNS[finding.result]}{finding.check}: {finding.detail}")
        if finding.cure:
            click.echo(f"        cure: {finding.cure}")
    if worst != OK and not given["as_json"]:
        say("see docs/cli.md for what each check means")
    ctx.exit(1 if worst == FAIL else 0)


def _findings(connection: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        place = target(connection)
    except errors.BadInputError as error:
        yield Finding("settings", FAIL, error.message, error.hint or "")
        return
    settings = place.settings
    key = settings.access_key or "anonymous"
    yield Finding("settings", OK, f"{settings.endpoint}, bucket {place.bucket}, key {key}")
    if settings.anonymous:
        yield Finding("settings", WARN, "no key: requests go unsigned", "set AWS_ACCESS_KEY_ID and its secret")
    faulty = False
    for finding in examine(settings, place.bucket):
        faulty |= finding.result == FAIL
        yield finding
    if not faulty:
        yield from _outside(place, given)


def _outside(place: Target, given: Mapping[str, Any]) -> Iterator[Finding]:
    from stowage.s3.presign import PublicEndpoint, probe_presigned  # noqa: PLC0415

    addresses = given["public_endpoint"] or ([place.public_endpoint] if place.public_endpoint else [])
    if not addresses:
        return
    if not given["write"]:
        detail = f"{', '.join(addresses)} not tried: a link needs a canary object"
        yield Finding("public endpoint", WARN, detail, "add --write to put and remove one")
        return
    publics = [PublicEndpoint(one, place.settings.ca_bundle, {}, place.settings.verify) for one in addresses]
    try:
        found = probe_presigned(place.settings, place.bucket, publics)
    except errors.StowageError as error:
        yield Finding("public endpoint", FAIL, error.message, error.hint or "")
        return
    for one in found:
        detail = f"{one.endpoint}: {one.cause or 'a presigned link opens'}"
        yield Finding("public endpoint", OK if one.works else FAIL, detail)
