"""Run by Alembic within the transaction that `consumers.migrations` has begun."""

from alembic import context

from consumers import closing_tables  # noqa: F401 - importing them is what makes them known
from consumers.loaders.record.tables import declaration
from consumers.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=declaration.metadata,  # one for all of the house's tables
    version_table=VERSION_TABLE,
)
context.run_migrations()
