"""The names in a part's Content-Disposition, in every form in which clients write them (RFC 7578, 2231, 2047)."""

from __future__ import annotations

import base64
import binascii
import codecs
import quopri
import re
from email.utils import decode_params, unquote

from filator.errors import BadRequest

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PARAMETER = re.compile(rf"\s*;\s*({_WORD})\s*=\s*({_QUOTED}|{_WORD})", re.DOTALL)
_ENCODED_WORD = re.compile(r"=\?([^?\s]+)\?([BbQq])\?([^?\s]*)\?=")
_ENCODED_WORDS = re.compile(rf"{_ENCODED_WORD.pattern}(?:\s+{_ENCODED_WORD.pattern})*")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Codecs of Python that are no charset of the net (unicode_escape, idna) stay out.
_CHARSETS = re.compile(r"utf-(?:8|16|32)|ascii|iso8859-\d+|cp\d+|koi8-[rut]|shift_jis|euc_\w+|gb\w+|big5|mac-cyrillic")
_RIGHT = "send it in UTF-8, or as filename*=UTF-8''PERCENT-ENCODED"


def _decode(data: bytes, charset: str) -> str:
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        name = ""
    if not _CHARSETS.fullmatch(name):
        raise BadRequest(f"The file name is in an unknown charset {ascii(charset[:40])[1:-1]}; {_RIGHT}")
    try:
        return data.decode(name)
    except UnicodeDecodeError:
        raise BadRequest(f"The file name is not in {name}, as it claims to be; {_RIGHT}") from None


def _parameters(header: str) -> list[tuple[str, str]]:
    """Split the parameters of a header; what is no parameter is an error, since a name would be cut short there."""
    found = []
    place = end = max(0, header.find(";")) or len(header)
    while match := _PARAMETER.match(header, place):
        found.append((match[1].lower(), match[2]))
        place = end = match.end()
    if header[end:].strip("; \t"):
        raise BadRequest(f"The Content-Disposition of body cannot be read; put the file name into quotes, or {_RIGHT}")
    return found


def _extended(header: str) -> str:
    """Read `filename*` (RFC 5987), also in pieces (RFC 2231)."""
    pairs = _parameters(header)
    if any(_BAD_PERCENT.search(value) for name, value in pairs if name.startswith("filename*") and name[-1] == "*"):
        raise BadRequest(f"The file name in filename* has a % without two hex digits; {_RIGHT}")
    # decode_params puts what stood in the extended form last; it is the one that counts (RFC 6266, 4.3).
    value = [value for name, value in decode_params([("", ""), *pairs]) if name == "filename"][-1]
    if isinstance(value, str):
        return _plain(unquote(value))
    charset, _language, text = value
    if not charset:
        raise BadRequest(f"The file name in filename* names no charset; {_RIGHT}")
    return _decode(unquote(text).encode("latin-1"), charset)


def _encoded_words(text: str) -> str:
    """Read the form of mail headers (RFC 2047), in which .NET writes names; pieces may cut a character in two."""
    pieces: list[tuple[str, bytes]] = []
    for charset, kind, content in _ENCODED_WORD.findall(text):
        try:
            data = (
                base64.b64decode(content, validate=True)
                if kind in "Bb"
                else quopri.decodestring(content.encode("latin-1"), header=True)
            )
        except binascii.Error:
            raise BadRequest(f"The file name is no valid base64 in its encoded word; {_RIGHT}") from None
        if pieces and pieces[-1][0] == charset.lower():
            data = pieces.pop()[1] + data
        pieces.append((charset.lower(), data))
    return "".join(_decode(data, charset) for charset, data in pieces)


def _plain(text: str) -> str:
    if _ENCODED_WORDS.fullmatch(text):
        return _encoded_words(text)
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        # Windows-1251, Latin-1 and others look alike; a guess would keep a wrong name for ever.
        raise BadRequest(f"The file name is not UTF-8; {_RIGHT}") from None


def file_name(header: str, filename: str | None) -> str | None:
    """Find what the client called the file.

    Args:
        header: the Content-Disposition, each byte as one character (Latin-1).
        filename: the plain parameter as the form's parser found it, unquoted, likewise in Latin-1.

    Returns:
        The name; None where there is none. It may be empty.

    Raises:
        BadRequest: a name that cannot be read for certain.
    """
    # What browsers and curl send, and nothing but that.
    if filename is not None and header.endswith(f'; filename="{filename}"') and "*" not in header:
        return _plain(filename)
    if any(name.startswith("filename*") for name, _value in _parameters(header)):
        return _extended(header)
    return None if filename is None else _plain(filename)
