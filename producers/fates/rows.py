"""Fates as rows of a table that is only added to, in a database of the national system. Its DDL stands in docs/sources.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, column, insert, select, table
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from broker.outbox.telling import Telling
from producers.fates.message import document_of
from producers.fates.receiving import NotTaken, Reply, Taken
from schemas.errors import shown

AT_ONCE = 500
_COLUMNS = ("event_id", "fate", "reference", "version", "event_type", "destination", "post", "at_utc", "problems")
_AWAY = ("08", "53", "57", "58")  # classes of SQLSTATE in which the database itself is in trouble


class RowsReceiver:
    """A table. A row that is there already is taken as told: it was, before a crash."""

    at_once = AT_ONCE

    def __init__(self, engine: Engine, name: str, post: str) -> None:
        schema, _, bare = name.rpartition(".")
        self._engine = engine
        self._post = post
        self._table = table(bare, *(column(each) for each in _COLUMNS), schema=schema or None)

    def tell(self, tellings: Sequence[Telling]) -> list[Reply]:
        """Add them in one transaction; where the database refuses that, each in its own, so that one bad row costs no other."""
        whole = self._try(tellings)
        if isinstance(whole, Taken) or whole.away or len(tellings) == 1:
            return [whole] * len(tellings)
        return [self._try([telling]) for telling in tellings]

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()

    def _try(self, tellings: Sequence[Telling]) -> Reply:
        try:
            with self._engine.begin() as connection:
                self._add(connection, tellings)
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None) or ""
            away = error.connection_invalidated or state[:2] in _AWAY or (not state and type(error.orig).__name__ == "OperationalError")
            return NotTaken(f"the database refuses: {shown(str(error.orig).splitlines()[0])}", away=away)
        except SQLAlchemyError as error:
            return NotTaken(f"the database does not answer: {type(error).__name__}", away=True)
        return Taken()

    def _add(self, connection: Connection, tellings: Sequence[Telling]) -> None:
        here = self._table.c
        query = select(here.event_id, here.fate).where(here.event_id.in_([telling.event_id for telling in tellings]))
        known = {(event_id, fate) for event_id, fate in connection.execute(query)}
        rows = [self._row(telling) for telling in tellings if (telling.event_id, telling.stage.value) not in known]
        if rows:
            connection.execute(insert(self._table), rows)

    def _row(self, telling: Telling) -> dict[str, Any]:
        said = document_of(telling, self._post)
        data = said["data"]
        row = {name: data[name] for name in _COLUMNS if name in data}
        return row | {
            "at_utc": said["timestamp"],
            "problems": json.dumps(data["problems"], ensure_ascii=False) if data["problems"] else None,
        }
