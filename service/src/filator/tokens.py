"""Bearer tokens with scopes, from a file of hashes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from filator.errors import ConfigError, Forbidden, Unauthorized

SCOPES = ("read", "owner", "write", "admin")
_LINE = re.compile(r"(?P<name>[A-Za-z0-9_.@-]+)\s+sha256:(?P<digest>[0-9a-f]{64})\s+(?P<scopes>[a-z,]+)")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Args:
        name: of the token, None where none was asked for.
        own_only: whether it may change only files that it made itself.
    """

    name: str | None = None
    own_only: bool = False


NOBODY = Caller()


@dataclass(frozen=True, slots=True)
class Token:
    """One line of the file: who, the SHA-256 of the token's text, and what it may do."""

    name: str
    digest: bytes
    scopes: frozenset[str]


def new_token(name: str, scopes: list[str]) -> tuple[str, str]:
    """Make a token of 256 random bits.

    Args:
        name: who uses it; appears in the log.
        scopes: of read, owner, write, admin.

    Returns:
        The token (shown once) and the line for the file.
    """
    token = "fil_" + secrets.token_urlsafe(32)
    # A plain hash is enough: the token is random, so there is nothing to guess as in a password.
    return token, f"{name} sha256:{hashlib.sha256(token.encode()).hexdigest()} {','.join(scopes)}"


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Read a file of `NAME sha256:HEX scope,scope` lines; blank lines and `#` comments are skipped.

    Raises:
        ConfigError: the file cannot be read or a line is malformed; names the line, never its content.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f"FILATOR_TOKENS_FILE: {path} cannot be read ({type(exc).__name__}); the service's user must be allowed to"
        ) from None
    return parse_tokens(text.splitlines(), "FILATOR_TOKENS_FILE")


def settled_tokens(lines: str, path: Path | None) -> tuple[Token, ...]:
    """Read the tokens of both settings together.

    Args:
        lines: of FILATOR_TOKENS: the same lines as in a file, `;` or a line break between them.
        path: of FILATOR_TOKENS_FILE.

    Raises:
        ConfigError: as `parse_tokens` and `read_tokens`.
    """
    given = parse_tokens(lines.replace(";", "\n").splitlines(), "FILATOR_TOKENS") if lines else ()
    return given + (read_tokens(path) if path else ())


def parse_tokens(lines: list[str], where: str) -> tuple[Token, ...]:
    """Read `NAME sha256:HEX scope,scope` lines; blank lines and `#` comments are skipped.

    Args:
        lines: what was given.
        where: the setting, for the message.

    Raises:
        ConfigError: a line is malformed, or there is none; names the line, never its content.
    """
    tokens = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        scopes = frozenset(match["scopes"].split(",")) if match else frozenset[str]()
        if match is None or not scopes <= set(SCOPES):
            raise ConfigError(
                f"{where} line {number}: must be `NAME sha256:HEX read,owner,write,admin`; "
                "`filator token NAME --scopes read,write` prints one"
            )
        tokens.append(Token(match["name"], bytes.fromhex(match["digest"]), scopes))
    if not tokens:
        raise ConfigError(f"{where}: holds no token; `filator token NAME --scopes read,write` prints one")
    return tuple(tokens)


def _password(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


class Gate:
    """Decides who may do what. Without tokens everything is open, for private networks only."""

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self._tokens = tokens

    @property
    def open(self) -> bool:
        """Whether no token is asked for."""
        return not self._tokens

    def admit(self, authorization: str | None, scope: str, *, own: bool = False) -> Caller:
        """Let a request pass or refuse it.

        Args:
            authorization: the header's value.
            scope: read, write or admin; admin includes the others.
            own: whether `owner` is enough too, for files of the token's own.

        Returns:
            Who asks, without a name when the service is open.

        Raises:
            Unauthorized: no token or an unknown one.
            Forbidden: the token lacks the scope.
        """
        if not self._tokens:
            return NOBODY
        kind, _, text = (authorization or "").partition(" ")
        if kind.lower() == "basic":
            # Browsers cannot send a bearer token for the page at /: the password is taken for it.
            text = _password(text)
        elif kind.lower() != "bearer":
            text = ""
        if not text.strip():
            raise Unauthorized("A bearer token is needed: send the header Authorization: Bearer TOKEN")
        digest = hashlib.sha256(text.strip().encode("utf-8", "surrogateescape")).digest()
        found = None
        # Every line is compared, so that the time does not tell which one matched.
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        if found is None:
            raise Unauthorized("The bearer token is not known")
        if found.scopes & {scope, "admin"}:
            return Caller(found.name)
        if own and "owner" in found.scopes:
            return Caller(found.name, own_only=True)
        raise Forbidden(f"The token {found.name} lacks the scope {scope}")
