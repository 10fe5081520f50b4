"""The audit trail on both databases: it grows, it hangs together, and the database refuses to change it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, delete, text, update
from sqlalchemy.exc import DBAPIError

from broker.audit import Act, Entry, append, entries, first_broken, head
from consumers.tables import audit

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


def _trail(engine: Engine) -> list[Entry]:
    with engine.begin() as connection:
        return entries(connection, audit)


def test_acts_form_one_chain_whose_head_stands_for_all_of_it(engine: Engine) -> None:
    with engine.begin() as connection:
        assert head(connection, audit) is None
        for number in range(3):
            append(connection, audit, Act("amina", "held.discarded", f"event-{number}", "договорённость", {"number": number}), NOW)
        assert head(connection, audit) == entries(connection, audit)[-1].digest
        assert [entry.reason for entry in entries(connection, audit, subject="event-1")] == ["договорённость"]
    assert first_broken(_trail(engine)) is None


@pytest.mark.parametrize("change", [update(audit).values(actor="somebody else"), delete(audit)])
def test_the_database_refuses_to_change_or_remove_what_was_written(engine: Engine, change: object) -> None:
    with engine.begin() as connection:
        append(connection, audit, Act("amina", "held.discarded", "event-1"), NOW)
    with pytest.raises(DBAPIError, match="insert-only"), engine.begin() as connection:
        connection.execute(change)  # type: ignore[call-overload]
    assert len(_trail(engine)) == 1


def test_a_changed_removed_or_moved_entry_is_found(engine: Engine) -> None:
    with engine.begin() as connection:
        for number in range(4):
            append(connection, audit, Act("amina", "held.discarded", f"event-{number}"), NOW)
    trail = _trail(engine)
    assert first_broken([trail[0], trail[1]._replace(actor="somebody else"), *trail[2:]]) == 2
    assert first_broken([trail[0], *trail[2:]]) == 3
    assert first_broken([trail[1], trail[0], *trail[2:]]) == 2
    assert first_broken(trail[1:]) == 2


def test_truncating_is_refused_too_where_the_database_knows_it(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no TRUNCATE: deleting is refused")
    with engine.begin() as connection:
        append(connection, audit, Act("amina", "held.discarded", "event-1"), NOW)
    with pytest.raises(DBAPIError, match="insert-only"), engine.begin() as connection:
        connection.execute(text("TRUNCATE audit"))
    assert len(_trail(engine)) == 1
