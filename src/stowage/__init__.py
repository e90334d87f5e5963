"""Engine of Stowage: S3 data and access as code, without any Ansible import."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("stowage")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"
