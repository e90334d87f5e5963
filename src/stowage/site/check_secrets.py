"""Checks on secrets: there, long enough, and not left as they came."""

from __future__ import annotations

from typing import Any, Literal

from stowage.site.check_store import GROUPS, selected_store
from stowage.site.model import SECRETS_INIT, Problem, Rules, Secret, Site, holds_stand_in
from stowage.site.stores import Store

DEFAULT_SERVICES = ("filator",)
"""What an app host runs when ``app_services`` is not set."""
Source = Literal["generated", "store", "operator"]


def secret_source(secret: Secret, store: Store | None) -> Source:
    """Say who makes a secret at this store.

    Args:
        secret: The secret.
        store: The store the site selects; ``None`` when the choice is wrong.

    Returns:
        ``generated`` by secrets_init, minted by the ``store`` in access.yml (SeaweedFS and AWS IAM choose the secret
        of a new key themselves), or given by the ``operator``.
    """
    if not secret.at_store or store is None:
        return "generated"
    if secret.at_store == "admin":
        return "generated" if store.deployed else "operator"
    if store.chosen_keys:
        return "generated"
    return "operator" if store.access == "none" else "store"


def is_on(value: Any) -> bool:
    """Say whether Ansible's filter ``bool`` takes the value of a switch for true; ``-e`` hands over strings."""
    return str(value).lower() in ("true", "yes", "on", "1")


def needed_on(site: Site, secret: Secret) -> list[str]:
    """Return the hosts that need the secret.

    Which keys of the store are needed is known only once the store is; an admin key is of no use at a store without
    an access driver.
    """
    hosts = [secret.host] if secret.host else site.members(*(secret.groups or GROUPS))
    if secret.service:
        hosts = [host for host in hosts if secret.service in (site.value(host, "app_services") or DEFAULT_SERVICES)]
    if secret.only_if:
        hosts = [host for host in hosts if is_on(site.value(host, secret.only_if))]
    if not secret.at_store:
        return hosts
    stores = {host: store for host in hosts if (store := selected_store(site, host))}
    return [host for host, store in stores.items() if secret.at_store == "service" or store.access != "none"]


def lacks(site: Site, host: str, secret: Secret) -> bool:
    """Say whether ``host`` has neither the secret nor other values for all variables that it feeds."""
    own = site.value(host, secret.name)
    if own and not holds_stand_in(own, secret.name):
        return False
    fed = [name for name in secret.used_by if site.has(host, name)]
    if not fed:
        return True
    return any(not site.value(host, name) or holds_stand_in(site.value(host, name), secret.name) for name in fed)


def missing_secrets(site: Site, rules: Rules) -> list[tuple[Secret, Source]]:
    """Return the secrets that some host needs and lacks, with who makes each."""
    found = []
    for secret in rules.secrets:
        hosts = needed_on(site, secret)
        if any(lacks(site, host, secret) for host in hosts):
            found.append((secret, secret_source(secret, selected_store(site, hosts[0]))))
    return found


def check_secrets(site: Site, rules: Rules) -> list[Problem]:
    """Every secret that is needed before the store runs is there and long enough."""
    problems = []
    for secret, source in missing_secrets(site, rules):
        if source == "store":
            continue  # playbooks/access.yml stores it once the store has minted it
        mend = SECRETS_INIT.format(inventory=site.inventory)
        right = f"{secret.length} random characters in group_vars/all/vault.yml"
        if source == "operator":
            right = f"the {secret.kind.replace('_', ' ')} that you made in the provider's console"
            mend = f"ansible-vault edit {site.inventory_dir()}/group_vars/all/vault.yml"
        empty = [host for host in needed_on(site, secret) if site.has(host, secret.name)]
        state = "empty" if empty and not holds_stand_in(site.value(empty[0], secret.name), secret.name) else "not set"
        what = f"secret {secret.name} is {state}"
        problems.append(
            Problem(where=site.where(empty, secret.name) or site.inventory, what=what, right=right, mend=mend)
        )
    return problems + _too_short(site, rules)


def _too_short(site: Site, rules: Rules) -> list[Problem]:
    problems = []
    for secret in rules.secrets:
        for value, users in site.by_value(needed_on(site, secret), secret.name):
            text = str(value or "")
            if text and not holds_stand_in(text, secret.name) and len(text) < secret.min_length:
                problems.append(
                    Problem(
                        where=site.where(users, secret.name),
                        what=f"secret {secret.name} has {len(text)} characters",
                        right=f"at least {secret.min_length}",
                        mend=f"{SECRETS_INIT.format(inventory=site.inventory)} -e replace={secret.name}",
                    )
                )
    return problems
