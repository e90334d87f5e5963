"""Whose file it is: the name of the token that made it, for tokens that may change their own files only."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column; a file from before it belongs to no token."""
    op.execute("ALTER TABLE attachments ADD COLUMN owner text")
