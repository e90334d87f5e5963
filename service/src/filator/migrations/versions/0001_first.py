"""Files, their bytes, and the bookkeeping that keeps both in step (docs/durability.md)."""

from alembic import op

revision = "0001"
down_revision = None

_STATEMENTS = (
    # Names up to identifier_in_store are the contract's; the rest is ours.
    """
    CREATE TABLE attachments (
        uuid text PRIMARY KEY CHECK (uuid ~ '^[0-9a-f]{64}$'),
        checksum text NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        tags jsonb NOT NULL DEFAULT '[]',
        metadata jsonb NOT NULL DEFAULT '{}',
        delete_at timestamptz,
        mime_type text NOT NULL,
        filename text NOT NULL,
        store text NOT NULL,
        identifier_in_store text NOT NULL,
        bucket text,
        version_id text,
        size bigint NOT NULL,
        crc32 bigint NOT NULL,
        generation bigint NOT NULL DEFAULT 1
    )
    """,
    "CREATE INDEX attachments_delete_at ON attachments (delete_at) WHERE delete_at IS NOT NULL",
    "CREATE INDEX attachments_created_at ON attachments (created_at, uuid)",
    "CREATE INDEX attachments_pointer ON attachments (identifier_in_store)",
    # One row is one MiB of a file. `id` is the file's identifier_in_store: a replaced file keeps its old rows
    # for running readers, so the uuid alone cannot be the key.
    """
    CREATE TABLE attachment_blobs (
        id text NOT NULL,
        attachment_id text NOT NULL,
        seq integer NOT NULL DEFAULT 0,
        blob bytea NOT NULL,
        PRIMARY KEY (id, seq)
    )
    """,
    # No compression: uploads are mostly compressed already, and substring reads stay cheap.
    "ALTER TABLE attachment_blobs ALTER COLUMN blob SET STORAGE EXTERNAL",
    "CREATE INDEX attachment_blobs_attachment ON attachment_blobs (attachment_id)",
    """
    CREATE TABLE blob_gc (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        store text NOT NULL,
        bucket text,
        identifier text NOT NULL,
        version_id text,
        not_before timestamptz NOT NULL,
        attempts integer NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX blob_gc_due ON blob_gc (store, not_before)",
    "CREATE INDEX blob_gc_identifier ON blob_gc (identifier)",
    """
    CREATE TABLE upload_intents (
        id text PRIMARY KEY,
        uuid text NOT NULL,
        store text NOT NULL,
        bucket text,
        identifier text NOT NULL,
        started_at timestamptz NOT NULL,
        beat_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX upload_intents_identifier ON upload_intents (identifier)",
    """
    CREATE TABLE archive_txs (
        uuid text PRIMARY KEY,
        before timestamptz NOT NULL,
        state text NOT NULL DEFAULT 'open',
        ctx jsonb NOT NULL,
        commit text,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    # Objects whose rows an archive took away on purpose: the orphan sweep must not take them for strays.
    """
    CREATE TABLE kept_objects (
        store text NOT NULL,
        bucket text,
        identifier text NOT NULL,
        version_id text,
        archive_uuid text NOT NULL
    )
    """,
    "CREATE INDEX kept_objects_identifier ON kept_objects (identifier)",
)


def upgrade() -> None:
    """Create the tables."""
    for statement in _STATEMENTS:
        op.execute(statement)
