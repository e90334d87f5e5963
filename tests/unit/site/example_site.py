"""A site with which nothing is wrong, as plain data."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[3]
COMMON = {
    "object_store_provider": "seaweedfs",
    "object_store_endpoint": "http://10.0.0.1:9000",
    "object_store_root_access_key": "A" * 20,
    "object_store_root_secret_key": "B" * 40,
    "object_store_buckets": [{"name": "filator", "versioning": "enabled"}],
    "vault_object_store_root_access_key": "A" * 20,
    "vault_object_store_root_secret_key": "B" * 40,
    "vault_postgresql_filator_password": "C" * 32,
    "vault_redis_filator_password": "D" * 32,
    "vault_filator_s3_access_key": "E" * 20,
    "vault_filator_s3_secret_key": "F" * 40,
    "object_store_trace": False,
    "edge_access": "tokens",
    "filator_tokens": [{"name": "verify", "token": "K" * 40, "scopes": ["admin"]}],
    # The helpers' keys, as a store that chooses them left them in the vault.
    "vault_pruner_s3_access_key": "G" * 20,
    "vault_pruner_s3_secret_key": "H" * 40,
    "vault_restorer_s3_access_key": "I" * 20,
    "vault_restorer_s3_secret_key": "J" * 40,
    "filator_storages": [
        {
            "name": "main",
            "type": "s3",
            "endpoint": "http://10.0.0.1:9000",
            "access_key": "E" * 20,
            "secret_key": "F" * 40,
            "bucket": "filator",
        }
    ],
}
GROUPS = {"all": ["localhost", "nas1", "vps1", "north", "south"], "nas": ["nas1"], "db": ["vps1"], "app": ["vps1"]} | {
    "edge": ["north", "south"]
}
EDGES = {
    "north": {
        "edge_name": "north",
        "edge_site_host": "files.north.example.org",
        "edge_s3_public_endpoint": "https://s3.north.example.org",
        "edge_tls": "acme",
    },
    "south": {
        "edge_name": "south",
        "edge_site_host": "198.51.100.7",
        "edge_s3_public_endpoint": "https://198.51.100.7:9443",
        "edge_tls": "internal",
    },
}


def good_hosts() -> dict[str, dict[str, Any]]:
    """Variables of four hosts with which nothing is wrong."""
    return {host: copy.deepcopy(COMMON | EDGES.get(host, {})) for host in GROUPS["all"]}
