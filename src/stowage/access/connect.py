"""Which driver speaks to which store."""

from __future__ import annotations

from stowage import errors
from stowage.access.actions import AWS, MINIO, RUSTFS
from stowage.access.model import (
    CHOSEN_KEYS,
    DURABILITY,
    KEY_LABELS,
    NOTIFICATIONS,
    QUOTA,
    USER_STATUS,
    AccessDriver,
    EmptyDriver,
)
from stowage.s3.connection import S3Settings

DRIVERS = ("iam", "rustfs", "minio")
_ACTIONS = {"iam": AWS, "rustfs": RUSTFS, "minio": MINIO}


def connect(driver: str, settings: S3Settings) -> AccessDriver:
    """The access driver of a store; nothing is sent yet.

    Args:
        driver: One of ``DRIVERS``.
        settings: The store's endpoint and its administrator's key.

    Raises:
        BadInputError: No such driver, or its library is not installed.
    """
    if driver == "iam":
        from stowage.access.driver_iam import IamDriver  # noqa: PLC0415

        return IamDriver(settings)
    if driver == "rustfs":
        from stowage.access.driver_rustfs import RustfsDriver  # noqa: PLC0415

        return RustfsDriver(settings)
    if driver == "minio":
        from stowage.access.driver_minio import MinioDriver  # noqa: PLC0415

        return MinioDriver(settings)
    raise errors.BadInputError(f"driver is {driver!r}, must be one of {', '.join(DRIVERS)}")


def assume_empty(driver: str) -> AccessDriver:
    """A store of that kind in which nothing exists: for check mode before the server does."""
    everything = frozenset({CHOSEN_KEYS, USER_STATUS, QUOTA, DURABILITY, NOTIFICATIONS, KEY_LABELS})
    features = {"iam": frozenset[str](), "minio": everything - {DURABILITY, KEY_LABELS}}.get(driver, everything)
    return EmptyDriver(_ACTIONS.get(driver, AWS), features)
