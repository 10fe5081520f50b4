"""Asking the national database: rows of one table or view, in order, within one read-only snapshot at a time. All of its SQL stands here.

What the columns must promise, the DDL and the query plan stand in docs/sources.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    Select,
    and_,
    column,
    func,
    literal,
    or_,
    select,
    table,
    text,
    tuple_,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from broker.settings.sources import ViewSource
from producers.sources.view.places import Place, checked
from schemas.errors import UnavailableError, shown

STATEMENT_SECONDS = 60
_ROW_VALUES = ("postgresql", "sqlite")  # they compare rows of values; Oracle does not
_AT_ONCE = 100  # documents asked for by key in one statement


@dataclass(frozen=True, slots=True)
class ViewRow:
    """One row: where it stands, and the values of the columns that were asked for beside that."""

    place: Place
    values: tuple[Any, ...]


class Snapshot:
    """The view as it stands at one moment: whatever is asked, the answers fit each other."""

    def __init__(self, connection: Connection, source: ViewSource, columns: Sequence[str]) -> None:
        schema, _, bare = source.view.rpartition(".")
        names = dict.fromkeys((source.changed, *source.key, *columns))
        self._connection = connection
        self._table = table(bare, *(column(name) for name in names), schema=schema or None)
        self._order = [self._table.c[name] for name in (source.changed, *source.key)]
        self._columns = [self._table.c[name] for name in columns]

    def oldest_open(self) -> int:
        """PostgreSQL: the id of the oldest transaction that had not ended; every one below it had (pg_snapshot_xmin, "System Information
        Functions"). True on a standby as well.
        """
        return int(self._connection.execute(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")).scalar_one())

    def now(self, like: datetime) -> datetime:
        """The database's clock, with or without an offset as `like` has it."""
        function = func.current_timestamp() if like.tzinfo is not None else func.localtimestamp()
        found: datetime = self._connection.execute(select(function)).scalar_one()
        return found

    def rows(self, after: Place | None, before: int | None, limit: int) -> list[ViewRow]:
        """Rows that follow a place, in order, none of them changed at `before` or later."""
        query = rows_query(self._connection.dialect.name, self._order, self._columns, after, before, limit)
        return [self._row(row) for row in self._connection.execute(query)]

    def places(self, after: Place | None, since: Any, limit: int) -> list[Place]:
        """The places of rows that follow one, none of them changed before `since`, in order."""
        query = select(*self._order).order_by(*self._order).limit(limit)
        if since is not None:
            query = query.where(self._order[0] >= _bound(since))
        if after is not None:
            query = query.where(_follows(self._connection.dialect.name, self._order, after))
        return [checked(row) for row in self._connection.execute(query)]

    def rows_at(self, places: Sequence[Place]) -> list[ViewRow]:
        """The rows at these places that are still there, in the order of `places`."""
        found: dict[Place, ViewRow] = {}
        for start in range(0, len(places), _AT_ONCE):
            here = or_(
                *(
                    and_(*(each == _bound(value) for each, value in zip(self._order, place, strict=True)))
                    for place in places[start : start + _AT_ONCE]
                )
            )
            for row in map(self._row, self._connection.execute(_asked(self._order, self._columns).where(here))):
                found[row.place] = row
        return [found[place] for place in places if place in found]

    def _row(self, row: Any) -> ViewRow:
        return ViewRow(checked(row[: len(self._order)]), tuple(row[len(self._order) :]))

    def anything_from(self, changed: int) -> bool:
        """Whether there are rows that changed at `changed` or later."""
        return self._connection.execute(select(self._order[0]).where(self._order[0] >= _bound(changed)).limit(1)).first() is not None

    def anything_unordered(self) -> bool:
        """Whether there are rows whose `changed` is NULL: no order would ever come to them."""
        return self._connection.execute(select(self._order[0]).where(self._order[0].is_(None)).limit(1)).first() is not None


def rows_query(
    dialect: str,
    order: Sequence[ColumnElement[Any]],
    columns: Sequence[ColumnElement[Any]],
    after: Place | None,
    before: int | None,
    limit: int,
) -> Select[Any]:
    """The query by which rows are read: a range of the index on (changed, key), from where the last one ended."""
    query = _asked(order, columns).order_by(*order).limit(limit)
    if before is not None:
        query = query.where(order[0] < _bound(before))
    return query if after is None else query.where(_follows(dialect, order, after))


def _asked(order: Sequence[ColumnElement[Any]], columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
    """The place first, then the rest; a column of the key may be asked for again, under another name."""
    return select(*order, *(each.label(f"c{at}") for at, each in enumerate(columns)))


def _follows(dialect: str, order: Sequence[ColumnElement[Any]], after: Place) -> ColumnElement[bool]:
    if dialect in _ROW_VALUES:
        return tuple_(*order) > tuple_(*map(_bound, after))
    steps = [
        and_(*(each == _bound(value) for each, value in zip(order[:at], after[:at], strict=True)), order[at] > _bound(after[at]))
        for at in range(len(order))
    ]
    return and_(order[0] >= _bound(after[0]), or_(*steps))  # the first condition lets the index be used


def _bound(value: Any) -> Any:
    """A value with its exact type: an instant with an offset keeps it, and does not pass through the session's own time zone."""
    if isinstance(value, datetime):
        return literal(value, DateTime(timezone=value.tzinfo is not None))
    return literal(value, BigInteger()) if isinstance(value, int) else literal(value)


class NationalView:
    """One table or view of a national database. Used by one thread."""

    def __init__(self, engine: Engine, source: ViewSource, columns: Sequence[str]) -> None:
        self._engine = engine
        self._source = source
        self._columns = columns

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """A read-only transaction that sees one moment; UnavailableError `view-away` where the database does not answer or refuses."""
        try:
            with self._engine.connect() as connection:
                begin_reading(connection)
                yield Snapshot(connection, self._source, self._columns)
        except DBAPIError as error:
            raise UnavailableError("view-away", f"the national database refuses or is away: {shown(_first_line(error.orig))}") from error
        except SQLAlchemyError as error:
            raise UnavailableError("view-away", f"the national database does not answer: {type(error).__name__}") from error

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()


def begin_reading(connection: Connection) -> None:
    """Begin a transaction that only reads, and sees the database as it is at one moment."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'"))
    elif dialect == "oracle":
        # Its driver gives instants without their offset: so that they compare with the clock, both are in UTC.
        connection.execute(text("ALTER SESSION SET TIME_ZONE = 'UTC'"))
        connection.execute(text("SET TRANSACTION READ ONLY"))
    else:
        connection.execute(text("PRAGMA query_only = ON"))


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or ["?"])[0]
