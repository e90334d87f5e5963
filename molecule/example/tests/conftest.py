"""The filled example with some variables changed, and everything that its roles would place, rendered."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FILLED = ROOT / ".lab" / "molecule" / "example" / "inventories"
ROLES = {
    "nas": lambda host: [host["object_store_provider"]],
    "db": lambda host: ["postgresql", "redis"],
    "app": lambda host: host["app_services"],
    "edge": lambda host: [host["edge_proxy"]],
}
SHARED = {"caddy": ["caddy/Caddyfile.j2"], "nginx": ["nginx/nginx.conf.j2"]}


def ansible(name, *arguments, folder, **environment):
    return subprocess.run(
        [Path(sys.executable).with_name(name), *arguments],
        cwd=ROOT,
        env=os.environ
        | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.timer"}
        | {"ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folder / "facts")}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )


class Site:
    """A copy of the filled example with variables of its own."""

    def __init__(self, folder, variables):
        self.folder = folder
        self.inventory = folder / "inventories" / "mine"
        shutil.copytree(FILLED, folder / "inventories", symlinks=True)
        # Read after site.yml, so it wins.
        (self.inventory / "group_vars" / "all" / "variant.yml").write_text(yaml.safe_dump(variables))

    def run(self, name, *arguments, **environment):
        return ansible(name, *arguments, "-i", str(self.inventory), folder=self.folder, **environment)

    def secrets(self):
        """Names and values of the vault."""
        shown = ansible("ansible-vault", "view", str(self.inventory / "group_vars/all/vault.yml"), folder=self.folder)
        assert shown.returncode == 0, shown.stderr
        return yaml.safe_load(shown.stdout)

    def preflight(self):
        """Secrets that the variant needs besides, then what preflight says without the hosts."""
        made = self.run("ansible-playbook", "playbooks/ops/secrets_init.yml")
        assert made.returncode == 0, made.stdout + made.stderr
        return self.run("ansible-playbook", "playbooks/preflight.yml", "--limit", "localhost")

    def render(self):
        """Render each template of each role on each host with the values that the site gives; returns the folder."""
        plays = []
        listed = json.loads(self.run("ansible-inventory", "--list").stdout)
        out = self.folder / "rendered"
        for group, roles in ROLES.items():
            for host in listed[group]["hosts"]:
                names = set(listed["_meta"]["hostvars"][host])
                values = listed["_meta"]["hostvars"][host]
                known = {"app_services": values["app_services"], "edge_proxy": values["edge_proxy"]}
                known["object_store_provider"] = values["object_store_provider"]
                plays += [self._play(host, role, names, out / host / role) for role in roles(known)]
        book = self.folder / "render.yml"
        book.write_text(yaml.safe_dump(plays))
        done = self.run("ansible-playbook", str(book))
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
        return out

    def _play(self, host, role, given, out):
        """Defaults count only where the inventory says nothing; a file of them would win over it."""
        defaults = _load(ROOT / "roles" / role / "defaults" / "main.yml")
        fallback = self.folder / f"{host}-{role}.yml"
        fallback.write_text(yaml.safe_dump({name: value for name, value in defaults.items() if name not in given}))
        files = [str(fallback)]
        if (extra := ROOT / "roles" / role / "vars" / "main.yml").is_file():
            files.append(str(extra))
        own = sorted((ROOT / "roles" / role / "templates").rglob("*.j2"))
        shared = [ROOT / "templates" / name for name in SHARED.get(role, [])]
        out.mkdir(parents=True)
        tasks = [
            {
                "name": f"{host} {role} {path.name}",
                "ansible.builtin.template": {"src": str(path), "dest": str(out / path.name.removesuffix(".j2"))},
                "vars": {"role_path": str(ROOT / "roles" / role)},
            }
            for path in own + shared
        ]
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
        return {"hosts": host, "gather_facts": False, "vars": here, "vars_files": files, "tasks": tasks}


def _load(path):
    return yaml.safe_load(path.read_text()) if path.is_file() else {}


@pytest.fixture(scope="session")
def variant(tmp_path_factory):
    """Makes a copy of the filled example with variables of its own."""
    if not FILLED.is_dir():
        pytest.skip("needs the filled example: molecule converge -s example")
    return lambda **variables: Site(tmp_path_factory.mktemp("site"), variables)
