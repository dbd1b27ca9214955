"""Run by Alembic. The connection comes from `gateway.stores.schema`, in a transaction of its own; there is no offline mode."""

from __future__ import annotations

from alembic import context

from gateway.stores.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
