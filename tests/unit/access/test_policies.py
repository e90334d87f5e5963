"""When two policy documents are the same, and what is wrong with one before a server sees it."""

from __future__ import annotations

import copy
import json
import random
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowage import errors
from stowage.access.actions import AWS, MINIO, RUSTFS, RUSTFS_S3, SEAWEEDFS, complaint, nearest
from stowage.access.driver_iam import decoded_document
from stowage.access.policies import canonical, check, parsed, plan_policy, sendable

DOCUMENT: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "Objects",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": ["arn:aws:s3:::a/*", "arn:aws:s3:::b/*"],
            "Condition": {"StringEquals": {"aws:Referer": ["x", "y"]}},
        },
        {"Effect": "Deny", "Action": ["s3:DeleteBucket"], "Resource": ["arn:aws:s3:::*"]},
    ],
}

names = st.sampled_from(sorted(RUSTFS_S3))
statements = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Deny"]),
        "Action": st.lists(names, min_size=1, max_size=6, unique=True),
        "Resource": st.lists(st.sampled_from(["arn:aws:s3:::a", "arn:aws:s3:::b/*"]), min_size=1, unique=True),
    },
    optional={
        "Sid": st.text("ABC", min_size=1, max_size=3),
        "Condition": st.dictionaries(
            st.sampled_from(["StringEquals", "Bool", "NumericLessThan"]),
            st.dictionaries(
                st.sampled_from(["s3:prefix", "aws:SecureTransport", "AWS:Referer"]),
                st.one_of(
                    st.booleans(),
                    st.integers(0, 99),
                    st.sampled_from(["", "x", "%2F"]),
                    st.lists(st.sampled_from(["", "x", True, 7]), min_size=1, max_size=3),
                ),
                min_size=1,
            ),
            max_size=2,
        ),
    },
)
documents = st.builds(
    lambda many: {"Version": "2012-10-17", "Statement": many}, st.lists(statements, min_size=1, max_size=4)
)


def as_rustfs_returns_it(document: dict[str, Any], shuffle: random.Random) -> dict[str, Any]:
    """Arrays in random order, empty fields injected (facts/rustfs.md 1.6)."""
    made = copy.deepcopy(document)
    made["ID"] = ""
    for one in made["Statement"]:
        one.setdefault("Sid", "")
        one.setdefault("Condition", {})
        for key in ("Action", "Resource"):
            one[key] = list(one[key]) if isinstance(one[key], list) else [one[key]]
            shuffle.shuffle(one[key])
    shuffle.shuffle(made["Statement"])
    return made


@given(documents, st.randoms())
def test_what_a_server_does_to_a_document_is_no_difference(document: dict[str, Any], shuffle: random.Random) -> None:
    assert plan_policy(as_rustfs_returns_it(document, shuffle), document, RUSTFS) == []


@given(documents)
def test_the_canonical_form_is_its_own_canonical_form(document: dict[str, Any]) -> None:
    once = canonical(document, RUSTFS)
    assert canonical(once, RUSTFS) == once


@given(documents, names)
def test_one_action_more_is_a_difference(document: dict[str, Any], action: str) -> None:
    more = copy.deepcopy(document)
    if any(action in one["Action"] for one in more["Statement"]):
        return
    more["Statement"][0]["Action"] = [*more["Statement"][0]["Action"], action]
    (found,) = plan_policy(document, more, RUSTFS)
    assert repr(action) in str(found.after)
    assert repr(action) not in str(found.before)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("Statement", 0, "Effect"), "Deny"),
        (("Statement", 0, "Resource"), ["arn:aws:s3:::a/*"]),
        (("Statement", 0, "Condition"), {}),
        (("Statement", 0, "Sid"), "Other"),
        (("Version",), "2008-10-17"),
    ],
)
def test_a_change_of_meaning_is_found(path: tuple[Any, ...], value: Any) -> None:
    changed = copy.deepcopy(DOCUMENT)
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert plan_policy(DOCUMENT, changed, AWS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("*", {"AWS": ["*"]}),
        ({"AWS": "123456789012"}, {"AWS": ["arn:aws:iam::123456789012:root"]}),
        ({"AWS": ["a", "b"]}, {"AWS": ["b", "a"]}),
    ],
)
def test_spellings_of_a_principal_are_the_same(one: Any, other: Any) -> None:
    def policy(principal: Any) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::a/*"}
        return {"Version": "2012-10-17", "Statement": {**statement, "Principal": principal}}

    assert plan_policy(policy(one), policy(other), AWS) == []


def test_case_of_actions_and_condition_keys_does_not_matter() -> None:
    other = copy.deepcopy(DOCUMENT)
    other["Statement"][0]["Action"] = ["s3:getobject", "S3:PutObject"]
    other["Statement"][0]["Condition"] = {"StringEquals": {"AWS:referer": ["y", "x"]}}
    assert plan_policy(DOCUMENT, other, AWS) == []


def test_a_star_is_all_of_s3_on_rustfs_only() -> None:
    def policy(action: str) -> dict[str, Any]:
        return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}

    assert plan_policy(policy("*"), policy("s3:*"), RUSTFS) == []
    assert plan_policy(policy("*"), policy("s3:*"), AWS)


def test_absent_and_present_are_planned() -> None:
    assert plan_policy(None, None, AWS) == []
    assert plan_policy(None, DOCUMENT, AWS)[0].before is None
    assert plan_policy(DOCUMENT, None, AWS)[0].after is None


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("s3:GetLifecycleConfiguration", "s3:GetBucketLifecycle"),
        ("s3:PutLifecycleConfiguration", "s3:PutBucketLifecycle"),
        ("s3:getobject", "s3:GetObject"),
        ("s3:ListObjectsV2", "s3:ListBucket"),
        ("s3:ListObjectVersions", "s3:ListBucketVersions"),
        ("s3:DeleteObjects", "s3:DeleteObject"),
        ("s3:GetObjekt", "s3:GetObject"),
        ("GetObject", "s3:GetObject"),
    ],
)
def test_a_name_rustfs_does_not_know_is_answered_with_the_right_one(wrong: str, right: str) -> None:
    text = complaint(wrong, RUSTFS)
    assert text
    assert text.endswith(right)


def test_the_right_name_depends_on_the_server() -> None:
    assert nearest("s3:GetBucketLifecycle", MINIO) == "s3:GetLifecycleConfiguration"
    assert complaint("s3:GetBucketLifecycle", RUSTFS) is None
    assert complaint("s3:GetLifecycleConfiguration", AWS) is None


@given(names)
def test_every_name_of_rustfs_is_accepted(action: str) -> None:
    assert complaint(action, RUSTFS) is None


def test_partial_wildcards_are_refused_by_rustfs_with_what_they_would_have_meant() -> None:
    text = str(complaint("s3:GetBucketL*", RUSTFS))
    assert "s3:GetBucketLifecycle, s3:GetBucketLocation, s3:GetBucketLogging" in text
    assert complaint("s3:Get*", AWS) is None
    assert complaint("s3:*", RUSTFS) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Version": ""}, "Version is ''"),
        ({"Statement": []}, "no Statement"),
        ({"Statments": []}, "unknown field Statments"),
        ({"Statement": [{"Effect": "allow", "Action": "s3:GetObject", "Resource": "*"}]}, "right: 'Allow' or 'Deny'"),
        ({"Statement": [{"Effect": "Allow", "Resource": "*"}]}, "exactly one of Action and NotAction"),
        ({"Statement": [{"Effect": "Allow", "Action": "s3:GetObject"}]}, "needs a Resource"),
        (
            {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "bucket/*"}]},
            "must be arn:aws:s3:::",
        ),
        (
            {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::\\1/*"}]},
            "must be arn:aws:s3:::",
        ),
        (
            {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Principal": "*"}]},
            "only bucket policies may",
        ),
        (
            {"Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "admin:ServerInfo"], "Resource": "*"}]},
            "one statement for each",
        ),
    ],
)
def test_a_malformed_document_is_refused_with_what_is_wrong(change: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.BadInputError, match="policy p: ") as caught:
        check({**DOCUMENT, **change}, "p", RUSTFS)
    assert words in caught.value.message


def test_a_bare_star_is_a_resource_for_iam_only() -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    check(document, "p", AWS)
    for rules in (MINIO, RUSTFS):
        with pytest.raises(errors.BadInputError, match=r"Resource '\*' must be arn:aws:s3:::"):
            check(document, "p", rules)


def test_a_good_document_passes_on_every_server() -> None:
    for rules in (AWS, MINIO, RUSTFS):
        check(DOCUMENT, "p", rules)


def test_text_that_is_no_json_is_refused_in_one_line() -> None:
    with pytest.raises(errors.BadInputError, match="policy p: document is not JSON"):
        parsed("{", "p")


@given(documents)
def test_what_is_sent_is_what_is_compared(document: dict[str, Any]) -> None:
    for rules in (AWS, MINIO, RUSTFS):
        assert canonical(sendable(document, rules), rules) == canonical(document, rules)
        assert sendable(sendable(document, rules), rules) == sendable(document, rules)


@given(documents)
def test_what_is_sent_holds_lists_of_text_and_nothing_else(document: dict[str, Any]) -> None:
    document["Statement"] = document["Statement"][0]
    (statement,) = sendable(document, RUSTFS)["Statement"]
    values = [values for tests in statement.get("Condition", {}).values() for values in tests.values()]
    for one in (statement["Action"], statement["Resource"], *values):
        assert isinstance(one, list)
        assert one
        assert all(type(value) is str for value in one)


def test_a_name_that_is_compared_without_case_is_sent_as_it_was_written() -> None:
    statement = {
        "Effect": "Allow",
        "Action": ["s3:getobject", "iam:CreateUser"],
        "Condition": {"Bool": {"aws:SecureTransport": False}},
    }
    (sent,) = sendable({"Version": "2012-10-17", "Statement": statement}, AWS)["Statement"]
    assert sent["Action"] == ["iam:CreateUser", "s3:GetObject"]
    assert sent["Condition"] == {"Bool": {"aws:SecureTransport": ["false"]}}


def conditioned(value: Any) -> dict[str, Any]:
    statement = {**DOCUMENT["Statement"][1], "Condition": {"StringEquals": {"s3:prefix": value}}}
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_an_empty_text_is_a_value_of_a_condition() -> None:
    assert plan_policy(conditioned(""), conditioned([""]), AWS) == []
    assert plan_policy(conditioned(["", "a"]), conditioned(["a"]), AWS)
    assert sendable(conditioned(""), AWS)["Statement"][0]["Condition"] == {"StringEquals": {"s3:prefix": [""]}}


def test_the_label_of_a_document_is_no_difference() -> None:
    assert plan_policy(DOCUMENT, {**DOCUMENT, "Id": "mine"}, AWS) == []


@pytest.mark.parametrize("value", [[], None, {"a": "b"}, [None]])
def test_a_condition_without_a_value_is_refused(value: Any) -> None:
    with pytest.raises(errors.BadInputError, match="StringEquals of s3:prefix needs text"):
        check(conditioned(value), "p", AWS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Condition": ["x"]}, "Condition must be operators"),
        ({"Condition": {"StringEquals": "x"}}, "Condition must be operators"),
        ({"Condition": {"Bool": {"aws:a": True, "AWS:A": False}}}, "Bool names aws:a twice"),
        ({"Action": {"s3:GetObject": True}}, "Action must be text or a list of texts"),
        ({"Resource": [7]}, "Resource must be text or a list of texts"),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused_in_one_line(change: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.BadInputError, match=words):
        check({"Version": "2012-10-17", "Statement": [{**DOCUMENT["Statement"][1], **change}]}, "p", AWS)


@pytest.mark.parametrize("spelling", [True, False])
@pytest.mark.parametrize("field", ["NotAction", "NotResource"])
def test_a_field_that_the_server_drops_is_refused_before_it_is_sent(field: str, spelling: bool) -> None:
    statement = dict(DOCUMENT["Statement"][1])
    statement[field] = statement.pop(field.removeprefix("Not"))
    document = {"Version": "2012-10-17", "Statement": [statement]}
    check(document, "p", AWS, spelling=spelling)
    with pytest.raises(errors.BadInputError, match=f"SeaweedFS takes {field} and does not do what it says"):
        check(document, "p", SEAWEEDFS, spelling=spelling)


def test_an_unknown_action_may_be_allowed_and_all_else_is_still_checked() -> None:
    newer = {"Effect": "Allow", "Action": "s3:NewThing", "Resource": "arn:aws:s3:::a"}
    check({"Version": "2012-10-17", "Statement": [newer]}, "p", RUSTFS, spelling=False)
    with pytest.raises(errors.BadInputError, match="Version is None"):
        check({"Statement": [newer]}, "p", RUSTFS, spelling=False)


def test_a_field_that_stands_twice_is_refused() -> None:
    with pytest.raises(errors.BadInputError, match="Effect stands twice in one object"):
        parsed('{"Statement": [{"Effect": "Deny", "Effect": "Allow"}]}', "p")


@given(st.text())
def test_a_document_is_decoded_as_often_as_it_was_encoded(key: str) -> None:
    document = {"Resource": f"arn:aws:s3:::a/{key}"}
    plain = json.dumps(document)
    assert decoded_document(plain) == decoded_document(quote(plain)) == document
