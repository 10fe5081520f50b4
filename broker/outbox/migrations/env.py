"""Run by Alembic within the transaction that `broker.outbox.migrations` has begun."""

from alembic import context

from broker.outbox import closing_tables, telling_tables  # noqa: F401 - importing them is what makes them known
from broker.outbox.migrations import VERSION_TABLE
from broker.outbox.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
