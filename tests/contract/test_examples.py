"""The examples on the modules' pages are run as they stand, with only address, keys and vault values filled in."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from modules import ROOT, load, run
from servers import Server

from stowage.s3.connection import s3_client

# In the order in which a site would run them: the later ones stand on the earlier.
MODULES = [
    "s3_bucket",
    "s3_bucket_info",
    "s3_policy",
    "s3_policy_info",
    "s3_user",
    "s3_access_key",
    "s3_access_key_info",
    "s3_notification",
    "s3_server_info",
]


@pytest.fixture(scope="module", autouse=True)
def _lookups() -> None:
    """Lookup plugins are found only after this, which ansible's programs do at their start."""
    with contextlib.suppress(Exception):  # another test file did it
        init_plugin_loader()


def trusted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: trusted(one) for key, one in value.items()}
    if isinstance(value, list):
        return [trusted(one) for one in value]
    return trust_as_template(value) if isinstance(value, str) else value


def filled_in(task: dict[str, Any], server: Server, variables: dict[str, str]) -> dict[str, Any]:
    loader = DataLoader()
    loader.set_basedir(str(ROOT / "templates"))
    made: dict[str, Any] = Templar(loader=loader, variables=variables).template(trusted(task))
    return {**made, "endpoint": server.settings.endpoint, "driver": server.driver}


@pytest.mark.parametrize("name", ["double", "rustfs"])
def test_the_examples_run_and_run_again_without_a_change(name: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(name)
    variables: dict[str, Any] = {
        "object_store_root_access_key": server.settings.access_key,
        "object_store_root_secret_key": server.settings.secret_key,
        "policy_buckets": ["qatlas-raw"],
    }
    client = s3_client(server.settings)
    client.create_bucket(Bucket="qatlas-scratch")
    root = {"access_key": server.settings.access_key, "secret_key": server.settings.secret_key}
    for policy in ("qatlas-s3-events-ro", "qatlas-s3-events-rw"):
        document = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::*"}],
        }
        common = {"endpoint": server.settings.endpoint, "driver": server.driver, **root}
        run("s3_policy", {**common, "name": policy, "document": document})
    # Another test on the same server may have made this user with a key of its own.
    common = {"endpoint": server.settings.endpoint, "driver": server.driver, **root}
    run("s3_user", {**common, "name": "qatlasd", "state": "absent"})
    for module in MODULES:
        for task in yaml.safe_load(load(module).EXAMPLES):
            if "AKIAIOSFODNN7EXAMPLE" in str(task):
                continue  # a key that exists on nobody's server
            answer = run(module, filled_in(task[module], server, variables))
            for made in answer.get("results", []):
                if made.get("credentials") and "rotated" not in task.get("register", ""):
                    variables["vault_qatlasd_access_key_id"] = made["credentials"]["access_key_id"]
                    variables["vault_qatlasd_secret_access_key"] = made["credentials"]["secret_access_key"]
            if task.get("register") == "rotated":
                continue  # its second run needs the pair it returned
            again = run(module, filled_in(task[module], server, variables))
            assert not again["changed"], f"{module}: {task['name']}"
    assert variables["vault_qatlasd_access_key_id"].startswith("SK")
