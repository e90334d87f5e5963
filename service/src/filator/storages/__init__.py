"""Where bytes live: PostgreSQL, an S3-compatible store, or a directory. One interface, one test suite."""
