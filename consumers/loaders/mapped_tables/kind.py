"""Filling mapped tables: in the house's own database within the follower's transaction, elsewhere first there, so that again is harmless.

Tables and columns are those of the database's own catalogue, looked up when the follower begins; no name is ever put together from data.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, MetaData, and_, delete, insert, inspect, not_, or_, text, update
from sqlalchemy import Table as CatalogueTable
from sqlalchemy.exc import DBAPIError, NoSuchTableError, StatementError
from sqlalchemy.sql import ColumnElement

from broker.settings.followers import MappedTables
from consumers.database import is_away, open_engine
from consumers.loaders.following.values import Done, Hindrance, Outcome, Todo
from consumers.loaders.mapped_tables.mapping import Faults, MappedTable, read_mapping
from consumers.loaders.mapped_tables.values import Row, Unfit, rows_of
from consumers.tables import metadata
from schemas.errors import Problem

log = structlog.get_logger()


class FilledTables:
    """The tables of one follower, as its database has them."""

    def __init__(self, settings: MappedTables, house_engine: Engine) -> None:
        self._mapping = read_mapping(settings.mapping, settings.types)
        self._elsewhere = open_engine(settings.database) if settings.database is not None else None
        self._targets: dict[str, CatalogueTable] = {}
        with self._database(), (self._elsewhere or house_engine).connect().execution_options(reads=True) as connection:
            faults = Faults(settings.mapping, [])
            for table in self._mapping.tables:
                self._targets[table.table] = _from_catalogue(connection, table, faults, own=self._elsewhere is None)
            faults.raise_any()

    def write(self, connection: Connection, todos: Sequence[Todo]) -> list[Done]:
        """Write the rows of each event under a savepoint of its own."""
        if self._elsewhere is None:
            return [self._write_one(connection, todo) for todo in todos]
        with self._database(), self._elsewhere.begin() as there:
            return [self._write_one(there, todo) for todo in todos]

    def publish(self, done: Sequence[Done]) -> None:
        """Everything is committed."""

    def recover(self, connection: Connection) -> None:
        """Nothing is ever left half done: elsewhere, what was not noted is written again."""

    def close(self) -> None:
        """Close the connections."""
        if self._elsewhere is not None:
            self._elsewhere.dispose()

    def _write_one(self, connection: Connection, todo: Todo) -> Done:
        if todo.superseded and not any(table.mode == "append" for table in self._mapping.tables):
            return Done(todo.event.id, Outcome.SUPERSEDED)
        try:
            with connection.begin_nested():
                written = [table.table for table in self._mapping.tables if _fill(connection, self._targets[table.table], table, todo)]
                _check_deferred(connection)
        except Unfit as error:
            return Done.failed(todo.event.id, Problem(code="follow-unfit", text=str(error)[:500]))
        except StatementError as error:
            if is_away(error):
                raise
            if _of_every_row(error):
                raise Hindrance("follow-database", f"its tables refuse every row: {_reason(error)}", field="database") from error
            log.warning("row.refused", event_id=todo.event.id, error=type(error.orig).__name__)
            return Done.failed(todo.event.id, Problem(code="follow-refused", text=_reason(error)))
        return Done(todo.event.id, Outcome.WRITTEN if written else Outcome.SKIPPED, ", ".join(written) or None)

    @contextmanager
    def _database(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if self._elsewhere is None or not is_away(error):
                raise
            self._elsewhere.dispose()
            raise Hindrance("follow-database", "the database of its tables does not answer", field="database") from error


def _from_catalogue(connection: Connection, mapped: MappedTable, faults: Faults, *, own: bool) -> CatalogueTable:
    """Find a mapped table in the catalogue and check that what the mapping needs of it is there."""
    schema, _, name = mapped.table.rpartition(".")
    if own and not schema and name in metadata.tables:
        faults.add("one of Panj's own tables: nobody else writes it", mapped.table)
    try:
        target = CatalogueTable(name, MetaData(), schema=schema or None, autoload_with=connection)
    except NoSuchTableError:
        faults.add("no such table in the database, or no right to see it", mapped.table)
        return CatalogueTable(name, MetaData())
    if unknown := sorted(set(mapped.columns.values()) - set(target.columns.keys())):
        faults.add(f"table {mapped.table} has no such columns", ", ".join(unknown))
    elif mapped.mode == "upsert" and not _is_unique(connection, name, schema or None, mapped.key):
        faults.add(
            f"table {mapped.table}: its key is no primary key and not unique: two rows could be one declaration's", ", ".join(mapped.key)
        )
    return target


def _is_unique(connection: Connection, name: str, schema: str | None, key: Iterable[str]) -> bool:
    catalogue = inspect(connection)
    unique: list[Any] = [catalogue.get_pk_constraint(name, schema)["constrained_columns"]]
    unique += [each["column_names"] for each in catalogue.get_unique_constraints(name, schema)]
    unique += [each["column_names"] for each in catalogue.get_indexes(name, schema) if each["unique"]]
    return set(key) in [set(columns) for columns in unique if columns]


def _fill(connection: Connection, target: CatalogueTable, mapped: MappedTable, todo: Todo) -> bool:
    """Write one event's rows into one table; says whether it was this table's business."""
    columns = dict(target.columns)
    if mapped.mode == "append":
        rows = list(rows_of(todo, mapped, columns))
        if rows:
            connection.execute(insert(target), rows)
        return bool(rows)
    if todo.superseded:
        return False
    if todo.cancels:
        return _cancel(connection, target, mapped, todo)
    rows = list(rows_of(todo, mapped, columns))
    for row in rows:
        _upsert(connection, target, mapped, row)
    if mapped.each is not None:
        _remove_others(connection, target, mapped, todo, rows)
    return True


def _upsert(connection: Connection, target: CatalogueTable, mapped: MappedTable, row: Row) -> None:
    # Not the database's own upsert: it differs from one to the next, and here nobody else writes these rows at the same moment.
    here = _where(target, {column: row[column] for column in mapped.key})
    rest = {column: value for column, value in row.items() if column not in mapped.key}
    found = connection.execute(update(target).where(here).values(rest or row)).rowcount
    if not found:
        connection.execute(insert(target).values(row))


def _cancel(connection: Connection, target: CatalogueTable, mapped: MappedTable, todo: Todo) -> bool:
    """A cancellation has no goods: rows are deleted, or told what it says; where there are none yet, nothing is made."""
    here = _where(target, _of_declaration(target, mapped, todo))
    if mapped.cancelled == "delete":
        return bool(connection.execute(delete(target).where(here)).rowcount)
    if mapped.each is not None:
        return False
    (row,) = rows_of(todo, mapped, dict(target.columns))
    said = {column: value for column, value in row.items() if value is not None and column not in mapped.key}
    return bool(said) and bool(connection.execute(update(target).where(here).values(said)).rowcount)


def _remove_others(connection: Connection, target: CatalogueTable, mapped: MappedTable, todo: Todo, rows: Sequence[Row]) -> None:
    """What an earlier version had, and this one has not, goes."""
    kept = [_where(target, {column: row[column] for column in mapped.of_element}) for row in rows]
    here = _where(target, _of_declaration(target, mapped, todo))
    connection.execute(delete(target).where(here, not_(or_(*kept))) if kept else delete(target).where(here))


def _of_declaration(target: CatalogueTable, mapped: MappedTable, todo: Todo) -> Row:
    """The part of the key that the declaration itself fills, with its values."""
    keys = {field: column for field, column in mapped.columns.items() if column in mapped.of_declaration}
    alone = MappedTable(table=mapped.table, mode="append", columns=keys)
    (row,) = rows_of(todo, alone, dict(target.columns))
    return row


def _check_deferred(connection: Connection) -> None:
    """Have deferred constraints say now which event breaks them: at the commit nobody could tell, and the others would fail with it."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
        connection.execute(text("SET CONSTRAINTS ALL DEFERRED"))


def _of_every_row(error: StatementError) -> bool:
    """Whether it is the table that is wrong and not the row: gone, altered, no right to write it, a disk that is read-only."""
    # PostgreSQL's class 42 (its manual, appendix A) is about the statement: undefined tables and columns, privileges.
    return (getattr(error.orig, "sqlstate", None) or "").startswith("42") or isinstance(error.orig, sqlite3.OperationalError)


def _where(target: CatalogueTable, values: Mapping[str, Any]) -> ColumnElement[bool]:
    return and_(*(target.columns[column] == value for column, value in values.items()))


def _reason(error: StatementError) -> str:
    """What the database said, without the values of the row: its first line, which names the constraint or column."""
    said = str(error.orig or error).strip().splitlines()[0]
    return f"the database refuses the row: {said}"[:500]
