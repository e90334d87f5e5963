"""s3_policy, s3_user and s3_access_key against a real server, with drift injected by another client."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from modules import ModuleFailedError, connection, run
from servers import Server

from stowage.access.connect import connect
from stowage.access.keys import signs
from stowage.access.model import Credentials
from stowage.s3.connection import iam_client


@pytest.fixture
def name() -> str:
    return f"t{secrets.token_hex(4)}"


def options(server: Server, **own: object) -> dict[str, object]:
    return {**connection(server.settings, server.driver), **own}


def document(*actions: str, bucket: str = "some-bucket") -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": [f"arn:aws:s3:::{bucket}/*"]}],
    }


# policies


def test_a_policy_is_stored_once_and_then_left_alone(server: Server, name: str) -> None:
    wanted = options(server, name=name, document=document("s3:GetObject", "s3:PutObject"))
    assert run("s3_policy", wanted, check=True)["changed"]
    assert run("s3_policy", wanted)["changed"]
    assert not run("s3_policy", wanted)["changed"]
    assert not run("s3_policy", wanted, check=True)["changed"]


def test_the_same_meaning_in_another_spelling_is_no_change(server: Server, name: str) -> None:
    run("s3_policy", options(server, name=name, document=document("s3:GetObject", "s3:PutObject")))
    other = {
        "Statement": {
            "Resource": "arn:aws:s3:::some-bucket/*",
            "Action": ["s3:PutObject", "s3:GetObject", "s3:PutObject"],
            "Effect": "Allow",
            "Condition": {},
        },
        "Version": "2012-10-17",
    }
    assert not run("s3_policy", options(server, name=name, document=json.dumps(other)))["changed"]


def test_a_policy_changed_by_somebody_else_is_found_shown_and_mended(server: Server, name: str) -> None:
    wanted = options(server, name=name, document=document("s3:GetObject"))
    run("s3_policy", wanted)
    change_policy_elsewhere(server, name, document("s3:GetObject", "s3:DeleteObject"))
    found = run("s3_policy", wanted, check=True)
    assert found["differences"] == ["policy"]
    assert "s3:DeleteObject" in found["diff"][0]["before"]
    assert "s3:DeleteObject" not in found["diff"][0]["after"]
    assert run("s3_policy", wanted)["changed"]
    assert not run("s3_policy", wanted)["changed"]


@pytest.mark.parametrize(
    "condition",
    [
        {"Bool": {"aws:SecureTransport": False}},
        {"NumericLessThan": {"s3:max-keys": 10}},
        {"StringEquals": {"s3:prefix": ""}},
        {"StringEquals": {"s3:prefix": ["docs/", ""]}},
    ],
    ids=["boolean", "number", "empty", "list"],
)
def test_values_of_conditions_are_stored_as_they_are_compared(
    server: Server, name: str, condition: dict[str, Any]
) -> None:
    statement = {
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": "arn:aws:s3:::some-bucket",
        "Condition": condition,
    }
    wanted = options(server, name=name, document={"Version": "2012-10-17", "Statement": statement})
    assert run("s3_policy", wanted)["changed"]
    assert not run("s3_policy", wanted)["changed"]


def test_a_percent_sign_in_a_resource_survives(server: Server, name: str) -> None:
    resource = "arn:aws:s3:::some-bucket/a%2Fb%252Fc+d/*"
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource}
    wanted = options(server, name=name, document={"Version": "2012-10-17", "Statement": [statement]})
    assert run("s3_policy", wanted)["changed"]
    assert not run("s3_policy", wanted)["changed"]
    (found,) = run("s3_policy_info", options(server, names=[name]))["policies"]
    assert found["document"]["Statement"][0]["Resource"] == [resource]


def test_the_label_of_a_policy_is_no_change(server: Server, name: str) -> None:
    wanted = document("s3:GetObject")
    run("s3_policy", options(server, name=name, document=wanted))
    assert not run("s3_policy", options(server, name=name, document={**wanted, "Id": "mine"}))["changed"]
    other = document("s3:PutObject")
    assert run("s3_policy", options(server, name=name, document={**other, "Id": "mine"}))["changed"]
    assert not run("s3_policy", options(server, name=name, document={**other, "Id": "mine"}))["changed"]


@pytest.mark.parametrize("field", ["NotAction", "NotResource", "NotPrincipal"])
def test_seaweedfs_is_not_given_what_it_would_not_do(weed: Server, name: str, field: str) -> None:
    statement = dict(document("s3:GetObject")["Statement"][0])
    statement[field] = statement.pop(field.removeprefix("Not"), "*")
    wanted = options(weed, name=name, document={"Version": "2012-10-17", "Statement": [statement]})
    for check in (True, False):
        with pytest.raises(ModuleFailedError, match=f"SeaweedFS takes {field} and does not"):
            run("s3_policy", wanted, check=check)
    assert run("s3_policy_info", options(weed, names=[name]))["policies"] == []


def test_seaweedfs_takes_the_opposite_of_an_action_itself_and_drops_it(weed: Server, name: str) -> None:
    driver = connect("iam", weed.settings)
    deny = {"Effect": "Deny", "NotAction": ["s3:GetObject"], "Resource": ["arn:aws:s3:::a/*"]}
    driver.put_policy(name, {"Version": "2012-10-17", "Statement": [deny]})
    stored = driver.policy(name)
    assert stored
    assert stored["Statement"] == [{"Effect": "Deny", "Action": "", "Resource": "arn:aws:s3:::a/*"}]


def test_a_misspelled_action_is_refused_with_the_right_name_and_nothing_is_stored(server: Server, name: str) -> None:
    with pytest.raises(ModuleFailedError, match="right: s3:GetObject") as caught:
        run("s3_policy", options(server, name=name, document=document("s3:GetObjekt")))
    assert caught.value.answer["kind"] == "bad_input"
    assert run("s3_policy_info", options(server, names=[name]))["policies"] == []


def test_an_attached_policy_is_not_removed(server: Server, name: str) -> None:
    run("s3_policy", options(server, name=name, document=document("s3:GetObject")))
    run("s3_user", options(server, name=name, policies=[name]))
    with pytest.raises(ModuleFailedError) as caught:
        run("s3_policy", options(server, name=name, state="absent"))
    assert caught.value.answer["kind"] == "conflict"
    run("s3_user", options(server, name=name, state="absent"))
    assert run("s3_policy", options(server, name=name, state="absent"))["changed"]
    assert not run("s3_policy", options(server, name=name, state="absent"))["changed"]


# users


def test_a_user_gets_its_policies_once(server: Server, name: str) -> None:
    run("s3_policy", options(server, name=name, document=document("s3:GetObject")))
    wanted = options(server, name=name, policies=[name])
    predicted = run("s3_user", wanted, check=True)
    made = run("s3_user", wanted)
    assert predicted["differences"] == made["differences"] == ["user", "policies"]
    assert not run("s3_user", wanted)["changed"]


def test_exact_takes_foreign_policies_away_and_at_least_leaves_them(server: Server, name: str) -> None:
    both = [f"{name}-a", f"{name}-b"]
    run("s3_policy", options(server, policies=[{"name": one, "document": document("s3:GetObject")} for one in both]))
    run("s3_user", options(server, name=name, policies=both))
    at_least = run("s3_user", options(server, name=name, policies=both[:1], policies_mode="at_least"))
    assert not at_least["changed"]
    assert at_least["policies"] == both
    exact = run("s3_user", options(server, name=name, policies=both[:1]))
    assert (exact["changed"], exact["policies"]) == (True, both[:1])
    found = run("s3_access_key_info", options(server, users=[name]))["users"][0]
    assert found["policies"] == both[:1]


def test_a_policy_that_does_not_exist_fails_for_real_and_warns_in_check_mode(server: Server, name: str) -> None:
    wanted = options(server, name=name, policies=[f"{name}-missing"])
    assert f"{name}-missing" in str(run("s3_user", wanted, check=True)["warnings"])
    with pytest.raises(ModuleFailedError, match=f"no policy {name}-missing"):
        run("s3_user", wanted)


def test_exact_also_takes_inline_policies_away(weed: Server, name: str) -> None:
    run("s3_user", options(weed, name=name, policies=[]))
    iam_client(weed.settings).put_user_policy(
        UserName=name, PolicyName="smuggled", PolicyDocument=json.dumps(document("s3:*"))
    )
    answer = run("s3_user", options(weed, name=name, policies=[]))
    assert "inline:smuggled" in answer["diff"][0]["before"]
    assert iam_client(weed.settings).list_user_policies(UserName=name)["PolicyNames"] == []


def test_iam_says_why_it_can_not_disable_a_user(weed: Server, name: str) -> None:
    run("s3_user", options(weed, name=name))
    with pytest.raises(ModuleFailedError, match="can not disable"):
        run("s3_user", options(weed, name=name, status="disabled"))


# keys


def test_a_key_is_minted_once_and_verified_from_then_on(server: Server, name: str) -> None:
    run("s3_user", options(server, name=name))
    assert "credentials" not in run("s3_access_key", options(server, user=name), check=True)
    pair = run("s3_access_key", options(server, user=name))["credentials"]
    assert signs(server.settings, Credentials(**pair))
    again = run("s3_access_key", options(server, user=name, **pair))
    assert not again["changed"]
    assert "credentials" not in again


def test_a_run_without_the_pair_does_not_mint_a_second_one(server: Server, name: str) -> None:
    run("s3_user", options(server, name=name))
    first = run("s3_access_key", options(server, user=name))["credentials"]
    with pytest.raises(ModuleFailedError, match="already has the key") as caught:
        run("s3_access_key", options(server, user=name))
    assert "on_lost_secret: replace" in caught.value.answer["msg"]
    second = run("s3_access_key", options(server, user=name, on_lost_secret="replace"))["credentials"]
    assert not signs(server.settings, Credentials(**first))
    assert signs(server.settings, Credentials(**second))


def test_a_wrong_secret_is_found_and_not_shown(server: Server, name: str) -> None:
    run("s3_user", options(server, name=name))
    pair = run("s3_access_key", options(server, user=name))["credentials"]
    wrong = {**pair, "secret_access_key": "w" * 20}
    with pytest.raises(ModuleFailedError, match="another secret") as caught:
        run("s3_access_key", options(server, user=name, **wrong))
    assert "w" * 20 not in str(caught.value.answer)


def test_a_key_is_switched_off_and_on(server: Server, name: str) -> None:
    run("s3_user", options(server, name=name))
    pair = run("s3_access_key", options(server, user=name))["credentials"]
    off = options(server, user=name, **pair, status="inactive")
    assert run("s3_access_key", off)["differences"] == ["status"]
    assert not run("s3_access_key", off)["changed"]
    assert not signs(server.settings, Credentials(**pair))
    assert run("s3_access_key", {**off, "status": "active"})["changed"]
    assert signs(server.settings, Credentials(**pair))


def test_a_key_of_somebody_else_is_not_taken_over(server: Server, name: str) -> None:
    run("s3_user", options(server, users=[{"name": f"{name}-a"}, {"name": f"{name}-b"}]))
    pair = run("s3_access_key", options(server, user=f"{name}-a"))["credentials"]
    for state in ("present", "absent"):
        with pytest.raises(ModuleFailedError, match=f"belongs to user {name}-a"):
            run("s3_access_key", options(server, user=f"{name}-b", **pair, state=state))


def test_a_key_is_removed_once(server: Server, name: str) -> None:
    run("s3_user", options(server, name=name))
    pair = run("s3_access_key", options(server, user=name))["credentials"]
    gone = options(server, user=name, access_key_id=pair["access_key_id"], state="absent")
    assert run("s3_access_key", gone)["changed"]
    assert not run("s3_access_key", gone)["changed"]
    assert not signs(server.settings, Credentials(**pair))


def test_a_key_is_rotated_in_four_steps_that_can_each_be_repeated(server: Server, name: str) -> None:
    run("s3_user", options(server, name=name))
    old = run("s3_access_key", options(server, user=name))["credentials"]
    rotation = options(server, user=name, old_access_key_id=old["access_key_id"])
    new = run("s3_access_key", {**rotation, "state": "created"})["credentials"]
    rotation |= new
    assert not run("s3_access_key", {**rotation, "state": "created"})["changed"]
    assert not run("s3_access_key", {**rotation, "state": "verified"})["changed"]
    with pytest.raises(ModuleFailedError, match="still active"):
        run("s3_access_key", {**rotation, "state": "retired"})
    assert [run("s3_access_key", {**rotation, "state": "switched"})["changed"] for _ in range(2)] == [True, False]
    assert not signs(server.settings, Credentials(**old))
    assert [run("s3_access_key", {**rotation, "state": "retired"})["changed"] for _ in range(2)] == [True, False]
    found = run("s3_access_key_info", options(server, users=[name]))["users"][0]["keys"]
    assert [one["access_key_id"] for one in found] == [new["access_key_id"]]


def test_a_rotation_is_not_done_while_the_user_has_a_key_that_nobody_named(server: Server, name: str) -> None:
    run("s3_user", options(server, name=name))
    old = run("s3_access_key", options(server, user=name))["credentials"]
    rotation = options(server, user=name, old_access_key_id=old["access_key_id"])
    rotation |= run("s3_access_key", {**rotation, "state": "created"})["credentials"]
    third = connect(server.driver, server.settings).create_key(name, None, "")
    run("s3_access_key", {**rotation, "state": "switched"})
    for _ in range(2):
        with pytest.raises(ModuleFailedError, match=f"still has the key {third.access_key_id}"):
            run("s3_access_key", {**rotation, "state": "retired"})


def test_the_old_key_stays_on_while_the_new_one_does_not_sign(server: Server, name: str) -> None:
    run("s3_user", options(server, name=name))
    old = run("s3_access_key", options(server, user=name))["credentials"]
    wrong = {"access_key_id": "NOTTHERE", "secret_access_key": "s" * 20}
    with pytest.raises(ModuleFailedError, match="does not work"):
        run(
            "s3_access_key",
            options(server, user=name, old_access_key_id=old["access_key_id"], **wrong, state="switched"),
        )
    assert signs(server.settings, Credentials(**old))


def test_a_declared_pair_is_made_where_the_store_takes_it(choosing: Server, name: str) -> None:
    run("s3_user", options(choosing, name=name))
    pair = {"access_key_id": f"KEY{name.upper()}", "secret_access_key": secrets.token_hex(16)}
    wanted = options(choosing, user=name, **pair)
    assert run("s3_access_key", wanted, check=True)["changed"]
    made = run("s3_access_key", wanted)
    assert made["changed"]
    assert "credentials" not in made
    assert signs(choosing.settings, Credentials(**pair))
    assert not run("s3_access_key", wanted)["changed"]


def test_a_disabled_user_keeps_its_key_and_comes_back(choosing: Server, name: str) -> None:
    run("s3_user", options(choosing, name=name, status="enabled"))
    pair = run("s3_access_key", options(choosing, user=name))["credentials"]
    off = options(choosing, name=name, status="disabled")
    assert [run("s3_user", off)["changed"] for _ in range(2)] == [True, False]
    assert run("s3_user", {**off, "status": "enabled"})["differences"] == ["status"]
    assert not run("s3_access_key", options(choosing, user=name, **pair))["changed"]


def test_a_user_and_a_key_never_overwrite_each_other(telling: Server, name: str) -> None:
    """RustFS beta.5 would let either take the other's place (facts/rustfs.md 1.5)."""
    run("s3_user", options(telling, name=name))
    pair = {"access_key_id": f"key-{name}", "secret_access_key": "s" * 20}
    run("s3_access_key", options(telling, user=name, **pair))
    with pytest.raises(ModuleFailedError, match="would overwrite it"):
        run("s3_user", options(telling, name=f"key-{name}"))
    assert signs(telling.settings, Credentials(**pair))
    other = {"access_key_id": f"other-{name}", "secret_access_key": "s" * 20}
    run("s3_user", options(telling, name=f"other-{name}"))
    with pytest.raises(ModuleFailedError, match="would overwrite it"):
        run("s3_access_key", options(telling, user=name, **other))


def test_names_that_rustfs_refuses_are_refused_with_its_own_names(telling: Server, name: str) -> None:
    with pytest.raises(ModuleFailedError, match="right: s3:GetBucketLifecycle"):
        run("s3_policy", options(telling, name=name, document=document("s3:GetLifecycleConfiguration")))
    with pytest.raises(ModuleFailedError, match=r"partial wildcard 's3:Get\*'"):
        run("s3_policy", options(telling, name=name, document=document("s3:Get*")))
    # And the server does refuse them: the list is its own.
    with pytest.raises(ModuleFailedError, match="invalid action"):
        run(
            "s3_policy",
            options(telling, name=name, document=document("s3:GetLifecycleConfiguration"), unknown_actions="allow"),
        )


def test_iam_refuses_a_chosen_pair_with_what_to_do(weed: Server, name: str) -> None:
    run("s3_user", options(weed, name=name))
    with pytest.raises(ModuleFailedError, match="never takes a chosen pair"):
        run("s3_access_key", options(weed, user=name, access_key_id="CHOSEN", secret_access_key="s" * 20))


def test_the_server_tells_its_version(weed: Server) -> None:
    answer = run("s3_server_info", options(weed))
    assert (answer["product"], answer["version"], answer["ready"]) == ("seaweedfs", "4.48", True)


def change_policy_elsewhere(server: Server, name: str, changed: dict[str, Any]) -> None:
    """Another client's change, past this project's comparison."""
    if server.driver != "iam":
        connect(server.driver, server.settings).put_policy(name, changed)
        return
    iam = iam_client(server.settings)
    arn = next(one["Arn"] for one in iam.list_policies()["Policies"] if one["PolicyName"] == name)
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(changed), SetAsDefault=True)
