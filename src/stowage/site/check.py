"""All checks on a site's inventory, as one pure function: everything wrong is found at once."""

from __future__ import annotations

from stowage.site.check_access import READ as READ_OF_ACCESS
from stowage.site.check_access import check_access
from stowage.site.check_amounts import AMOUNTS, check_amounts
from stowage.site.check_app import READ as READ_OF_APP
from stowage.site.check_app import check_qatlasd, check_services
from stowage.site.check_edges import check_edges
from stowage.site.check_folder import DESTINATIONS, check_folder
from stowage.site.check_names import check_files, check_names, check_placeholders, check_together, check_unresolved
from stowage.site.check_readers import READ as READ_OF_READERS
from stowage.site.check_readers import check_readers
from stowage.site.check_secrets import check_secrets
from stowage.site.check_storages import check_admin_key, check_storages
from stowage.site.check_store import (
    ADDRESSES,
    check_addresses,
    check_buckets,
    check_driver,
    check_endpoints,
    check_groups,
    check_provider,
)
from stowage.site.check_values import READ as READ_OF_VALUES
from stowage.site.check_values import check_host_suffixes, check_role_rules, check_values
from stowage.site.model import Problem, Rules, Site

CHECKS = (
    check_folder,
    check_groups,
    check_placeholders,
    check_secrets,
    check_readers,
    check_provider,
    check_driver,
    check_endpoints,
    check_addresses,
    check_buckets,
    check_edges,
    check_services,
    check_access,
    check_qatlasd,
    check_storages,
    check_admin_key,
    check_host_suffixes,
    check_values,
    check_amounts,
    check_role_rules,
    check_files,
    check_together,
    check_names,
    check_unresolved,
)

READ = frozenset(
    {
        "object_store_provider",
        "object_store_preset",
        "object_store_driver",
        "object_store_endpoint",
        "object_store_buckets",
        "edge_name",
        "edge_site_host",
        "edge_s3_public_endpoint",
        "edge_tls",
        "edge_tls_cert",
        "edge_tls_key",
        "filator_storages",
    }
)
"""Variables that the checks read whatever the rules say; the caller must work their values out."""


def read_names(rules: Rules) -> frozenset[str]:
    """Return every variable whose value the checks read."""
    return (
        READ
        | READ_OF_APP
        | READ_OF_VALUES
        | AMOUNTS.keys()
        | set(ADDRESSES)
        | set(DESTINATIONS)
        | READ_OF_READERS
        | READ_OF_ACCESS
        | {name for name in rules.known if name.endswith("_endpoint")}
        | {name for group in rules.together for name in group}
        | {name for secret in rules.secrets for name in (secret.name, *secret.used_by)}
        | {secret.only_if for secret in rules.secrets if secret.only_if}
    )


def check_site(site: Site, rules: Rules) -> list[Problem]:
    """Find everything that is wrong with an inventory.

    Args:
        site: Groups and values of the inventory.
        rules: Known names, secrets and what belongs together.

    Returns:
        The problems in the order of the checks, each once; empty when the site may be deployed.
    """
    return list(dict.fromkeys(problem for check in CHECKS for problem in check(site, rules)))
