"""The house's database from nothing, up and down and up again, on both databases; and starters that meet."""

from __future__ import annotations

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from consumers import migrations
from consumers.database import open_engine
from consumers.loaders.record.tables import VIEWS
from consumers.tables import metadata
from schemas.errors import SettingsError


def test_up_and_down_and_up_again_ends_where_it_was(url: str) -> None:
    engine = open_engine(url)
    migrations.upgrade(engine)
    assert set(inspect(engine).get_table_names()) == {*metadata.tables, migrations.VERSION_TABLE}
    assert set(inspect(engine).get_view_names()) == set(VIEWS)
    migrations.downgrade(engine, "base")
    assert inspect(engine).get_table_names() == [migrations.VERSION_TABLE]
    migrations.upgrade(engine)
    assert migrations.current_revision(engine) == migrations.newest_revision()


def test_the_migrated_tables_are_those_of_the_program(url: str) -> None:
    engine = open_engine(url)
    migrations.upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrations.VERSION_TABLE, "compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_an_older_database_is_left_to_a_person_and_a_strangers_is_refused(url: str) -> None:
    engine = open_engine(url)
    migrations.upgrade(engine, "inbox_0001")
    with pytest.raises(SettingsError, match="panj customs database upgrade"):
        migrations.make_ready(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE panj_version SET version_num = 'from_tomorrow'"))
    with pytest.raises(SettingsError, match="newer version"):
        migrations.make_ready(engine)


def test_two_programs_that_start_together_do_not_collide(url: str) -> None:
    faults: list[BaseException] = []

    def start() -> None:
        try:
            migrations.make_ready(open_engine(url))
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            faults.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert migrations.current_revision(open_engine(url)) == migrations.newest_revision()
