"""What a key must be allowed and refused follows from its policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from hypothesis import given
from hypothesis import strategies as st

from stowage.access.expected import Ways, expected_rights
from stowage.access.policies import parsed
from stowage.access.probe import VERBS

TEMPLATES = Path(__file__).parents[3] / "templates" / "policies"
READ = {"HeadBucket", "ListObjectsV2", "GetBucketLocation", "GetObject"}
WHAT_EACH_MAY = {
    "assets-rw": READ
    | {"ListObjectVersions", "GetBucketVersioning", "PutBucketVersioning", "GetObjectVersion"}
    | {"PutObject", "DeleteObject", "DeleteObjectVersion"},
    "events-rw": READ | {"PutObject"},
    "events-ro": READ,
    "pruner": (READ - {"GetObject"})
    | {"ListObjectVersions", "GetBucketVersioning", "DeleteObject", "DeleteObjectVersion"},
    "restorer": READ | {"ListObjectVersions", "GetBucketVersioning", "GetObjectVersion", "PutObject", "DeleteObject"},
}


def document(template: str, *buckets: str) -> dict[str, Any]:
    text = (TEMPLATES / f"{template}.json.j2").read_text()
    variables = {"policy_buckets": list(buckets)}
    return parsed(str(Templar(loader=DataLoader(), variables=variables).template(trust_as_template(text))), template)


def policy(action: str, resource: str = "*", **more: object) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource, **more}]}


def table(*policies: dict[str, Any], versioned: bool = True, ways: Ways | None = None) -> dict[str, str]:
    return expected_rights(policies, "mine", ["third", "other"], versioned=versioned, ways=ways)


def test_every_policy_of_the_house_is_said_here() -> None:
    assert {one.name.removesuffix(".json.j2") for one in TEMPLATES.iterdir()} == set(WHAT_EACH_MAY)


@pytest.mark.parametrize("template", WHAT_EACH_MAY)
def test_a_policy_of_the_house_allows_its_work_and_no_other_verb(template: str) -> None:
    found = table(document(template, "mine", "second"))
    assert {verb for verb, wanted in found.items() if wanted == "allowed"} == WHAT_EACH_MAY[template]
    # All that the probe can do is tried; listing buckets shows what the key may see, which no policy of ours grants.
    assert set(found) == set(VERBS) - {"ListBuckets"}


@pytest.mark.parametrize("template", WHAT_EACH_MAY)
def test_no_verb_on_versions_is_tried_where_there_are_none(template: str) -> None:
    found = table(document(template, "mine"), versioned=False)
    assert not {"GetObjectVersion", "DeleteObjectVersion", "PutBucketVersioning"} & set(found)


def test_a_policy_for_all_buckets_shows_in_the_foreign_one() -> None:
    assert table(policy("s3:GetObject", "arn:aws:s3:::*"))["OtherBucketGetObject"] == "allowed"


def test_a_deny_wins() -> None:
    denied = {"Statement": {"Effect": "Deny", "Action": "s3:*", "Resource": ["arn:aws:s3:::mine/*"]}}
    assert table(policy("s3:GetObject"), denied)["GetObject"] == "refused"


def test_what_hangs_on_a_condition_is_left_out() -> None:
    when = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    assert "GetObject" not in table(policy("s3:GetObject", Condition=when))
    assert table(policy("s3:GetObject", Condition=when), policy("s3:GetObject"))["GetObject"] == "allowed"


@pytest.mark.parametrize("action", ["iam:CreateAccessKey", "iam:*", "*", "admin:CreateServiceAccount"])
def test_only_a_policy_that_says_so_lets_a_key_make_keys(action: str) -> None:
    assert table(policy(action))["CreateAccessKey"] == "allowed"


def test_rustfs_reads_and_lists_versions_by_other_rights() -> None:
    found = table(document("events-ro", "mine"), ways=Ways(list_gives_versions=True, get_gives_versions=True))
    assert (found["ListObjectVersions"], found["GetObjectVersion"]) == ("allowed", "allowed")


@given(st.lists(st.sampled_from(["s3:GetObject", "s3:List*", "s3:*", "*", "s3:PutObject"]), max_size=3))
def test_nobody_without_a_signature_is_ever_let_in(actions: list[str]) -> None:
    found = table(*(policy(one) for one in actions))
    assert found["AnonymousGetObject"] == found["AnonymousListObjectsV2"] == "refused"
    assert actions or set(found.values()) == {"refused"}
