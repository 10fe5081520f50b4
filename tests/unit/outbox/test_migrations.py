from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from broker.outbox.engine import open_engine
from broker.outbox.migrations import VERSION_TABLE, current_revision, downgrade, newest_revision, upgrade
from broker.outbox.store import Outbox
from broker.outbox.tables import metadata
from schemas.errors import SettingsError
from tests.unit.outbox.drafts import POST


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(url: str) -> None:
    engine = open_engine(url)
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
        found = {index["name"] for table in metadata.tables for index in inspect(connection).get_indexes(table)}
    assert {str(index.name) for table in metadata.tables.values() for index in table.indexes} <= found
    engine.dispose()


def test_migrations_go_up_down_and_up_again(url: str) -> None:
    engine = open_engine(url)
    upgrade(engine)
    upgrade(engine)
    assert current_revision(engine) == newest_revision()
    downgrade(engine, "base")
    assert set(inspect(engine).get_table_names()) <= {VERSION_TABLE}
    upgrade(engine)
    assert set(metadata.tables) <= set(inspect(engine).get_table_names())
    engine.dispose()


def test_an_outbox_written_by_a_newer_version_is_left_alone(url: str) -> None:
    Outbox.open(url, POST, "test").close()
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))  # noqa: S608 - our own constant
    with pytest.raises(SettingsError, match="outbox-newer"):
        Outbox.open(url, POST, "test")
    engine.dispose()
