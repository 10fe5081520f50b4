"""How far each table or view of a national database was read. A place is saved after what stands before it was accepted: a crash in between
reads it again, and intake knows it already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, insert, select, update

from broker.outbox.engine import one_at_a_time, reading, writing
from broker.outbox.tables import source_cursor


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one is: `place` as its reader writes it (None: at the beginning), rows read and rejected so far, and how it stands.

    `waiting_since_utc`: since when rows are there that cannot be read yet; `trouble`: why nothing is read, in words.
    """

    name: str
    place: Any = None
    rows: int = 0
    rejected: int = 0
    read_at_utc: datetime | None = None
    waiting_since_utc: datetime | None = None
    trouble: str | None = None


class Cursors:
    """The cursors in one outbox. Each method is one transaction."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def all(self) -> list[Cursor]:
        """Every cursor, by name."""
        with reading(self._engine) as connection:
            return [_cursor(row) for row in connection.execute(select(source_cursor).order_by(source_cursor.c.name))]

    def read(self, name: str) -> Cursor:
        """One cursor; one that was never saved stands at the beginning."""
        with reading(self._engine) as connection:
            row = connection.execute(select(source_cursor).where(source_cursor.c.name == name)).first()
        return Cursor(name) if row is None else _cursor(row)

    def save(self, name: str, place: Any, rows: int, rejected: int, *, waiting: bool) -> None:
        """Note that all before `place` was dealt with: so many more rows, so many of them rejected."""
        now = self._clock()
        here = source_cursor.c.name == name
        with writing(self._engine) as connection:
            one_at_a_time(connection)
            known = connection.execute(select(source_cursor).where(here)).first()
            since = None if not waiting else now if known is None else known.waiting_since_utc or now
            values = {"place": place, "read_at_utc": now, "waiting_since_utc": since, "trouble": None}
            if known is None:
                connection.execute(insert(source_cursor), {"name": name, "rows": rows, "rejected": rejected, **values})
            else:
                values |= {"rows": known.rows + rows, "rejected": known.rejected + rejected}
                connection.execute(update(source_cursor).where(here).values(values))

    def note(self, name: str, trouble: str) -> None:
        """Note why nothing is read at the moment."""
        with writing(self._engine) as connection:
            one_at_a_time(connection)
            changed = connection.execute(update(source_cursor).where(source_cursor.c.name == name).values(trouble=trouble))
            if changed.rowcount == 0:
                connection.execute(insert(source_cursor), {"name": name, "trouble": trouble})

    def forget(self, name: str) -> bool:
        """Begin again at the beginning; whether it stood anywhere."""
        with writing(self._engine) as connection:
            return connection.execute(delete(source_cursor).where(source_cursor.c.name == name)).rowcount > 0


def _cursor(row: Any) -> Cursor:
    return Cursor(row.name, row.place, row.rows, row.rejected, row.read_at_utc, row.waiting_since_utc, row.trouble)
