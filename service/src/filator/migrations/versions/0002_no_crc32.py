"""Drop crc32: a ZIP may carry it behind each member, so uploads need not spend 0.3 CPU-seconds a GiB on it."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE attachments DROP COLUMN crc32")
