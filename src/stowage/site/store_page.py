"""docs/stores.md, made from the table of stores."""

from __future__ import annotations

from stowage.site.stores import EXTERNAL, Store, StoreTable

_INTRO = """\
# Which store

<!-- Made by scripts/role-readmes from src/stowage/site/stores.yml; change that file. -->

`object_store_provider` says what stores the bytes; with `external`, `object_store_preset` says which one of them.

    object_store_provider: external
    object_store_preset: aws
    object_store_endpoint: https://s3.eu-central-1.amazonaws.com
    object_store_region: eu-central-1

Preflight refuses a word that is not on this page, before any host is touched.
"""
_COLUMNS = """\
- **versions**: whether an overwritten file can be brought back (prune, restore). A store without them is for files
  that are written once.
- **access**: what makes users, keys and policies. Where it is not `iam`, an external store wants the same word as
  `object_store_driver`. `none`: make the buckets (with versioning) and three keys in the provider's console, for the
  file service, for pruning and for restoring. Put them into the vault as `vault_filator_s3_access_key` and
  `vault_filator_s3_secret_key`, and the same with `pruner` and `restorer`; preflight names each that is missing.
- **keys**: `chosen` by us and therefore the same after a rebuild, or `minted` by the store and kept in the vault.
- **trace**: whether the store tells the event sink who wrote what.
- **proof**: `run` means measured by this project (docs/quirks.md), `paper` means taken from the provider's manual and
  never run here.
"""
_SPOKEN = """\
## How clients speak to each

What a client must be told. The file service and `stowage` address by path unless `addressing_style` of the storage, or
`--addressing-style`, says otherwise.
"""
_REFUSED = """\
## Refused

These cannot carry the service. [S3Proxy](https://github.com/gaul/s3proxy) can stand in front of them as
`object_store_preset: s3proxy`; what the store behind it lacks stays lacking.

| Store | Words | Why | With S3Proxy |
|---|---|---|---|
"""


def store_page(table: StoreTable) -> str:
    """Return the text of docs/stores.md.

    Args:
        table: The table of stores.
    """
    deployed = [store for store in table.stores.values() if store.deployed]
    external = [store for store in table.stores.values() if not store.deployed]
    refused = "".join(
        f"| {store.title} | {', '.join(f'`{word}`' for word in (store.name, *store.also))} "
        f"| {store.reason} | {store.s3proxy} |\n"
        for store in table.refused.values()
    )
    return (
        "\n".join(
            [
                _INTRO,
                "## Run by this project\n",
                _table("object_store_provider", deployed),
                f"## Presets of `{EXTERNAL}`\n",
                _table("object_store_preset", external),
                _COLUMNS,
                _SPOKEN,
                _client_table([*deployed, *external]),
                _REFUSED + refused,
            ]
        ).rstrip("\n")
        + "\n"
    )


def _table(variable: str, stores: list[Store]) -> str:
    rows = [
        f"| `{variable}` | Store | versions | access | keys | trace | proof | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| `{store.name}` | {store.title} | {'yes' if store.versions else '**no**'} | {store.access} | {_keys(store)} "
        f"| {store.events} | {store.proof} | {store.note} |"
        for store in stores
    ]
    return "\n".join(rows) + "\n"


def _keys(store: Store) -> str:
    if store.access == "none":
        return "yours"
    return "chosen" if store.chosen_keys else "minted"


def _client_table(stores: list[Store]) -> str:
    rows = [
        "| Name | Endpoint | Region | Which region is right | Addressing | Checksums |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| `{store.name}` | `{store.endpoint}` | {f'`{store.region}`' if store.region else 'must be given'} "
        f"| {store.region_rule} | {store.addressing} | {store.checksums} |"
        for store in stores
    ]
    return "\n".join(rows) + "\n"
