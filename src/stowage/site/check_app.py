"""Checks on the app hosts: which programs they run, and whether qatlasd has what it needs."""

from __future__ import annotations

import re

from stowage.site.model import Problem, Rules, Site
from stowage.site.names import nearest

PROGRAMS = ("filator", "qatlasd")
LAYOUTS = {
    "single": ("qatlasd_s3_bucket",),
    "per_kind": ("qatlasd_s3_bucket_images", "qatlasd_s3_bucket_md", "qatlasd_s3_bucket_pdf"),
}
"""Bucket variables of each layout; the program refuses to start with those of the other."""
_KEY = ("qatlasd_s3_access_key_id", "qatlasd_s3_endpoint", "qatlasd_s3_secret_access_key")
SOURCE = ("qatlasd_binary_url", "qatlasd_binary_file")
CHOICES = {
    "edge_access": ("tokens", "open"),
    "edge_keys": ("per_edge", "shared"),
    "edge_app": ("own", "vps"),
    "edge_proxy": ("caddy", "nginx"),
    "filator_private_access": ("open", "tokens", ""),
}
READ = frozenset(
    {"app_services", "qatlasd_s3_layout", "qatlasd_binary_checksum", *SOURCE, *_KEY, *CHOICES}
    | {name for names in LAYOUTS.values() for name in names}
)


def check_services(site: Site, _rules: Rules) -> list[Problem]:
    """Each app host runs programs that there are, and each choice about edges is one that there is."""
    problems = []
    name = "app_services"
    for value, users in site.by_value(site.members("app"), name):
        words = value if isinstance(value, list) else [value]
        for word in [word for word in words if word not in PROGRAMS]:
            guess = nearest(str(word), PROGRAMS)
            right = f"{guess} (nearest), or " if guess else ""
            problems.append(
                Problem(
                    where=site.where(users, name),
                    what=f'{name}: unknown program "{word}"',
                    right=f"{right}a list of {' and '.join(PROGRAMS)}",
                    mend=site.edit(users, name),
                )
            )
        if isinstance(value, str) and value in PROGRAMS:
            what, right = f"{name} is a word, not a list", f"{name}: [{value}]"
            problems.append(Problem(site.where(users, name), what, right, site.edit(users, name)))
    for choice, allowed in CHOICES.items():
        for value, users in site.by_value(site.members("app", "edge"), choice):
            if value not in allowed:
                what, right = f'unknown {choice} "{value}"', " or ".join(allowed)
                problems.append(Problem(site.where(users, choice), what, right, site.edit(users, choice)))
    return problems


def check_qatlasd(site: Site, _rules: Rules) -> list[Problem]:
    """Where qatlasd runs, its store is set as a whole or not at all, its key is its own, and its program is named."""
    hosts = [host for host in site.members("app") if "qatlasd" in (site.value(host, "app_services") or ())]
    return [
        problem
        for host in hosts
        for problem in (
            *_half_set(site, host),
            *_other_layout(site, host),
            *_root_key(site, host),
            *_source(site, host),
        )
    ]


def _layout(site: Site, host: str) -> str:
    layout = str(site.value(host, "qatlasd_s3_layout") or "per_kind")
    return layout if layout in LAYOUTS else "per_kind"


def _half_set(site: Site, host: str) -> list[Problem]:
    group = sorted({*_KEY, *LAYOUTS[_layout(site, host)]})
    # What cannot be worked out is told by another check; it is not unset.
    there = [name for name in group if site.value(host, name) or name in site.failures.get(host, {})]
    missing = [name for name in group if name not in there]
    if not there or not missing:
        return []
    place = missing[0] if site.origins.get(host, {}).get(missing[0]) else there[0]
    return [
        Problem(
            where=site.where([host], place),
            what=f"the store of qatlasd on {host} is half set: {', '.join(there)} without {', '.join(missing)}",
            right="all of them, or none for a local folder",
            mend=site.edit([host], place),
        )
    ]


def _other_layout(site: Site, host: str) -> list[Problem]:
    layout = _layout(site, host)
    other = next(name for name in LAYOUTS if name != layout)
    return [
        Problem(
            where=site.where([host], name),
            what=f"{name} is set on {host}, which belongs to qatlasd_s3_layout {other}: the program would not start",
            right=f"left out with qatlasd_s3_layout {layout}",
            mend=site.edit([host], name),
        )
        for name in LAYOUTS[other]
        if site.value(host, name)
    ]


def _root_key(site: Site, host: str) -> list[Problem]:
    """Whoever takes the admin key from this host could delete buckets and make users; neither value is shown."""
    pairs = {
        "qatlasd_s3_access_key_id": "object_store_root_access_key",
        "qatlasd_s3_secret_access_key": "object_store_root_secret_key",
    }
    return [
        Problem(
            where=site.where([host], name),
            what=f"{name} of {host} is the store's admin key",
            right="a key of its own with a policy of its own (object_store_keys)",
            mend=site.edit([host], name),
        )
        for name, admin in pairs.items()
        if site.value(host, name) and site.value(host, name) == site.value(host, admin)
    ]


def _source(site: Site, host: str) -> list[Problem]:
    named = [name for name in SOURCE if site.value(host, name)]
    checksum = str(site.value(host, "qatlasd_binary_checksum") or "")
    if len(named) == 1 and (named[0] == "qatlasd_binary_file" or re.match(r"^sha256:[0-9a-fA-F]{64}$", checksum)):
        return []
    name = named[0] if named else SOURCE[0]
    what = {0: "no program is named for qatlasd", 1: "qatlasd_binary_url has no qatlasd_binary_checksum"}.get(
        len(named), "qatlasd_binary_url and qatlasd_binary_file are both set"
    )
    right = "qatlasd_binary_url with qatlasd_binary_checksum sha256:HEX, or qatlasd_binary_file with a path"
    return [Problem(site.where([host], name), f"{what} on {host}", right, site.edit([host], name))]
