"""The house's database from nothing, up and down and up again, on both databases; and starters that meet."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import delete, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError

from consumers import migrations
from consumers.database import open_engine
from consumers.loaders.record.tables import VIEWS
from consumers.tables import held, inbox, metadata
from schemas.errors import SettingsError
from schemas.event import new_epoch, new_id


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


def test_a_key_is_made_anew_with_all_rows_and_what_refers_to_them(url: str) -> None:
    engine = open_engine(url)
    migrations.upgrade(engine, "duplicates_index_0019")
    event_id, source, epoch = new_id(), "urn:customs:tj:langar", new_epoch()
    now = datetime.now(UTC)
    row = {"event_id": event_id, "source": source, "destination": "urn:customs:af:customs", "type": "t", "epoch": epoch, "sequence": 7}
    row |= {"reference": "TJ/LNG/2026/1", "digest": b"d" * 32, "fate": "HELD", "received_at_utc": now, "decided_at_utc": now}
    with engine.begin() as connection:
        connection.execute(insert(inbox), row | {"bundle_digest": b"b" * 32, "raw": b"{}"})
        connection.execute(
            insert(held), {"event_id": event_id, "queue": "record", "code": "c", "problem": "p", "first_held_at_utc": now, "attempts": 0}
        )
    for revision, second in (("head", "type"), ("duplicates_index_0019", "sequence"), ("head", "type")):
        (migrations.upgrade if revision == "head" else migrations.downgrade)(engine, revision)
        (key,) = inspect(engine).get_unique_constraints("inbox")
        assert key["column_names"][:2] == ["epoch", second]
        with engine.begin() as connection:
            assert connection.execute(select(inbox.c.sequence).join(held, held.c.event_id == inbox.c.event_id)).scalars().all() == [7]
        with pytest.raises(IntegrityError), engine.begin() as connection:
            connection.execute(delete(inbox))  # the held row refers to it
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrations.VERSION_TABLE, "compare_type": False})
        assert compare_metadata(context, metadata) == []
