"""filator: a temporary file store over HTTP."""

__version__ = "0.1.0"
