"""Real ansible-playbook runs on a copy of an inventory. No host is needed: ssh is a double that notes each call."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from example_site import REPOSITORY

FILLED = {
    "CHANGE_ME_nas_address": "10.9.0.1",
    "CHANGE_ME_vps_address": "10.9.0.2",
    "CHANGE_ME_north_address": "10.9.0.3",
    "CHANGE_ME_south_address": "10.9.0.4",
    "CHANGE_ME": "admin",
    "example.invalid": "example.org",
}
PASSWORD = "a vault password of the tests"


@dataclass
class Play:
    """A copy of an inventory in a folder of its own, and the environment to run playbooks on it."""

    folder: Path
    inventory: Path

    @classmethod
    def of(cls, name: str, folder: Path) -> Play:
        """Copy ``inventories/NAME`` with the wiring that it links to."""
        inventory = folder / "inventories" / name
        # A lab that is up has a vault there, which another password opens.
        left_out = shutil.ignore_patterns("vault.yml")
        shutil.copytree(REPOSITORY / "inventories" / name, inventory, symlinks=True, ignore=left_out)
        shutil.copy(REPOSITORY / "inventories" / "wiring.yml", folder / "inventories")
        (folder / "password").write_text(PASSWORD)
        ssh = folder / "ssh"
        ssh.write_text(f"#!/bin/sh\necho called >> {folder}/ssh_calls\nexit 255\n")
        ssh.chmod(0o755)
        return cls(folder, inventory)

    def fill(self) -> Play:
        """Put values in the place of all placeholders."""
        for path in self.inventory.rglob("*.yml"):
            if not path.is_symlink():
                text = path.read_text()
                for placeholder, value in FILLED.items():
                    text = text.replace(placeholder, value)
                path.write_text(text)
        return self

    def set(self, file: str, **values: object) -> Play:
        """Set variables in a file under the inventory; ``None`` takes one away."""
        path = self.inventory / file
        data = {**(yaml.safe_load(path.read_text()) if path.exists() else {}), **values}
        path.write_text(yaml.safe_dump({name: value for name, value in data.items() if value is not None}))
        return self

    @property
    def vault(self) -> Path:
        """The vault file."""
        return self.inventory / "group_vars" / "all" / "vault.yml"

    @property
    def hosts_were_called(self) -> bool:
        """Whether Ansible tried to reach a host."""
        return (self.folder / "ssh_calls").exists()

    def run(self, playbook: Path | str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook, by its path from the repository's root; the output holds both streams."""
        return self.command("ansible-playbook", str(playbook), "-i", str(self.inventory), *arguments, **environment)

    def command(self, name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one of Ansible's commands in the repository."""
        return subprocess.run(
            [str(Path(sys.executable).with_name(name)), *arguments],
            cwd=REPOSITORY,
            env=os.environ
            | {
                "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
                "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.folder / "facts"),
                "ANSIBLE_HOME": str(self.folder / "home"),
                "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.timer",
                "ANSIBLE_SSH_EXECUTABLE": str(self.folder / "ssh"),
                "ANSIBLE_NOCOLOR": "1",
                "STOWAGE_VAULT_PASSWORD_FILE": str(self.folder / "password"),
            }
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )

    def secrets(self) -> dict[str, str]:
        """Return the vault's content in the clear."""
        shown = self.command("ansible-vault", "view", str(self.vault))
        assert shown.returncode == 0, shown.stdout
        return yaml.safe_load(shown.stdout)
