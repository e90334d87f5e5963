"""Endpoint and key from a profile of ``~/.aws``, as the AWS command line keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stowage import errors

_STATIC = {
    "AWS_ENDPOINT_URL": "endpoint_url",
    "AWS_ACCESS_KEY_ID": "aws_access_key_id",
    "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
    "AWS_SESSION_TOKEN": "aws_session_token",
    "AWS_REGION": "region",
    "AWS_CA_BUNDLE": "ca_bundle",
}
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def with_profile(env: Mapping[str, str], named: str | None) -> dict[str, str]:
    """The variables, with those of a profile where they belong.

    A profile that is named on the command line wins over keys in the environment, one that ``AWS_PROFILE`` names (or
    the one called ``default``) fills in only where the environment has no key: the rule of AWS's own programs.

    Args:
        env: The environment.
        named: The profile of ``--profile``.

    Returns:
        The environment with ``AWS_*`` as the profile has them.

    Raises:
        BadInputError: There is no such profile, or its files can not be read.
    """
    asked = named or env.get("AWS_PROFILE")
    group = ("QATLAS_S3_ENDPOINT", "QATLAS_S3_ACCESS_KEY_ID", "QATLAS_S3_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")
    if not named and any(env.get(name) for name in group):
        return dict(env)
    found = _variables(asked or "default", env, required=bool(asked))
    if named:
        kept = {name: value for name, value in env.items() if name not in group and name != "AWS_SECRET_ACCESS_KEY"}
        kept.pop("AWS_SESSION_TOKEN", None)
        if "AWS_ENDPOINT_URL" in found:
            kept.pop("AWS_ENDPOINT_URL_S3", None)
        return kept | found
    return found | {name: value for name, value in env.items() if value}


def _variables(profile: str, env: Mapping[str, str], *, required: bool) -> dict[str, str]:
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    session = Session(profile=profile if required else None)
    for variable, option in (("AWS_CONFIG_FILE", "config_file"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials_file")):
        if env.get(variable):
            session.set_config_variable(option, env[variable])
    try:
        whole = session.full_config
        values: dict[str, Any] = whole.get("profiles", {}).get(profile, {})
        if not values and required:
            there = ", ".join(sorted(whole.get("profiles", {}))) or "none"
            raise errors.BadInputError(
                f"no profile {profile!r} in ~/.aws (there: {there})", "aws configure --profile NAME"
            )
        found = {name: str(values[key]) for name, key in _STATIC.items() if values.get(key)}
        services = whole.get("services", {}).get(values.get("services", ""), {})
        if endpoint := services.get("s3", {}).get("endpoint_url"):
            found["AWS_ENDPOINT_URL"] = str(endpoint)
        lent = "AWS_ACCESS_KEY_ID" not in found and {"credential_process", "role_arn", "sso_session"} & set(values)
        if lent and (made := session.get_credentials()):
            pair = made.get_frozen_credentials()
            told = zip(_KEYS, (pair.access_key, pair.secret_key, pair.token), strict=True)
            found |= {name: value for name, value in told if value}
    except BotoCoreError as error:
        raise errors.BadInputError(f"profile {profile!r} of ~/.aws can not be used: {error}") from None
    return found
