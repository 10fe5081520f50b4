"""A national database on a real PostgreSQL: a table of declarations as docs/sources.md declares it, and a post that reads its view."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
from sqlalchemy import event

from broker.outbox.store import Outbox
from broker.settings.model import Settings
from broker.settings.sources import ViewSource
from producers.post import followed_view
from producers.sources.view.following import FollowedView
from tests.integration.sources.door import POST
from tests.unit.producers.examples import EXPORT, export, release, settings_of

DDL = """
CREATE TABLE declaration (
    office   text NOT NULL,
    year     integer NOT NULL,
    serial   integer NOT NULL,
    document text,
    txid     bigint NOT NULL,
    changed  timestamptz NOT NULL,
    PRIMARY KEY (office, year, serial)
);
CREATE INDEX declaration_txid ON declaration (txid, office, year, serial);
CREATE INDEX declaration_changed ON declaration (changed, office, year, serial);

CREATE FUNCTION declaration_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.txid := pg_current_xact_id()::text::bigint;
    NEW.changed := now();
    RETURN NEW;
END $$;
CREATE TRIGGER declaration_stamp BEFORE INSERT OR UPDATE ON declaration
    FOR EACH ROW EXECUTE FUNCTION declaration_stamp();

CREATE VIEW exchange_declaration AS SELECT office, year, serial, document, txid, changed FROM declaration;
"""
INSERT = "INSERT INTO declaration (office, year, serial, document) VALUES ('TJ105000', 2026, %s, %s)"

Order = Literal["transaction", "commit", "time"]
COLUMNS: dict[Order, str] = {"transaction": "txid", "commit": "serial", "time": "changed"}


def document(number: int | str, **changes: Any) -> str:
    return json.dumps({"type": EXPORT, "declaration": export(str(number), **changes)}, ensure_ascii=False)


def source_of(url: str, order: Order = "transaction", **changes: Any) -> ViewSource:
    key = ("office", "year") if order == "commit" else ("office", "year", "serial")
    given = {
        "name": "sad",
        "database": url,
        "view": "public.exchange_declaration",
        "key": key,
        "changed": COLUMNS[order],
        "document": "document",
        "order": order,
    }
    return ViewSource.model_validate(given | changes)


class Ledger:
    """The national database of one test, its post's outbox, and connections that a test makes transactions with."""

    def __init__(self, directory: Path, url: str) -> None:
        self.url = url
        self.settings: Settings = settings_of(directory, release(EXPORT))
        self.outbox = Outbox.open(self.settings.posts[POST.name].outbox, POST, self.settings.environment)
        self.rejected = self.settings.posts[POST.name].watch / "rejected"
        self.numbers = itertools.count(1)
        self._connections: list[psycopg.Connection[Any]] = []
        self._views: list[FollowedView] = []
        with self.connect() as connection:
            connection.execute(DDL)

    def connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self.url.replace("+psycopg", "", 1))
        self._connections.append(connection)
        return connection

    def follow(self, order: Order = "transaction", **changes: Any) -> FollowedView:
        """A post that reads the view: another one each time, as after a restart."""
        view = followed_view(self.settings, POST.name, source_of(self.url, order, **changes), self.outbox, lambda: None)
        self._views.append(view)
        return view

    def references(self) -> list[str]:
        """What is in the outbox, in the order in which it was accepted."""
        rows = self.outbox.waiting("urn:customs:af:customs", 1_000_000, 10**10)
        return [json.loads(row.raw)["data"]["registration_number"] for row in rows]

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        for view in self._views:
            view._view.close()
        self.outbox.close()


def read_all(view: FollowedView) -> None:
    """Let it read until there is nothing more at once."""
    while view.turn():
        pass


@contextmanager
def ledger_of(directory: Path, url: str) -> Iterator[Ledger]:
    ledger = Ledger(directory, url)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def statements(view: FollowedView) -> Iterator[list[tuple[str, Any]]]:
    """What is asked of the national database, as its driver is asked."""
    asked: list[tuple[str, Any]] = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    engine = view._view._engine
    event.listen(engine, "before_cursor_execute", listen)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", listen)
