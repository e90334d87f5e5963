"""The errors of the engine: one line for a person, one optional hint naming the command that mends it."""

from __future__ import annotations


class StowageError(Exception):
    """Something a person must hear about, said in one line.

    Args:
        message: What is wrong and where, without any secret.
        hint: What would be right, best as a command; ``None`` when there is nothing to add.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.hint = " ".join(hint.split()) if hint else None

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    @property
    def kind(self) -> str:
        """The class as a word for machine-readable output: ``NotFoundError`` -> ``not_found``."""
        name = type(self).__name__.removesuffix("Error")
        return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class BadInputError(StowageError):
    """The caller's input is wrong; nothing was sent."""


class NetworkError(StowageError):
    """The server was not reached, or the line broke: safe to try again later."""


class AuthError(StowageError):
    """The server does not know the key, the signature is wrong, or the key may not do this."""


class NotFoundError(StowageError):
    """The thing named does not exist."""


class ConflictError(StowageError):
    """The thing exists in a state that forbids the call: not empty, already there, owned by another."""


class RefusedError(StowageError):
    """Understood and refused: by the server's rules (malformed, unsupported) or by a guard of this engine."""


class ServerFaultError(StowageError):
    """The server failed (5xx, or an answer that makes no sense)."""
