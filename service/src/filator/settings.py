"""Settings from the environment, checked whole before anything connects."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from filator import __version__
from filator.errors import ConfigError
from filator.times import service_zone

EX_CONFIG = 78
MIB = 1 << 20
LONGEST_LIFETIME = 1000 * 365 * 86400
"""Seconds; far beyond it `delete_at` would pass the year 9999, which no date can hold."""
# What a worker's share of the memory for uploads is at least: one stream to S3 (30 MiB) and room beside it.
LEAST_UPLOAD_BYTES = 36 * MIB
LEAST_DOWNLOAD_BYTES = 8 * MIB
# Bucket names: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"^(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
# A dynamic bucket is `<prefix>-YYYY-MM-DD`: 11 characters must remain of 63.
_BUCKET_PREFIX = re.compile(r"^[a-z0-9][a-z0-9-]{0,51}$")
_KEY_PREFIX = re.compile(r"^(?!.{201})[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")


def _split_url(value: str) -> SplitResult:
    """Split an address; what urlsplit notices only when the port is asked for becomes an error at once."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        # Without urllib's text, which may quote a password.
        raise ValueError("has a host or port that cannot be used; ports are numbers from 1 to 65535")
    return parts


def _check_url(value: str) -> str:
    parts = _split_url(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as http://127.0.0.1:9000")
    if parts.username or parts.password:
        raise ValueError("must not carry credentials; they have fields of their own")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must end behind the host and its port, without a path: the bucket begins the path")
    return value.rstrip("/")


def _check_file(value: Path | None, fault: str) -> Path | None:
    if value is None:
        return None
    try:
        with value.open("rb"):
            return value
    except OSError as exc:
        raise ValueError(f"{fault} ({type(exc).__name__})") from None


def valid_key_prefix(value: str) -> bool:
    """Say whether `value` may stand before the date in an object key (at most 200 characters, no `..`, no `//`)."""
    return _KEY_PREFIX.fullmatch(value) is not None


# What `_names` below checks, in the words of JSON Schema.
_NAMES_SCHEMA: dict[str, Any] = {
    "if": {"properties": {"use_dynamic_buckets": {"const": True}}, "required": ["use_dynamic_buckets"]},
    "then": {"required": ["prefix"], "properties": {"prefix": {"pattern": _BUCKET_PREFIX.pattern}}},
    "else": {"required": ["bucket"], "properties": {"prefix": {"pattern": f"^$|{_KEY_PREFIX.pattern}"}}},
}


class _Storage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    readonly: bool = False


class DbStorage(_Storage):
    """Bytes in the table `attachment_blobs`."""

    type: Literal["db"]


class LocalStorage(_Storage):
    """Bytes in a directory of this host, for development and first boot."""

    type: Literal["local"]
    path: Annotated[Path, Field(strict=False, json_schema_extra={"pattern": "^/"})]

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("must be an absolute directory")
        return value


class S3Storage(_Storage):
    """Bytes in an S3-compatible store. Fields and defaults: docs/contract.md 1."""

    model_config = ConfigDict(json_schema_extra=_NAMES_SCHEMA)
    type: Literal["s3"]
    endpoint: str
    access_key: Annotated[str, Field(min_length=1)]
    secret_key: Annotated[SecretStr, Field(min_length=1)]
    use_dynamic_buckets: bool = False
    bucket: Annotated[str | None, Field(json_schema_extra={"pattern": _BUCKET.pattern})] = None
    prefix: str = ""
    region: str = "region"
    open_timeout: Annotated[float, Field(gt=0, le=3600)] = 5
    read_timeout: Annotated[float, Field(gt=0, le=3600)] = 15
    ssl_verify_peer: bool = True
    retry_limit: Annotated[int, Field(ge=0, le=100)] = 3
    public_endpoint: str | None = None
    versioning: bool = True
    ca_bundle: Annotated[Path | None, Field(strict=False, json_schema_extra={"minLength": 1})] = None
    addressing_style: Literal["path", "virtual"] = "path"
    checksum: Literal["auto", "sha256", "crc64nvme"] = "auto"

    @field_validator("endpoint", "public_endpoint")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        return value if value is None else _check_url(value)

    @field_validator("ca_bundle")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        return _check_file(value, "is not a readable file of certificates")

    @model_validator(mode="after")
    def _names(self) -> S3Storage:
        if self.use_dynamic_buckets:
            if not _BUCKET_PREFIX.fullmatch(self.prefix):
                raise ValueError(
                    "field prefix: with use_dynamic_buckets it begins the bucket's name: 1 to 52 of a-z, 0-9 and -"
                )
        elif self.bucket is None:
            raise ValueError("field bucket: is required when use_dynamic_buckets is false")
        elif self.prefix and not valid_key_prefix(self.prefix):
            raise ValueError("field prefix: may hold letters, digits, '.', '_', '-' and '/' between words")
        if self.bucket is not None and not _BUCKET.fullmatch(self.bucket):
            raise ValueError("field bucket: is no bucket name (3 to 63 of a-z, 0-9, '-' and single '.')")
        return self


Storage = DbStorage | LocalStorage | S3Storage
_TYPES: dict[str, type[_Storage]] = {"db": DbStorage, "s3": S3Storage, "local": LocalStorage}


def storages_schema() -> dict[str, Any]:
    """Describe an entry of STORAGES_CONFIGURATIONS by its type, as JSON Schema, for checks before anything runs."""
    return {kind: model.model_json_schema() for kind, model in _TYPES.items()}


def _reason(error: Mapping[str, Any]) -> str:
    kind = str(error["type"])
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not known"
    return str(error["msg"]).removeprefix("Value error, ")


def _storage(index: int, entry: object) -> Storage:
    where = f"STORAGES_CONFIGURATIONS entry {index}"
    if not isinstance(entry, dict):
        raise ConfigError(f'{where}: must be an object such as {{"name": "db", "type": "db"}}')
    if isinstance(entry.get("name"), str):
        where += f" ({entry['name']})"
    kind = entry.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ConfigError(f"{where}, field type: must be one of db, s3, local")
    model = _TYPES[kind]
    try:
        storage = model.model_validate_json(json.dumps(entry))
    except ValidationError as exc:
        error = exc.errors(include_input=False, include_url=False)[0]
        name = str(error["loc"][0]) if error["loc"] else ""
        text = _reason(error)
        if error["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, model.model_fields, 1)
            text += f"; did you mean {near[0]}?" if near else f"; type {kind} knows {', '.join(model.model_fields)}"
        raise ConfigError(f"{where}, field {name}: {text}" if name else f"{where}, {text}") from None
    assert isinstance(storage, DbStorage | LocalStorage | S3Storage)
    if (kind == "db") != (storage.name == "db"):
        raise ConfigError(f"{where}, field name: type db must be called db, and nothing else may be")
    return storage


def parse_storages(text: str) -> tuple[Storage, ...]:
    """Read STORAGES_CONFIGURATIONS (docs/contract.md 1).

    Args:
        text: a JSON array of objects.

    Returns:
        The storages in the order given.

    Raises:
        ConfigError: one line naming the entry (counted from 0) and the field.
    """
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"STORAGES_CONFIGURATIONS: is no JSON ({exc}); give an array of objects") from None
    if not isinstance(entries, list) or not entries:
        raise ConfigError("STORAGES_CONFIGURATIONS: must be a JSON array with at least one storage")
    storages = tuple(_storage(index, entry) for index, entry in enumerate(entries))
    seen: dict[str, int] = {}
    for index, storage in enumerate(storages):
        if storage.name in seen:
            first = seen[storage.name]
            raise ConfigError(
                f"STORAGES_CONFIGURATIONS entry {index} ({storage.name}), field name: already used by entry {first}"
            )
        seen[storage.name] = index
    if all(storage.readonly for storage in storages):
        raise ConfigError(
            "STORAGES_CONFIGURATIONS, field readonly: every storage is read only; at least one must be writable"
        )
    return storages


def _verify_reads(value: object) -> object:
    # What the setting took when it was a switch.
    return {"true": "sha256", "false": "off"}.get(str(value).lower(), value)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Settings(BaseModel):
    """Everything the service is told. Field names are the variables without `FILATOR_`, in lower case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: SecretStr
    redis_url: SecretStr
    storages: tuple[Storage, ...]
    listen: str = "127.0.0.1:8080"
    edge_listen: Annotated[str, Field(description="second socket, for proxies that face the internet")] = ""
    edge_access: Annotated[Literal["tokens", "open"], Field(description="who may come in by it")] = "tokens"
    private_access: Literal["", "open", "tokens"] = ""
    workers: Annotated[int, Field(ge=1, le=256)] = Field(default_factory=lambda: os.cpu_count() or 1)
    default_lifetime: Annotated[int, Field(ge=1, le=LONGEST_LIFETIME, description="seconds")] = 86400
    max_body_bytes: Annotated[int, Field(ge=1)] = 100 * 1024 * MIB
    upload_budget_bytes: Annotated[int, Field(ge=64 * MIB, description="all workers together")] = 256 * MIB
    max_uploads: Annotated[int, Field(ge=1, description="at once, all workers together")] = 512
    download_budget_bytes: Annotated[int, Field(ge=16 * MIB, description="all workers together")] = 256 * MIB
    wait_seconds: Annotated[float, Field(gt=0, description="for memory; then 503")] = 15
    max_metadata_count: Annotated[int, Field(ge=0)] = 64
    max_metadata_bytes: Annotated[int, Field(ge=1, description="one value")] = 4096
    idle_seconds: Annotated[float, Field(gt=0, description="longest silence of a client while it is waited for")] = 30
    head_seconds: Annotated[float, Field(gt=0, description="until the head of a request is there")] = 30
    min_upload_rate: Annotated[int, Field(ge=0, description="bytes a second, after the first minute")] = 1024
    min_download_rate: Annotated[int, Field(ge=0, description="bytes a second, in each minute of waiting")] = 1024
    tokens: Annotated[str, Field(repr=False, description="lines of the file, `;` between")] = ""
    tokens_file: Path | None = None
    public_endpoints: dict[str, str] = Field(default_factory=dict)
    public_endpoint_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]*$")] = ""
    edge_endpoints: Annotated[tuple[str, ...], Field(description="the values that are believed in that header")] = ()
    edge_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$")] = ""
    presign_seconds: Annotated[int, Field(ge=1, le=604800)] = 3600
    database_pool: Annotated[int, Field(ge=3, le=200, description="connections of one worker")] = 10
    gc_grace_seconds: Annotated[int, Field(ge=0, description="replaced bytes stay this long for running readers")] = 300
    keep_replaced: Annotated[bool, Field(description="replaced S3 versions stay until they are pruned")] = True
    orphan_grace_seconds: Annotated[int, Field(ge=0)] = 86400
    intent_grace_seconds: Annotated[int, Field(ge=0)] = 21600
    stop_seconds: Annotated[int, Field(ge=1)] = 60
    verify_reads: Annotated[Literal["crc32", "sha256", "off"], BeforeValidator(_verify_reads)] = "crc32"
    archive_objects: Literal["keep", "include"] = "keep"
    archive_list_days: Annotated[
        int, Field(ge=1, le=36500, description="a ZIP of an open transaction may be committed")
    ] = 30
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    zone: str = ""

    @field_validator("database_url")
    @classmethod
    def _postgres(cls, value: SecretStr) -> SecretStr:
        parts = _split_url(value.get_secret_value())
        if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
            raise ValueError("must look like postgresql://USER:PASSWORD@HOST:5432/aggredator-filator")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr) -> SecretStr:
        if _split_url(value.get_secret_value()).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("must look like redis://HOST:6379/0")
        return value

    @field_validator("listen", "edge_listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        if not value:
            return value
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("must be HOST:PORT such as 127.0.0.1:8080")
        return value

    @field_validator("tokens_file")
    @classmethod
    def _tokens(cls, value: Path | None) -> Path | None:
        return _check_file(value, "is not a readable file; `filator token --scopes read,write` prints a line for it")

    @field_validator("public_endpoints")
    @classmethod
    def _endpoints(cls, value: dict[str, str]) -> dict[str, str]:
        return {authority.lower(): _check_url(url) for authority, url in value.items()}

    @field_validator("edge_endpoints")
    @classmethod
    def _edges(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_check_url(url) for url in value)

    @cached_property
    def signable_endpoints(self) -> frozenset[str]:
        """Every endpoint that a link may be signed for; who asks can choose among them, never add one."""
        own = (storage.public_endpoint for storage in self.storages if isinstance(storage, S3Storage))
        return frozenset(filter(None, (*self.edge_endpoints, *self.public_endpoints.values(), *own)))

    def signable_endpoint(self, named: str) -> str | None:
        """Return the endpoint that an edge names in its header, or None for one that nobody has configured."""
        wanted = named.strip().rstrip("/").lower()
        return next((endpoint for endpoint in self.signable_endpoints if endpoint.lower() == wanted), None)

    @property
    def user_agent(self) -> str:
        """What requests to a store say they come from: `filator/VERSION`, and `/EDGE` where one is named."""
        return "/".join(filter(None, ("filator", __version__, self.edge_name)))

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on; a bracketed IPv6 host comes without brackets."""
        return _address(self.listen)

    @property
    def edge_address(self) -> tuple[str, int] | None:
        """The same of the socket for edges, where there is one."""
        return _address(self.edge_listen) if self.edge_listen else None

    @property
    def has_tokens(self) -> bool:
        """Whether any token is known."""
        return bool(self.tokens) or self.tokens_file is not None

    @property
    def private_asks(self) -> bool:
        """Whether the private socket asks for a token. Tokens without a second socket can only be meant for it."""
        if self.private_access == "":
            return self.has_tokens and not self.edge_listen
        return self.private_access == "tokens"

    @property
    def warnings(self) -> list[str]:
        """What stands open, for the log."""
        found = []
        if not self.private_asks:
            found.append(
                f"no token is asked for on {self.listen}: everyone who reaches it may read, write and delete; "
                "for private networks only"
            )
        if self.edge_listen and self.edge_access == "open":
            found.append(
                f"FILATOR_EDGE_ACCESS=open: no token is asked for on {self.edge_listen}: everyone who reaches an edge "
                "may read, write and delete files"
            )
        for variable, total, least in (
            ("FILATOR_UPLOAD_BUDGET_BYTES", self.upload_budget_bytes, LEAST_UPLOAD_BYTES),
            ("FILATOR_DOWNLOAD_BUDGET_BYTES", self.download_budget_bytes, LEAST_DOWNLOAD_BYTES),
        ):
            if total < self.workers * least:
                found.append(
                    f"{variable}={total} is less than {self.workers} workers need to work at all; "
                    f"they may take {self.workers * least}"
                )
        return found

    @cached_property
    def timezone(self) -> ZoneInfo:
        """The service's zone: `TZ`, else the host's."""
        return service_zone(self.zone)


_OTHER_NAMES = {"storages": "STORAGES_CONFIGURATIONS", "zone": "TZ"}


def _variable(field: str) -> str:
    return _OTHER_NAMES.get(field, f"FILATOR_{field.upper()}")


def _public_endpoints(text: str) -> object:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not all(isinstance(url, str) for url in value.values()):
        raise ConfigError(
            'FILATOR_PUBLIC_ENDPOINTS: must be a JSON object such as {"files.example.org": "https://s3.example.org"}'
        )
    return value


def _edge_endpoints(text: str) -> object:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list) or not all(isinstance(url, str) for url in value):
        raise ConfigError('FILATOR_EDGE_ENDPOINTS: must be a JSON array such as ["https://s3.example.org"]')
    return value


_JSON_SETTINGS = {"FILATOR_PUBLIC_ENDPOINTS": _public_endpoints, "FILATOR_EDGE_ENDPOINTS": _edge_endpoints}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check every setting without connecting anywhere.

    Args:
        environ: variables by name; the process's own when None.

    Returns:
        The settings.

    Raises:
        ConfigError: one line with the variable, the entry and the field; never a secret's value.
    """
    env = os.environ if environ is None else environ
    known = {f"FILATOR_{name.upper()}": name for name in Settings.model_fields if name not in _OTHER_NAMES}
    values: dict[str, object] = {}
    for variable, text in env.items():
        if not variable.startswith("FILATOR_"):
            continue
        if variable not in known:
            near = difflib.get_close_matches(variable, known, 1, 0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"{variable}: is not a setting of filator{hint}")
        # An empty value in an EnvironmentFile means "not set".
        if text != "":
            values[known[variable]] = _JSON_SETTINGS[variable](text) if variable in _JSON_SETTINGS else text
    if "STORAGES_CONFIGURATIONS" not in env:
        raise ConfigError('STORAGES_CONFIGURATIONS: is missing; the smallest one is [{"name": "db", "type": "db"}]')
    values["storages"] = parse_storages(env["STORAGES_CONFIGURATIONS"])
    values["zone"] = env.get("TZ", "")
    try:
        settings = Settings.model_validate(values)
        _ = settings.timezone
    except ValidationError as exc:
        error = exc.errors(include_input=False, include_url=False)[0]
        raise ConfigError(f"{_variable(str(error['loc'][0]))}: {_reason(error)}") from None
    except ValueError as exc:
        raise ConfigError(f"TZ: {exc}") from None
    _check_access(settings)
    return settings


def _check_access(settings: Settings) -> None:
    from filator.tokens import settled_tokens  # noqa: PLC0415 - tokens needs nothing of settings, settings needs it once

    settled_tokens(settings.tokens, settings.tokens_file)
    if settings.edge_address is not None:
        if settings.edge_address[1] == settings.address[1] or 0 in (settings.edge_address[1], settings.address[1]):
            raise ConfigError("FILATOR_EDGE_LISTEN: needs a port other than FILATOR_LISTEN's, neither of them 0")
        if settings.edge_access == "tokens" and not settings.has_tokens:
            raise ConfigError(
                "FILATOR_EDGE_LISTEN: edges need tokens, there are none; give FILATOR_TOKENS or FILATOR_TOKENS_FILE "
                "(`filator token NAME --scopes read,write` prints a line), or say FILATOR_EDGE_ACCESS=open"
            )
    elif settings.edge_access == "open":
        raise ConfigError("FILATOR_EDGE_ACCESS=open: there is no socket for edges; give FILATOR_EDGE_LISTEN or drop it")
    if settings.private_access == "tokens" and not settings.has_tokens:
        raise ConfigError(
            "FILATOR_PRIVATE_ACCESS=tokens: there are none; give FILATOR_TOKENS or FILATOR_TOKENS_FILE "
            "(`filator token NAME --scopes read,write` prints a line)"
        )
