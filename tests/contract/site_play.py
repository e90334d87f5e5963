"""A site of the real wiring whose store is a server of the tests, and the real playbooks run on it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from servers import Server, program

ROOT = Path(__file__).parents[2]
GROUPS = {"nas": ["nas1"], "db": ["vps1"], "app": ["vps1"], "edge": ["north.edge"]}
EDGE = {
    "edge_name": "north",
    "edge_site_host": "files.example.org",
    "edge_s3_public_endpoint": "https://s3.example.org",
    "edge_tls": "acme",
}


class Site:
    """An inventory in a folder. Its hosts are names only: the plays on the store run on the controller.

    Args:
        folder: For the inventory, its vault and the vault's password.
        server: The store.
        groups: Hosts by group; those of ``edge`` get what an edge must say.
        variables: Of the site; win over the wiring and over what is said here.
    """

    def __init__(
        self, folder: Path, server: Server, groups: Mapping[str, Sequence[str]] = GROUPS, **variables: object
    ) -> None:
        self.server = server
        self.inventory = folder / "site"
        self.vault_file = self.inventory / "group_vars" / "all" / "vault.yml"
        self._folder = folder
        everywhere = self.vault_file.parent
        everywhere.mkdir(parents=True)
        (folder / "password").write_text("a vault password of the tests")
        (everywhere / "00-wiring.yml").symlink_to(ROOT / "inventories" / "wiring.yml")
        values = {
            "object_store_provider": {"iam": "seaweedfs"}.get(server.driver, server.driver),
            "object_store_driver": server.driver,
            "object_store_endpoint": server.settings.endpoint,
            "object_store_root_access_key": server.settings.access_key,
            "object_store_root_secret_key": server.settings.secret_key,
            "object_store_trace": False,
            **variables,
        }
        (everywhere / "site.yml").write_text(yaml.safe_dump(values))
        children = {
            name: {"hosts": dict.fromkeys(hosts, EDGE if name == "edge" else None)} for name, hosts in groups.items()
        }
        everything = {"hosts": {"localhost": {"ansible_connection": "local"}}, "children": children}
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump({"all": everything}, sort_keys=False))

    @property
    def environment(self) -> dict[str, str]:
        """For Ansible's commands: nothing of this site is kept in the checkout."""
        return {
            **os.environ,
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self._folder / "facts"),
            "STOWAGE_VAULT_PASSWORD_FILE": str(self._folder / "password"),
            "NO_COLOR": "1",
        }

    def playing(self, playbooks: Sequence[str], *arguments: str) -> list[str]:
        """The command that runs these of ``playbooks/``, in one go."""
        files = [f"playbooks/{name}.yml" for name in playbooks]
        return [program("ansible-playbook"), *files, "-i", str(self.inventory), *arguments]

    def play(self, playbooks: Sequence[str], *arguments: str) -> str:
        """Run these of ``playbooks/``; returns what was printed."""
        return self._run(self.playing(playbooks, *arguments))

    def failing(self, playbooks: Sequence[str], *arguments: str) -> str:
        """Run these of ``playbooks/``, which must fail; returns what was printed, its lines joined."""
        return " ".join(self._run(self.playing(playbooks, *arguments), fails=True).split())

    def vault(self) -> dict[str, str]:
        """What the vault holds, in the clear."""
        found: dict[str, str] = yaml.safe_load(self._run([program("ansible-vault"), "view", str(self.vault_file)]))
        return found

    def asked(self, host: str, expression: str) -> str:
        """What an expression is for a host."""
        options = ["-i", str(self.inventory), "-e", "ansible_connection=local"]
        said = self._run([program("ansible"), host, *options, "-m", "debug", "-a", f"msg={{{{ {expression} }}}}"])
        return said.split("msg:")[1].split()[0].strip('"}')

    def _run(self, command: Sequence[str], *, fails: bool = False) -> str:
        ran = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert (ran.returncode != 0) is fails, ran.stdout
        return ran.stdout


def changed(printed: str) -> int:
    """How many tasks changed something on the controller. Each playbook ends in a recap, which counts those before."""
    return int(re.findall(r"^localhost\s+:.*?\bchanged=(\d+)", printed, re.MULTILINE)[-1])
