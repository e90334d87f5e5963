"""Replaced versions that stay in the store until they are pruned or their file goes (docs/durability.md)."""

from alembic import op

revision = "0003"
down_revision = "0002"

_STATEMENTS = (
    # `generation` is the one of the file's row when the version was replaced; it orders the file's history.
    """
    CREATE TABLE replaced_versions (
        uuid text NOT NULL,
        generation bigint NOT NULL,
        store text NOT NULL,
        bucket text NOT NULL,
        identifier text NOT NULL,
        version_id text NOT NULL,
        checksum text NOT NULL,
        size bigint NOT NULL,
        mime_type text NOT NULL,
        filename text NOT NULL
    )
    """,
    "CREATE INDEX replaced_versions_uuid ON replaced_versions (uuid, generation)",
    "CREATE INDEX replaced_versions_identifier ON replaced_versions (identifier)",
)


def upgrade() -> None:
    """Create the table."""
    for statement in _STATEMENTS:
        op.execute(statement)
