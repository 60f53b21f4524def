"""How Alembic runs our migrations: on the connection that `sync.database.migrate` hands it, in its transaction.

Nothing here imports `sync`: a migration depends on the schema it was written for, not on today's program.
"""

from __future__ import annotations

from alembic import context


def run() -> None:
    """Run the migrations that are due."""
    connection = context.config.attributes.get("connection")
    if connection is None:
        raise RuntimeError("run the migrations with `mpsync db upgrade`: it locks the database first")
    context.configure(connection=connection, on_version_apply=context.config.attributes.get("on_version_apply"))
    with context.begin_transaction():
        context.run_migrations()


run()
