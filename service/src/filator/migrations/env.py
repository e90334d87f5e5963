"""Alembic's environment: runs the migrations on the connection that filator.migrate hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="filator_alembic_version", transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
