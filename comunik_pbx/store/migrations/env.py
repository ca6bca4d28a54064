"""Alembic's environment: migrate on the connection, and in the transaction, that `migrate` hands over."""

from alembic import context

from comunik_pbx.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
