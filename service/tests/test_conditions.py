"""Preconditions of HTTP and whose file it is: no change that the client did not mean, and none of a stranger's file."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import requests
from conftest import MakeSite, Site, sql

from filator.conditions import Condition, read_condition
from filator.errors import ApiError, BadRequest, Forbidden, PreconditionFailed
from filator.models import Attachment, Pointer
from filator.tokens import new_token

MOMENT = datetime(2026, 11, 28, tzinfo=UTC)
BYTES = Pointer("db", None, "1", None)
FILE = Attachment("a" * 64, "c" * 64, MOMENT, MOMENT, "[]", "{}", None, "text/plain", "f", BYTES, 1, owner="me")
TAG = f'"{FILE.checksum}"'


@pytest.mark.parametrize(
    ("condition", "there", "refused"),
    [
        (Condition(), FILE, None),
        (Condition(), None, None),
        (Condition(absent=True), None, None),
        (Condition(absent=True), FILE, PreconditionFailed),
        (Condition(match=frozenset(["*"])), FILE, None),
        (Condition(match=frozenset(["*"])), None, PreconditionFailed),
        (Condition(match=frozenset([TAG])), FILE, None),
        (Condition(match=frozenset(['"other"', TAG])), FILE, None),
        (Condition(match=frozenset(['"other"'])), FILE, PreconditionFailed),
        (Condition(match=frozenset([f"W/{TAG}"])), FILE, PreconditionFailed),
        (Condition(owner="me"), FILE, None),
        (Condition(owner="me"), None, None),
        (Condition(owner="you"), FILE, Forbidden),
        (Condition(owner="you"), FILE._replace(owner=None), Forbidden),
        # A stranger learns nothing from the precondition.
        (Condition(owner="you", match=frozenset([TAG])), FILE, Forbidden),
        (Condition(owner="you", match=frozenset(['"other"'])), FILE, Forbidden),
        (Condition(owner="you", absent=True), FILE, Forbidden),
    ],
)
def test_what_a_condition_lets_pass(
    condition: Condition, there: Attachment | None, refused: type[ApiError] | None
) -> None:
    if refused is None:
        condition.check(there)
    else:
        with pytest.raises(refused):
            condition.check(there)


@pytest.mark.parametrize(
    ("value", "tags"),
    [("*", {"*"}), (' "a" , "b"', {'"a"', '"b"'}), ('W/"a"', {'W/"a"'}), ('"a,b"', {'"a,b"'})],
)
def test_if_match_is_read_as_tags(value: str, tags: set[str]) -> None:
    assert read_condition(value, None, None).match == tags


@pytest.mark.parametrize(
    ("if_match", "if_none_match"), [("abc", None), ('"a" b', None), ("", None), (None, '"a"'), (None, "")]
)
def test_a_header_that_cannot_be_followed_is_refused(if_match: str | None, if_none_match: str | None) -> None:
    with pytest.raises(BadRequest):
        read_condition(if_match, if_none_match, None)


def put(url: str, uuid: str, content: bytes, **headers: str) -> requests.Response:
    address = f"{url}/attachments/{uuid}"
    return requests.put(address, files={"body": ("f.txt", content)}, headers=headers, timeout=30)


def content(url: str, uuid: str) -> bytes:
    return requests.get(f"{url}/attachments/{uuid}", timeout=30).content


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_put_changes_only_what_its_client_has_seen(site: Site, size: int) -> None:
    uuid = secrets.token_hex(32)
    first, second = b"1" * size, b"2" * size
    assert put(site.url, uuid, first, **{"If-Match": "*"}).status_code == 412
    assert put(site.url, uuid, first, **{"If-None-Match": "*"}).status_code == 201
    assert put(site.url, uuid, second, **{"If-None-Match": "*"}).status_code == 412
    tag = requests.head(f"{site.url}/attachments/{uuid}", timeout=30).headers["etag"]
    assert put(site.url, uuid, second, **{"If-Match": '"other"'}).status_code == 412
    assert content(site.url, uuid) == first
    assert put(site.url, uuid, second, **{"If-Match": tag}).status_code == 200
    assert put(site.url, uuid, first, **{"If-Match": tag}).status_code == 412
    assert content(site.url, uuid) == second
    assert put(site.url, uuid, second, **{"If-None-Match": '"x"'}).status_code == 400


def test_a_delete_removes_only_what_its_client_has_seen(site: Site) -> None:
    uuid = secrets.token_hex(32)
    put(site.url, uuid, b"first")
    address = f"{site.url}/attachments/{uuid}"
    tag = requests.head(address, timeout=30).headers["etag"]
    assert requests.delete(address, headers={"If-Match": '"other"'}, timeout=30).status_code == 412
    put(site.url, uuid, b"second")
    assert requests.delete(address, headers={"If-Match": tag}, timeout=30).status_code == 412
    assert content(site.url, uuid) == b"second"
    tag = requests.head(address, timeout=30).headers["etag"]
    assert requests.delete(address, headers={"If-Match": tag}, timeout=30).status_code == 204
    assert requests.delete(address, headers={"If-Match": "*"}, timeout=30).status_code == 404


def test_of_many_writers_at_once_one_makes_the_file_and_one_replaces_it(site: Site) -> None:
    """Each pair of answers may be had by looking first; only the look under the lock keeps it to one winner."""
    uuid = secrets.token_hex(32)
    bodies = [f"writer {number}".encode() for number in range(12)]
    with ThreadPoolExecutor(12) as threads:
        made = list(threads.map(lambda body: put(site.url, uuid, body, **{"If-None-Match": "*"}), bodies))
    assert sorted(answer.status_code for answer in made) == [201] + [412] * 11
    winner = bodies[[answer.status_code for answer in made].index(201)]
    assert content(site.url, uuid) == winner
    tag = requests.head(f"{site.url}/attachments/{uuid}", timeout=30).headers["etag"]
    others = [body + b" again" for body in bodies]
    with ThreadPoolExecutor(12) as threads:
        replaced = list(threads.map(lambda body: put(site.url, uuid, body, **{"If-Match": tag}), others))
    assert sorted(answer.status_code for answer in replaced) == [200] + [412] * 11
    assert content(site.url, uuid) == others[[answer.status_code for answer in replaced].index(200)]


@pytest.mark.parametrize("size", [10, 9_000_000])
def test_what_a_refused_writer_had_written_is_queued_for_removal(s3_site: Site, size: int) -> None:
    """Its object may lie under the key of the file, above the version that the row names."""
    uuid = secrets.token_hex(32)
    bodies = [bytes([number]) * size for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda body: put(s3_site.url, uuid, body, **{"If-None-Match": "*"}), bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [412] * 5
    assert sql(s3_site, "SELECT 1 FROM upload_intents WHERE uuid = $1", uuid) == []
    s3_site.app.run("sweep")
    versions = s3_site.s3.list_object_versions(Bucket=s3_site.bucket).get("Versions", [])
    assert [version for version in versions if uuid in version["Key"]][1:] == []
    assert content(s3_site.url, uuid) == bodies[[answer.status_code for answer in answers].index(201)]


def test_a_refused_put_leaves_no_row_behind(s3_site: Site) -> None:
    uuid = secrets.token_hex(32)
    put(s3_site.url, uuid, b"first")
    assert put(s3_site.url, uuid, b"2" * 3_000_000, **{"If-Match": '"other"'}).status_code == 412
    assert len(sql(s3_site, "SELECT 1 FROM attachments WHERE uuid = $1", uuid)) == 1
    assert sql(s3_site, "SELECT 1 FROM upload_intents WHERE uuid = $1", uuid) == []


TOKENS = {name: new_token(name, scopes.split(",")) for name, scopes in
          {"mine": "read,owner", "yours": "read,owner", "writer": "read,write", "admin": "admin"}.items()}  # fmt: skip


@pytest.fixture(scope="module")
def owned(make_site: MakeSite) -> Site:
    lines = "; ".join(line for _, line in TOKENS.values())
    return make_site("s3", FILATOR_EDGE_LISTEN="yes", FILATOR_TOKENS=lines)


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[name][0]}"}


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_an_owner_changes_its_own_files_and_no_others(owned: Site, size: int) -> None:
    url, uuid = owned.app.edge_url, secrets.token_hex(32)
    address = f"{url}/attachments/{uuid}"
    assert put(url, uuid, b"1" * size, **bearer("mine")).status_code == 201
    assert put(url, uuid, b"2" * size, **bearer("yours")).status_code == 403
    assert requests.delete(address, headers=bearer("yours"), timeout=30).status_code == 403
    assert requests.get(address, headers=bearer("yours"), timeout=30).content == b"1" * size
    assert put(url, uuid, b"3" * size, **bearer("mine")).status_code == 200
    # Who may change every file may; it stays its owner's.
    assert put(url, uuid, b"4" * size, **bearer("writer")).status_code == 200
    assert put(url, uuid, b"5" * size, **bearer("yours")).status_code == 403
    assert put(url, uuid, b"6" * size, **bearer("mine")).status_code == 200
    assert requests.delete(address, headers=bearer("writer"), timeout=30).status_code == 403
    assert requests.delete(address, headers=bearer("mine"), timeout=30).status_code == 204


def test_a_file_of_nobody_and_an_expired_one(owned: Site) -> None:
    url, uuid = owned.app.edge_url, secrets.token_hex(32)
    assert put(owned.url, uuid, b"from inside").status_code == 201
    assert put(url, uuid, b"taken", **bearer("mine")).status_code == 403
    # What has expired is not there: its uuid is free, and then belongs to who takes it.
    sql(owned, "UPDATE attachments SET delete_at = now() - interval '1 minute' WHERE uuid = $1", uuid)
    assert put(url, uuid, b"taken", **bearer("mine")).status_code == 201
    assert put(url, uuid, b"again", **bearer("yours")).status_code == 403


def test_an_owner_has_no_scope_beyond(owned: Site) -> None:
    url = owned.app.edge_url
    assert requests.post(f"{url}/attachments", files={"body": b"x"}, headers=bearer("mine"), timeout=30).ok
    for method, path in (("POST", "/attachments/archive/tx"), ("GET", "/"), ("GET", "/metrics")):
        assert requests.request(method, url + path, headers=bearer("mine"), timeout=30).status_code == 403
