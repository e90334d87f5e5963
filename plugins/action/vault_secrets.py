# SPDX-License-Identifier: Apache-2.0
"""Add missing secrets to an Ansible Vault file. Documented in library/vault_secrets.py."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.vault import VaultLib, is_encrypted, match_encrypt_secret, parse_vaulttext_envelope
from ansible.plugins.action import ActionBase

from stowage.errors import BadInputError
from stowage.site.vault import KINDS, VaultPlan, generate_secret, plan_vault, stored_names

SPEC = {
    "path": {"type": "path", "required": True},
    "secrets": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "kind": {"type": "str", "choices": list(KINDS), "default": "password"},
            "length": {"type": "int", "default": 32},
        },
    },
    "values": {"type": "dict", "default": {}, "no_log": True},
    "replace": {"type": "list", "elements": "str", "default": []},
}


class ActionModule(ActionBase):
    """Runs in the controller's process: it needs the vault password that Ansible has loaded, and no host."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp=None, task_vars=None):
        """Return names only; a value never leaves this function except encrypted."""
        result = super().run(tmp, task_vars or {})
        _, args = self.validate_argument_spec(argument_spec=SPEC)
        path = Path(args["path"])
        try:
            with _locked(path.parent, write=not self._task.check_mode):
                plan, before = self._apply(path, args)
        except BadInputError as error:
            raise AnsibleActionFail(f"{path}: {error.message}; right: {error.hint}") from None
        except OSError as error:
            raise AnsibleActionFail(f"{path}: {error.strerror}; right: a file that this user may write") from None
        names = sorted({*before, *plan.added})
        result |= {
            "changed": plan.changed,
            "path": str(path),
            "added": list(plan.added),
            "replaced": list(plan.replaced),
            "kept": list(plan.kept),
            "diff": {
                "before_header": f"{path} (names only)",
                "after_header": f"{path} (names only)",
                "before": "".join(f"{name}\n" for name in sorted(before)),
                "after": "".join(f"{name}{' (new value)' if name in plan.replaced else ''}\n" for name in names),
            },
        }
        return result

    def _apply(self, path: Path, args: dict[str, Any]) -> tuple[VaultPlan, list[str]]:
        text, encrypt = self._open(path)
        present = stored_names(text)
        replace = set(args["replace"])
        wanted = {name: _text(name, value) for name, value in args["values"].items()}
        for secret in args["secrets"]:
            name = str(secret["name"])
            if name not in wanted:
                wanted[name] = generate_secret(secret["kind"], secret["length"])
        if unknown := sorted(replace - set(wanted)):
            raise BadInputError(f"replace names {', '.join(unknown)}, which is not asked for", hint="a name of secrets")
        plan = plan_vault(text, wanted, replace)
        if plan.changed and not self._task.check_mode:
            _write(path, encrypt(plan.text))
        return plan, [name for name, filled in present.items() if filled]

    def _open(self, path: Path):
        """Return the text in the clear and the function that encrypts its successor, with the same identity."""
        known = self._loader._vault.secrets or []
        if not known:
            raise BadInputError(
                "no vault password is loaded", hint="ansible-playbook ... --vault-password-file scripts/vault-password"
            )
        vault = VaultLib(known)
        data = path.read_bytes() if path.exists() else b""
        if is_encrypted(data):
            label = parse_vaulttext_envelope(data)[3]
            try:
                plain, _, secret = vault.decrypt_and_get_vault_id(data)
            except AnsibleError:
                raise BadInputError(
                    "is encrypted with another vault password", hint="the password file it was made with"
                ) from None
            label = None if label == constants.DEFAULT_VAULT_IDENTITY else label
            return plain.decode(), lambda text: vault.encrypt(text, secret, vault_id=label)
        label = constants.DEFAULT_VAULT_ENCRYPT_IDENTITY
        _, secret = match_encrypt_secret(known, encrypt_vault_id=label)
        return data.decode(), lambda text: vault.encrypt(text, secret, vault_id=label)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise BadInputError(f"the value given for {name} is empty or no text", hint="text")
    return str(value)


@contextmanager
def _locked(directory: Path, *, write: bool) -> Iterator[None]:
    """Hold the directory, so that two tasks adding to one file at once do not lose each other's names."""
    if write:
        directory.mkdir(parents=True, exist_ok=True)
    if not directory.is_dir():
        yield
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(path: Path, data: bytes) -> None:
    """Put the bytes in place in one step, readable by the owner only; a link keeps pointing to its file."""
    path = path.resolve()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(stat.S_IRUSR | stat.S_IWUSR)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
