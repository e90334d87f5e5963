"""What a form may say and how its names are read; no server needed."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest

from filator.errors import ApiError, BadRequest, Unprocessable
from filator.form import FormReader, check_query, header_metadata
from filator.settings import load_settings

SETTINGS = load_settings(
    {
        "FILATOR_DATABASE_URL": "postgresql://u:p@h/d",
        "FILATOR_REDIS_URL": "redis://h",
        "STORAGES_CONFIGURATIONS": json.dumps([{"name": "db", "type": "db"}]),
    }
)
NAME = "Отчёт за март № 1.txt"
DISPOSITION = b'form-data; name="body"; '


def read(*parts: tuple[bytes, bytes]) -> FormReader:
    body = b"".join(b"--b\r\nContent-Disposition: " + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    messages = iter([{"type": "http.request", "body": body + b"--b--\r\n", "more_body": False}])

    async def receive() -> Any:
        return next(messages)

    async def run() -> FormReader:
        form = FormReader(receive, "multipart/form-data; boundary=b", None, SETTINGS)
        async for _ in form.chunks():
            pass
        return form

    return asyncio.run(run())


def field(name: str, value: str = "v") -> tuple[bytes, bytes]:
    return f'form-data; name="{name}"'.encode(), value.encode()


FILE = (DISPOSITION + b'filename="f"', b"x")


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (f'filename="{NAME}"'.encode(), NAME),
        (f"filename*=UTF-8''{quote(NAME)}".encode(), NAME),
        (f"filename=\"fallback\"; filename*=utf-8'ru'{quote(NAME)}".encode(), NAME),
        (f"filename*=utf-8''{quote(NAME)}; filename=\"fallback\"".encode(), NAME),
        (f"filename*=windows-1251''{quote(NAME.encode('cp1251'))}".encode(), NAME),
        (b"filename*0*=UTF-8''%D0%96%D1; filename*1*=%82; filename*2=\"a.txt\"", "Жтa.txt"),
        (b'filename*0="long "; filename*1="name.txt"', "long name.txt"),
        (b'filename="=?utf-8?B?0J7RgtGH0ZHRgi50eHQ=?="', "Отчёт.txt"),
        (b"filename=\"=?utf-8?B?0J7RgtGH0ZHRgi50eHQ=?=\"; filename*=utf-8''%D0%96.txt", "Ж.txt"),
        (b'filename="=?utf-8?B?0J7R?= =?utf-8?B?gtGH0ZHRgi50eHQ=?="', "Отчёт.txt"),
        (b'filename="=?windows-1251?Q?=CE=F2=F7_=E8?="', "Отч и"),
        (b'filename="a=?b?=c.txt"', "a=?b?=c.txt"),
        (b'filename="a*b.txt"', "a*b.txt"),
        (b'filename="100%.txt"', "100%.txt"),
        (b'filename="a%22b.txt"', 'a"b.txt'),
        (b'filename="a\\"b.txt"', 'a"b.txt'),
        (b"filename=plain.txt", "plain.txt"),
        (f"filename=\"=?utf-8?B?x?=\"; filename*=utf-8''{quote('😀' * 255)}".encode(), "😀" * 255),
        (b"filename*=UTF-8''..%2F..%2Fetc%2Fpasswd%00", "passwd"),
    ],
)
def test_a_file_name_is_kept_in_every_form_that_clients_send(parameters: bytes, name: str) -> None:
    assert read((DISPOSITION + parameters, b"x")).filename == name


@pytest.mark.parametrize(
    "parameters",
    [
        f'filename="{NAME}"'.encode("cp1251"),
        b'filename="caf\xe9.txt"',
        b"filename*=UTF-8''%FF%FE",
        b"filename*=UTF-8''100%zz",
        b"filename*=klingon''abc",
        b"filename*=unicode_escape''%5Cud800",
        b"filename*=''abc",
        b'filename="=?utf-8?B?!!!?="',
        b'filename="=?utf-8?B?/w==?="',
        b'filename="=?klingon?B?YQ==?="',
        b"filename=two words.txt",
        "filename=имя.txt".encode(),
        b'filename="unfinished',
        b'filename="' + b"\\a" * 2000,
    ],
)
def test_a_file_name_that_cannot_be_read_for_certain_is_refused_in_plain_words(parameters: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        read((DISPOSITION + parameters, b"x"))
    assert "file name" in caught.value.msg
    assert "filename*=UTF-8''" in caught.value.msg
    assert not [word for word in ("Error", "codec", "b'", "\\x", "('") if word in caught.value.msg]


def test_a_field_name_in_another_encoding_is_refused_in_plain_words() -> None:
    with pytest.raises(BadRequest, match="name of a field is not UTF-8"):
        read(FILE, ('form-data; name="metadata[имя]"'.encode("cp1251"), b"v"))


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("delete_att", "did you mean delete_at?"),
        ("Delete_At", "did you mean delete_at?"),
        ("store-prefix", "did you mean store_prefix?"),
        ("sha256", "did you mean expected_sha256?"),
        ("metadata", "metadata[KEY]"),
        ("metadata[]", "metadata[KEY]"),
        ("metadata.a", "metadata[KEY]"),
        ("X-METADATA-a", "metadata[KEY]"),
        ("file", "known are body"),
        ("", "known are body"),
    ],
)
def test_a_field_that_nobody_reads_is_refused_with_the_right_name(name: str, right: str) -> None:
    for parts in ((field(name), FILE), (FILE, field(name))):
        with pytest.raises(Unprocessable) as caught:
            read(*parts)
        assert right in caught.value.msg
    with pytest.raises(Unprocessable) as caught:
        check_query({name: "v"})
    assert right in caught.value.msg


@pytest.mark.parametrize("name", ["delete_at", "store_prefix", "metadata[a]"])
def test_a_field_sent_twice_is_refused(name: str) -> None:
    with pytest.raises(Unprocessable, match="twice"):
        read(field(name, "1"), field(name.replace("[a]", "[A]"), "2"), FILE)


def test_every_field_of_the_contract_is_taken() -> None:
    check_query({"delete_at": "never", "store_prefix": "p", "expected_sha256": "0" * 64})
    form = read(field("delete_at", "never"), field("metadata[Ключ]"), field("METADATA[b]"), field("_charset_"), FILE)
    assert form.fields["delete_at"] == "never"
    assert form.metadata == {"ключ": "v", "b": "v"}


@pytest.mark.parametrize("data", [b"", b"x"])
def test_an_empty_file_name_is_no_file(data: bytes) -> None:
    for parameters in (b'filename=""', b"filename*=UTF-8''"):
        with pytest.raises(Unprocessable, match="no file"):
            read((DISPOSITION + parameters, data))
    assert read((b'form-data; name="body"', data)).filename == "file"


def test_metadata_headers_are_taken_with_either_sign_or_refused_by_name() -> None:
    names = [b"x-metadata-a", b"x_metadata_b", b"x-metadata_c", b"x_metadata-d_e", b"x-metadatax"]
    assert header_metadata([(name, b"v") for name in names]) == dict.fromkeys(["a", "b", "c", "d_e"], "v")
    for wrong in ([b"x-metadata"], [b"x_metadata"], [b"x-metadata-"], [b"x-metadata-a", b"x_metadata_a"]):
        with pytest.raises(Unprocessable, match="X-METADATA"):
            header_metadata([(name, b'{"a": 1}') for name in wrong])


def test_a_broken_form_is_told_without_pythons_repr() -> None:
    with pytest.raises(ApiError) as caught:
        read((b"attachment", b"x"))
    assert caught.value.status == 400
    assert "('" not in caught.value.msg
