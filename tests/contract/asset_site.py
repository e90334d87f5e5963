"""A site with five asset buckets, whose access `bench/access.py` times and test_play.py looks at."""

from __future__ import annotations

from pathlib import Path

from servers import Server
from site_play import Site

PLAYBOOKS = ("access", "notify")
ASSETS = [f"qatlas-{kind}" for kind in ("raw", "pdf", "md", "images", "openalex")]
EVENTS = "qatlas-s3-events"
ARN = "arn:rustfs:sqs::qatlas:webhook"
POLICIES = {
    "qatlas-assets-rw": ("assets-rw", ASSETS),
    "qatlas-s3-events-rw": ("events-rw", [EVENTS]),
    "qatlas-s3-events-ro": ("events-ro", [EVENTS]),
}
USERS = {
    "qatlasd": ["qatlas-assets-rw", "qatlas-s3-events-ro"],
    "qatlas-s3-events-writer": ["qatlas-s3-events-rw"],
    "qatlas-auditor": ["qatlas-s3-events-ro"],
}
WITH_KEYS = ["qatlasd", "qatlas-s3-events-writer"]
CHANGES = 5
"""Tasks that have something to do on an empty server: buckets, policies, users, keys, bindings."""


def asset_site(folder: Path, server: Server) -> Site:
    """Its inventory. The buckets are bound though there is no sink of this site: the server has a target already."""
    bindings = [{"arn": ARN, "events": ["put", "delete"]}]
    vault = {user: f"vault_{user.replace('-', '_')}_s3_" for user in WITH_KEYS}
    return Site(
        folder,
        server,
        object_store_buckets=[*({"name": one, "versioning": "enabled"} for one in ASSETS), {"name": EVENTS}],
        object_store_policies=[
            {"name": name, "template": template, "buckets": buckets} for name, (template, buckets) in POLICIES.items()
        ],
        object_store_users=[{"name": name, "policies": policies} for name, policies in USERS.items()],
        object_store_keys=[
            {"user": user, "vault_access_key": f"{name}access_key", "vault_secret_key": f"{name}secret_key"}
            for user, name in vault.items()
        ],
        object_store_sink_buckets=[EVENTS],
        object_store_notifications=[{"name": one, "bindings": bindings} for one in ASSETS],
    )
