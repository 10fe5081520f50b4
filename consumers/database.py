"""How the house's database is opened, written in sets, and which of its errors mean that it is away. No table is named here.

The database's own trouble is no event's fate (DESIGN 5): whoever meets it rolls back, waits, and does the same batch again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    Select,
    String,
    Table,
    Text,
    any_,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    literal,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, TimeoutError

from broker import statements
from broker.sqlite import make_durable
from consumers.columns import exact_text, instant_text
from schemas.errors import SettingsError, UnavailableError, UsageError

LOCK_SECONDS = 10
HANDLING = "panj.handling"  # set in connection.info while an integrator's handler runs

# PostgreSQL's error classes (its manual, appendix A) that tell of the server and not of a statement's content: connection, invalid
# transaction state by read-only (25006), rollback (deadlock, serialization), resources, lock not available, operator intervention, system.
_AWAY_CLASSES = frozenset({"08", "40", "53", "57", "58"})
_AWAY_STATES = frozenset({"25006", "55P03", "25P03", "25P04"})
_CONTENT_STATES = frozenset({"57014"})  # query_canceled: a statement_timeout that one event may always meet
_SQLITE_CONTENT = ("no such", "has no column", "syntax error", "already exists", "misuse", "ambiguous", "may not be", "too many")


def open_engine(url: str) -> Engine:
    """Make the engine for `sqlite:///…` (a file) or `postgresql+psycopg://…`; SettingsError `house-database-url` for anything else.

    Connects on first use. On SQLite every transaction takes the write lock at its beginning; those that only read say so with
    `execution_options(reads=True)`.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        if backend == "sqlite" and parsed.database not in (None, "", ":memory:"):
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(parsed)
            _prepare_sqlite(engine)
        elif backend == "postgresql":
            engine = create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                pool_size=3,
                max_overflow=2,
                pool_timeout=LOCK_SECONDS,
                connect_args={
                    "connect_timeout": 5,
                    "keepalives_idle": 10,
                    "keepalives_interval": 5,
                    "keepalives_count": 3,
                    "application_name": "panj-customs",
                    # Compiled statements pay where one runs for seconds. Ours read little of large tables, and the planner's guess of a
                    # status over ten million events had it compiled for 150 ms, to run for 4.
                    "options": f"-c lock_timeout={LOCK_SECONDS}s -c timezone=UTC -c jit=off",
                },
            )
        else:
            raise SettingsError(
                "house-database-url", "the house's database is sqlite:///… (a file) or postgresql+psycopg://…", value=backend
            )
    except (ArgumentError, NoSuchModuleError) as error:
        raise SettingsError("house-database-url", f"not an SQLAlchemy URL: {error}", field="house.database") from None
    event.listen(engine, "commit", _refuse_in_handler)
    event.listen(engine, "rollback", _refuse_in_handler)
    return engine


def _prepare_sqlite(engine: Engine) -> None:
    """Durable connections; a transaction that writes takes its lock at its beginning."""

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: object) -> None:
        make_durable(connection, LOCK_SECONDS)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _refuse_in_handler(connection: Connection) -> None:
    # The last line of defence behind `handling`, for a handler that reaches for the transaction behind its connection.
    if not connection.invalidated and connection.info.get(HANDLING):
        raise UsageError("handler-commits", "a handler neither commits nor rolls back: the framework does, with the inbox rows")


def insert_rows(connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows whose values stand in the order of the table's columns; JSON values are given as text (`columns.json_text`).

    COPY on PostgreSQL: one statement for any number of rows at about a fifth of the cost of INSERT. Raises the driver's own errors.
    """
    if not rows:
        return
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "postgresql":
        with driver.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:  # names are our own tables'
            write = copy.write_row
            for row in rows:
                write(row)
        return
    marks = ", ".join("?" * len(table.columns))
    with closing(driver.cursor()) as cursor:
        cursor.executemany(
            f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})',  # noqa: S608 - names are our own tables', values are bound
            ([_sqlite_value(value) for value in row] for row in rows),
        )


def _sqlite_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return exact_text(value)
    if isinstance(value, datetime):
        return instant_text(value)
    return value.isoformat() if isinstance(value, date) else value


def insert_missing(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert those rows whose key is not there yet."""
    listed = list(rows)
    if not listed:
        return
    connection.execute(statements.insert_missing(table, connection.dialect.name), listed)


def insert_values(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows given by column name, where they are few and need the columns' own conversions."""
    listed = list(rows)
    if listed:
        connection.execute(insert(table), listed)


def among(connection: Connection, column: Column[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """`column` is one of these values, however many: one array on PostgreSQL, where hundreds of parameters cost milliseconds to read."""
    listed = list(values)
    if connection.dialect.name != "postgresql":
        return column.in_(listed)
    return column == any_(literal(listed, _array_of(column, connection.dialect)))


def member_of(dialect: Dialect, column: Column[Any], parameter: str) -> ColumnElement[bool]:
    """As `among`, of the list that is given as `parameter`: for statements that are made once and asked with every batch, for making one
    costs more than asking it.
    """
    if dialect.name != "postgresql":
        return column.in_(bindparam(parameter, expanding=True))
    return column == any_(bindparam(parameter, type_=_array_of(column, dialect)))


def each_by_key(dialect: Dialect, rows: Select[Any], column: Column[Any], parameter: str) -> Select[Any]:
    """`rows` where `column`, the rest of a unique key that `rows` already holds to one value, is in the list given as `parameter`.

    One probe of the key for each value on PostgreSQL, whatever it believes about the table. As a list it takes the values for a filter over
    all that shares the rest of the key while its statistics are of a smaller table: a growing stream was read whole for each batch.
    """
    if dialect.name != "postgresql":
        return rows.where(column.in_(bindparam(parameter, expanding=True)))
    values = func.unnest(bindparam(parameter, type_=_array_of(column, dialect)))
    wanted = values.table_valued(Column("value", column.type)).render_derived("wanted")
    found = rows.where(column == wanted.c.value).limit(1).lateral("found")  # with its limit it stays a loop: no join is made of it
    return select(found).select_from(wanted.join(found, true()))


def _array_of(column: Column[Any], dialect: Dialect) -> ARRAY[Any]:
    kind = column.type.dialect_impl(dialect)
    return ARRAY(Text() if isinstance(kind, String) else kind)


def is_away(error: BaseException) -> bool:
    """Whether an error tells of the database's own trouble (gone, full, locked, read-only, deadlock) and not of what was asked of it."""
    if isinstance(error, (UnavailableError, TimeoutError)):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_away(error.orig))
    if isinstance(error, psycopg.Error):
        state = error.sqlstate
        if state is None:  # libpq's own: no connection, or it broke
            return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        return state not in _CONTENT_STATES and (state[:2] in _AWAY_CLASSES or state in _AWAY_STATES)
    if isinstance(error, sqlite3.OperationalError):
        return not any(words in str(error) for words in _SQLITE_CONTENT)
    return False


def is_repeated_key(error: BaseException) -> bool:
    """Whether an error is a broken unique key: another process was first."""
    if isinstance(error, DBAPIError):
        return error.orig is not None and is_repeated_key(error.orig)
    if isinstance(error, sqlite3.IntegrityError):
        return "UNIQUE" in str(error)
    return isinstance(error, psycopg.errors.UniqueViolation)
