"""The capability table of the object stores (``stores.yml``), read once, and the lookups on it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import yaml

from stowage.errors import BadInputError
from stowage.site.names import nearest

Access = Literal["rustfs", "iam", "minio", "none"]
EXTERNAL = "external"
"""The value of ``object_store_provider`` for a store that this project does not deploy; the preset names which."""


@dataclass(frozen=True)
class Store:
    """What one object store can do and how a client must speak to it.

    Args:
        name: Word used in the inventory.
        deployed: ``True`` when the roles install it, ``False`` for a preset of ``external``.
        title: Name for people.
        endpoint: URL with ``{host}``, ``{region}`` or ``{account}`` for the operator to fill in.
        region: Region used when none is given; ``None`` when one must be given.
        region_rule: Sentence on which region is right.
        addressing: Where the bucket stands: in the path or in the host name.
        checksums: boto3's ``request_checksum_calculation``.
        versions: Whether overwritten objects are kept.
        access: Driver for users, keys and policies; ``none`` when the operator makes the keys.
        chosen_keys: Whether an access key can be created with a secret chosen by us.
        events: Whether bucket notifications can reach the sink's webhook.
        proof: ``run`` when measured by this project, ``paper`` when taken from documentation.
        note: One clause worth knowing.
    """

    name: str
    deployed: bool
    title: str
    endpoint: str
    region: str | None
    region_rule: str
    addressing: Literal["path", "virtual"]
    checksums: Literal["when_required", "when_supported"]
    versions: bool
    access: Access
    chosen_keys: bool
    events: Literal["webhook", "none"]
    proof: Literal["run", "paper"]
    note: str


@dataclass(frozen=True)
class RefusedStore:
    """A store that cannot carry this service, with the reason and the way round.

    Args:
        name: Word used in the inventory.
        title: Name for people.
        also: Other words people write for it.
        reason: Why it is refused.
        s3proxy: Which part of S3Proxy could bridge it.
    """

    name: str
    title: str
    also: tuple[str, ...]
    reason: str
    s3proxy: str


@dataclass(frozen=True)
class StoreTable:
    """The whole of ``stores.yml``: stores by name, refused ones by name."""

    stores: Mapping[str, Store]
    refused: Mapping[str, RefusedStore]

    def deployed(self) -> list[str]:
        """Names of the stores that the roles install, in the table's order."""
        return [store.name for store in self.stores.values() if store.deployed]

    def presets(self) -> list[str]:
        """Names of the presets of ``external``, in the table's order."""
        return [store.name for store in self.stores.values() if not store.deployed]

    def find_refused(self, word: str) -> RefusedStore | None:
        """Return the refused store that ``word`` (any case, ``-`` for ``_``) names, or ``None``."""
        plain = word.strip().lower().replace("-", "_")
        return next((store for store in self.refused.values() if plain == store.name or plain in store.also), None)


def parse_stores(data: Mapping[str, Any]) -> StoreTable:
    """Turn the loaded YAML into a table.

    Args:
        data: Mapping with ``deployed``, ``external`` and ``refused``, each a mapping from name to fields.

    Raises:
        TypeError: A row has a field too many or too few.
    """
    stores = {
        name: Store(name=name, deployed=kind == "deployed", **fields)
        for kind in ("deployed", EXTERNAL)
        for name, fields in data[kind].items()
    }
    refused = {
        name: RefusedStore(name=name, **(fields | {"also": tuple(fields["also"])}))
        for name, fields in data["refused"].items()
    }
    return StoreTable(stores=stores, refused=refused)


@functools.cache
def load_stores() -> StoreTable:
    """Return the table that ships with the package."""
    return parse_stores(yaml.safe_load(files("stowage.site").joinpath("stores.yml").read_text(encoding="utf-8")))


def find_store(provider: str, preset: str | None = None, table: StoreTable | None = None) -> Store:
    """Return the store that an inventory selects.

    Args:
        provider: Value of ``object_store_provider``: a deployed store, or ``external``.
        preset: Value of ``object_store_preset``; read only when the provider is ``external``.
        table: Table to look in; the package's own when ``None``.

    Raises:
        BadInputError: The words name no store, a refused one, or a preset is missing. The hint says what is right.
    """
    table = table or load_stores()
    variable, word, choices = "object_store_provider", provider, [*table.deployed(), EXTERNAL]
    if provider == EXTERNAL:
        variable, word, choices = "object_store_preset", preset or "", table.presets()
    if word in choices:
        return table.stores[word]
    if refused := table.find_refused(word):
        raise BadInputError(
            f'{variable} "{word}" is not supported: {refused.reason}',
            hint=f"a store that speaks S3, or S3Proxy ({refused.s3proxy}) in front of it with "
            f"object_store_provider: {EXTERNAL} and object_store_preset: s3proxy",
        )
    if not word:
        raise BadInputError(f"{variable} is empty", hint=f"one of {', '.join(choices)}")
    if variable == "object_store_provider" and word in table.presets():
        raise BadInputError(
            f'{variable} "{word}" is a preset, not a provider',
            hint=f"object_store_provider: {EXTERNAL} and object_store_preset: {word}",
        )
    guess = nearest(word, choices)
    meant = f'"{guess}" (nearest name), or ' if guess else ""
    raise BadInputError(f'unknown {variable} "{word}"', hint=f"{meant}one of {', '.join(choices)}")
