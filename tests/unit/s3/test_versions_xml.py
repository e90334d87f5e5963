"""Answers of ListObjectVersions as different servers write them."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from stowage.errors import ServerFaultError
from stowage.s3.versions import to_histories
from stowage.s3.versions_xml import RUSTFS, Page, Version, _read_answer, _reading, parse_page


def answer(rows: str, head: str = "", space: str = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"') -> bytes:
    return f'<?xml version="1.0"?><ListVersionsResult{space}>{head}{rows}</ListVersionsResult>'.encode()


def row(
    key: str, version: str = "v", *, latest: str = "true", tag: str = "Version", when: str = "2026-01-02T03:04:05Z"
) -> str:
    return (
        f"<{tag}><Key>{key}</Key><VersionId>{version}</VersionId><IsLatest>{latest}</IsLatest>"
        f"<LastModified>{when}</LastModified><ETag>&quot;abc&quot;</ETag><Size>5</Size></{tag}>"
    )


def test_versions_and_markers_keep_the_servers_order() -> None:
    page = parse_page(answer(row("a", "1", tag="DeleteMarker") + row("a", "2", latest="false") + row("b", "3")))
    assert [(r.key, r.version_id, r.is_latest, r.is_marker, r.position) for r in page.rows] == [
        ("a", "1", True, True, 0),
        ("a", "2", False, False, 1),
        ("b", "3", True, False, 2),
    ]
    assert (page.rows[1].etag, page.rows[1].size) == ("abc", 5)


def test_keys_are_decoded_only_when_the_server_says_it_encoded_them() -> None:
    # RustFS 1.0.0-beta.5 and SeaweedFS 4.48 are asked for url and do not encode.
    assert parse_page(answer(row("a+b%20c"))).rows[0].key == "a+b%20c"
    encoded = answer(row("a%2Bb%2520c+d"), "<EncodingType>url</EncodingType>")
    assert parse_page(encoded).rows[0].key == "a+b%20c d"


def test_a_page_marker_is_decoded_like_a_key_and_absent_at_the_end() -> None:
    head = "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextKeyMarker>a%2Bb</NextKeyMarker>"
    page = parse_page(answer("", head + "<NextVersionIdMarker>9</NextVersionIdMarker>"))
    assert (page.truncated, page.next_key, page.next_version) == (True, "a+b", "9")
    assert parse_page(answer("", "<IsTruncated>false</IsTruncated><NextKeyMarker>x</NextKeyMarker>")).next_key == ""


def test_answers_without_namespace_and_without_version_ids_are_read() -> None:
    bare = (
        "<Version><Key>k</Key><IsLatest>true</IsLatest><LastModified>2026-01-02T03:04:05.123Z</LastModified></Version>"
    )
    (found,) = parse_page(answer(bare, space="")).rows
    assert (found.version_id, found.size) == ("null", 0)
    assert found.last_modified.microsecond == 123000


@pytest.mark.parametrize(
    "body",
    [
        b"<html>login",
        b"<html>login</html>",
        b"<status>ok</status>",
        answer("<Version><Key>k</Key></Version>"),
        answer(row("k", when="yesterday")),
        answer(row("k")).replace(b"<Size>5", b"<Size>many"),
        answer(row("k"))[:-30],
    ],
)
def test_what_can_not_be_read_is_a_fault_of_the_server_and_never_an_empty_listing(body: bytes) -> None:
    with pytest.raises(ServerFaultError):
        parse_page(body)


def pages(*keys: str) -> list[Page]:
    """One row a page; the page ends inside its key."""
    rows = [parse_page(answer(row(key, f"{n}"))).rows[0]._replace(position=n) for n, key in enumerate(keys)]
    more = len(rows) - 1
    return [
        Page([r], [], n < more, r.key if n < more else "", r.version_id if n < more else "", "")
        for n, r in enumerate(rows)
    ]


def test_rows_of_a_key_are_gathered_across_pages() -> None:
    assert [[r.version_id for r in rows] for rows in to_histories(pages("a", "a", "b"))] == [["0", "1"], ["2"]]


def test_a_key_cut_by_a_page_is_listed_by_itself_and_the_longer_answer_counts() -> None:
    def relist(key: str) -> list[Version]:
        whole = {"a": ["0", "x", "y"], "b": []}[key]
        return [parse_page(answer(row(key, version))).rows[0] for version in whole]

    found = list(to_histories(pages("a", "b", "c"), relist))
    assert [[r.version_id for r in rows] for rows in found] == [["0", "x", "y"], ["1"], ["2"]]


def test_a_version_listed_twice_counts_once() -> None:
    one = parse_page(answer(row("a", "1") + row("a", "2", latest="false") + row("a", "1")))
    assert [[r.version_id for r in rows] for rows in to_histories([one])] == [["1", "2"]]


def test_one_key_with_a_control_character_does_not_hide_the_others() -> None:
    """RustFS 1.0.0-beta.5 writes it as it is; Go writes U+FFFD by itself."""
    page = parse_page(answer(row("ctl\x01x") + row("esc&#x1;x") + row("num&#31;x") + row("tab&#9;x") + row("z")))
    assert [r.key for r in page.rows] == ["ctl\ufffdx", "esc\ufffdx", "num\ufffdx", "tab\tx", "z"]


def test_markers_listed_behind_all_versions_of_a_page_join_their_keys() -> None:
    """RustFS 1.0.0-beta.5 lists a page as two groups."""
    apart = (
        row("a", "1", latest="false")
        + row("b", "2")
        + row("a", "3", tag="DeleteMarker")
        + row("c", "4", tag="DeleteMarker")
    )
    page = parse_page(answer(apart))
    assert [r.version_id for r in page.rows] == ["1", "3", "2", "4"]
    # Rows that are together keep the server's order, whatever it is.
    assert [r.key for r in parse_page(answer(row("b") + row("a"))).rows] == ["b", "a"]
    # A key of markers only is nowhere else, so nothing but the product tells that it stands in the wrong place.
    assert [r.key for r in parse_page(answer(row("b") + row("a", tag="DeleteMarker")), server=RUSTFS).rows] == [
        "a",
        "b",
    ]


def test_a_uuid_of_zeros_is_the_null_version() -> None:
    (found,) = parse_page(answer(row("k", "00000000-0000-0000-0000-000000000000"))).rows
    assert found.version_id == "null"


def test_a_right_page_of_a_later_rustfs_stays_as_it_is() -> None:
    def keys(*rows: str, server: str = RUSTFS) -> list[tuple[str, bool]]:
        page = parse_page(answer("".join(rows)), server=server)
        return [(one.key, one.is_marker) for one in page.rows]

    marker, version, other = row("a", "1", tag="DeleteMarker"), row("a", "2", latest="false"), row("b", "3")
    # As 1.0.0-rc.3 lists them: each key's rows together, newest first.
    last = row("c", "4", tag="DeleteMarker")
    assert keys(marker, version, other, last) == [("a", True), ("a", False), ("b", False), ("c", True)]
    # As 1.0.0-beta.5 does: all versions, then the markers.
    assert keys(other, marker) == [("a", True), ("b", False)]
    assert keys(other, marker, server="SeaweedFS") == [("b", False), ("a", True)]


@pytest.mark.parametrize(
    ("status", "body", "readable"),
    [
        (404, b'{"detail":"Not Found"}', False),
        (401, b"<html>log in</html>", False),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>", True),
        (403, b"", True),
        (502, b"<html>Bad Gateway</html>", True),
    ],
)
def test_a_refusal_that_is_none_of_s3_says_that_something_else_answers(
    status: int, body: bytes, readable: bool
) -> None:
    # What a store refuses, and what may pass by itself, is left to botocore, which reads the code and tries again.
    expected = nullcontext() if readable else pytest.raises(ServerFaultError, match=r"no S3 server.*stowage doctor")
    with _reading(0), expected:
        _read_answer({"status_code": status, "headers": {}, "body": body}, {})
