"""Which state of which row a downloaded archive holds: a commit deletes these and no others (docs/durability.md)."""

from alembic import op

revision = "0005"
down_revision = "0004"

_STATEMENTS = (
    # 0 is a row from before this column; a constant default rewrites no table.
    "ALTER TABLE attachments ADD COLUMN revision bigint NOT NULL DEFAULT 0",
    "CREATE SEQUENCE attachments_revision",
    # A trigger, so that no writer can forget it: neither an older filator beside this one nor a statement by hand.
    """
    CREATE FUNCTION attachments_raise_revision() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.revision := nextval('attachments_revision');
        RETURN NEW;
    END
    $$
    """,
    """
    CREATE TRIGGER attachments_revision BEFORE INSERT OR UPDATE ON attachments
        FOR EACH ROW EXECUTE FUNCTION attachments_raise_revision()
    """,
    """
    CREATE TABLE archive_downloads (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        archive_uuid text NOT NULL,
        beat_at timestamptz NOT NULL,
        notes jsonb
    )
    """,
    "CREATE INDEX archive_downloads_archive ON archive_downloads (archive_uuid)",
    """
    CREATE TABLE archive_rows (
        download bigint NOT NULL REFERENCES archive_downloads ON DELETE CASCADE,
        uuid text NOT NULL,
        revision bigint NOT NULL,
        PRIMARY KEY (download, uuid)
    )
    """,
    # What was downloaded before has no list: it must be downloaded again, also where a deletion stopped in the middle.
    """
    UPDATE archive_txs SET state = 'open', ctx = (ctx - 'archive' - 'closing')
        || jsonb_build_object('deleted', coalesce(ctx -> 'closing' -> 'deleted', '0'::jsonb))
        WHERE state = 'committing'
    """,
    "UPDATE archive_txs SET ctx = ctx - 'archive' WHERE state = 'open'",
)


def upgrade() -> None:
    """Add the column with its trigger, and the tables."""
    for statement in _STATEMENTS:
        op.execute(statement)
