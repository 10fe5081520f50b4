"""Values that must be the same on both databases, and errors that must not be taken for fates."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, Table, insert, select

from consumers.columns import Exact, Instant, exact_text, instant_text
from consumers.database import is_away, is_repeated_key, open_engine
from schemas.errors import SettingsError

KABUL = timezone(timedelta(hours=4, minutes=30))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=0, max_value=10**9))
def test_a_decimal_survives_its_text(number: Decimal) -> None:
    assert Decimal(exact_text(number)) == number
    assert "E" not in exact_text(number)


def test_texts_of_instants_sort_as_their_instants() -> None:
    instants = [
        datetime(2026, 3, 1, 4, 30, tzinfo=KABUL),
        datetime(2026, 3, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 3, 1, 5, tzinfo=KABUL),
    ]
    assert [instant_text(one) for one in sorted(instants)] == sorted(instant_text(one) for one in instants)


def test_sqlite_gives_back_exactly_what_was_written(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/values.sqlite")
    table = Table("kept", MetaData(), Column("mass", Exact(16, 6)), Column("at", Instant()))
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(table), {"mass": Decimal("0.100000"), "at": datetime(2026, 11, 24, 9, 30, tzinfo=KABUL)})
        assert connection.execute(select(table)).one() == (Decimal("0.100000"), datetime(2026, 11, 24, 5, tzinfo=UTC))
        with pytest.raises(Exception, match="decimals"):
            connection.execute(insert(table), {"mass": 0.1})


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (psycopg.OperationalError("the connection is lost"), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.SerializationFailure(), True),
        (psycopg.errors.ReadOnlySqlTransaction(), True),
        (psycopg.errors.TooManyConnections(), True),
        (psycopg.errors.DiskFull(), True),
        (psycopg.errors.UniqueViolation(), False),
        (psycopg.errors.UndefinedTable(), False),
        (psycopg.errors.QueryCanceled(), False),
        (sqlite3.OperationalError("database is locked"), True),
        (sqlite3.OperationalError("disk I/O error"), True),
        (sqlite3.OperationalError("attempt to write a readonly database"), True),
        (sqlite3.OperationalError("no such table: transit"), False),
        (ValueError("x"), False),
    ],
)
def test_only_the_databases_own_trouble_is_waited_for(error: BaseException, away: bool) -> None:
    assert is_away(error) is away


def test_a_broken_unique_key_is_known_on_both() -> None:
    assert is_repeated_key(psycopg.errors.UniqueViolation())
    assert is_repeated_key(sqlite3.IntegrityError("UNIQUE constraint failed: inbox.event_id"))
    assert not is_repeated_key(sqlite3.IntegrityError("NOT NULL constraint failed: x.y"))


@pytest.mark.parametrize("url", ["mysql://x", "nonsense", "sqlite://"])
def test_a_database_that_cannot_be_used_is_a_setting_to_mend(url: str) -> None:
    with pytest.raises(SettingsError):
        open_engine(url)
