"""Kept figures: the status page reads one row instead of counting the whole table at each view."""

from alembic import op

revision = "0007"
down_revision = "0006"

_STATEMENTS = (
    # One row at most: `id` can only be true, and only once.
    """
    CREATE TABLE figures (
        id boolean PRIMARY KEY DEFAULT true CHECK (id),
        counted_at timestamptz NOT NULL,
        content jsonb NOT NULL
    )
    """,
    # The page lists those that are open; the closed ones stay for ever.
    "CREATE INDEX archive_txs_unfinished ON archive_txs (created_at) WHERE state <> 'committed'",
)


def upgrade() -> None:
    """Create the table and the index."""
    for statement in _STATEMENTS:
        op.execute(statement)
