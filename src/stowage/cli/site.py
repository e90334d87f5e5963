"""Endpoint, key and bucket from the inventory of a site, worked out by Ansible itself."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stowage import errors
from stowage.s3.connection import S3Settings

# Which of the site's keys a command takes: the one that may do no more than it needs.
_KEY_OF = {"prune": "prune", "versions": "prune", "restore": "restore"}
_QUESTION = """
{%- set storage = (filator_storages | default([]) | selectattr('type', 'eq', 's3') | first) | default({}) -%}
{{ 'STOWAGE:' ~ ({
  'endpoint': object_store_endpoint,
  'region': object_store_region | default('us-east-1'),
  'ca_bundle': object_store_ca_bundle | default(''),
  'public_endpoint': storage.public_endpoint | default(''),
  'prune': [prune_bucket | default(''), prune_access_key | default(''), prune_secret_key | default('')],
  'restore': [restore_bucket | default(''), restore_access_key | default(''), restore_secret_key | default('')],
  'service': [storage.bucket | default(''), storage.access_key | default(''), storage.secret_key | default('')],
} | to_json | b64encode) ~ ':' }}
"""
_ANSWER = re.compile(r"STOWAGE:([A-Za-z0-9+/=]+):")


def site_place(inventory: Path, command: str, *, bucket: str | None, verify: bool) -> tuple[S3Settings, str, str]:
    """Where a site's store is, and as whom to go there.

    Args:
        inventory: The folder or file that ``-i`` takes.
        command: The command that asks; ``prune`` gets the pruner's key, ``restore`` the restorer's.
        bucket: Another bucket than the site's.
        verify: ``False`` accepts any certificate.

    Returns:
        Settings, bucket and public endpoint.

    Raises:
        BadInputError: There is no such inventory, its vault can not be opened, or it has no such key.
    """
    told = _asked(inventory)
    role = _KEY_OF.get(command, "service")
    named, access_key, secret_key = told[role]
    if not (access_key and secret_key):
        raise errors.BadInputError(
            f"site {inventory} has no key for {role}",
            f"ansible-playbook -i {inventory} playbooks/access.yml makes the keys",
        )
    settings = S3Settings(
        endpoint=told["endpoint"],
        access_key=access_key,
        secret_key=secret_key,
        region=told["region"],
        ca_bundle=told["ca_bundle"] or None,
        verify=verify,
    )
    if not (bucket or named):
        raise errors.BadInputError(f"site {inventory} names no bucket for {role}", "add --bucket NAME")
    return settings, bucket or named, told["public_endpoint"]


def _asked(inventory: Path) -> Mapping[str, Any]:
    if not inventory.exists():
        raise errors.BadInputError(f"no inventory {inventory}", "give what ansible-playbook takes after -i")
    beside = Path(sys.executable).with_name("ansible")
    program = str(beside) if beside.exists() else shutil.which("ansible")
    if not program:
        raise errors.BadInputError("--site needs Ansible, which is not installed here", "scripts/setup")
    # The checkout's ansible.cfg says where the vault password is; nothing of the answer may reach a log.
    whole = inventory.absolute()
    home = next((folder for folder in whole.parents if (folder / "ansible.cfg").is_file()), None)
    environment = os.environ | {"ANSIBLE_LOG_PATH": os.devnull, "ANSIBLE_NOCOLOR": "1"}
    arguments = ["app[0]", "-i", str(whole), "-m", "ansible.builtin.debug", "-a", json.dumps({"msg": _QUESTION})]
    done = subprocess.run(  # noqa: S603 - Ansible itself, no shell
        [program, *arguments], cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    found = _ANSWER.search(done.stdout)
    if done.returncode or not found:
        raise _refusal(inventory, f"{done.stderr}\n{done.stdout}")
    answer: dict[str, Any] = json.loads(base64.b64decode(found.group(1)))
    return answer


def _refusal(inventory: Path, said: str) -> errors.BadInputError:
    """One line for what Ansible says in many; its words about a vault hold no secret."""
    if re.search(r"vault (secret|password)|decrypt", said, re.IGNORECASE):
        return errors.BadInputError(
            f"the vault of {inventory} can not be opened: the password is missing or another one",
            "put it into .vault-password, or name its file with STOWAGE_VAULT_PASSWORD_FILE",
        )
    wrong = [
        line for line in said.splitlines() if re.search(r"error|fatal|undefined|could not|failed", line, re.IGNORECASE)
    ]
    reason = re.sub(r"STOWAGE:\S*", "", wrong[0]) if wrong else "group app has no host"
    return errors.BadInputError(
        f"site {inventory} can not be read: {reason.strip()[:300]}",
        f"ansible-playbook -i {inventory} playbooks/preflight.yml names everything that is wrong",
    )
