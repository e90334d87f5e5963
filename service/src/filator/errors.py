"""The errors that leave a module, and the HTTP answer each one becomes."""

from __future__ import annotations


class ConfigError(Exception):
    """A setting that cannot be used; its text is one line naming entry and field. The process exits 78 (EX_CONFIG)."""


class ApiError(Exception):
    """An answer other than success.

    Attributes:
        status: HTTP status code.
        msg: what and why, shown to the client; never holds secrets.
        headers: extra response headers.
    """

    status = 500

    def __init__(self, msg: str, *, status: int | None = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(msg)
        self.msg = msg
        if status is not None:
            self.status = status
        self.headers = headers or {}


class BadRequest(ApiError):
    """The body ends early or is no multipart."""

    status = 400


class Unauthorized(ApiError):
    """No token, or one that is not known."""

    status = 401

    def __init__(self, msg: str) -> None:
        super().__init__(msg, headers={"www-authenticate": 'Bearer realm="filator", Basic realm="filator"'})


class Forbidden(ApiError):
    """The token lacks the scope."""

    status = 403


class NotFound(ApiError):
    """No such file, or it has expired. The text is the contract's."""

    status = 404

    def __init__(self, msg: str = "Not found") -> None:
        super().__init__(msg)


class RequestTimeout(ApiError):
    """The client sends too slowly."""

    status = 408


class Conflict(ApiError):
    """The state forbids it."""

    status = 409


class PreconditionFailed(ApiError):
    """If-Match or If-None-Match does not hold: somebody else was there first."""

    status = 412


class TooLarge(ApiError):
    """More bytes than FILATOR_MAX_BODY_BYTES."""

    status = 413


class Unprocessable(ApiError):
    """A field with a wrong value, or a missing one."""

    status = 422


class Unavailable(ApiError):
    """A part the service needs does not answer; the client may try again."""

    status = 503

    def __init__(self, msg: str, *, retry_after: int = 2) -> None:
        super().__init__(msg, headers={"retry-after": str(retry_after)})


class ClientGone(Exception):
    """The client closed the connection; there is nobody to answer."""


class StorageError(Exception):
    """A storage could not do what it was asked. The text names the storage and the operation, never a key."""


class StorageMissing(StorageError):
    """The storage answers, but the object is not there."""


class StopUpload(Exception):
    """Raised inside the source of a running upload so that the storage client ends it without completing it."""
