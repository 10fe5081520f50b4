"""How the outbox's database is opened, its transactions begun, and its troubles told as coded errors. No table is touched here."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from broker.sqlite import make_durable
from schemas.errors import PanjError, SettingsError, UnavailableError

WAIT_FOR_LOCK_SECONDS = 10
_ADVISORY_KEY = 0x70616E6A01  # any number, the same in every process


def open_engine(url: str) -> Engine:
    """Make the engine for `sqlite:///…` (a file) or `postgresql+psycopg://…`; SettingsError `outbox-url` for anything else."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            if parsed.database in (None, "", ":memory:"):
                raise SettingsError("outbox-url", "an outbox in memory forgets what it accepted: name a file, sqlite:///…", value=url)
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(parsed)
            _prepare_sqlite(engine)
            return engine
        if parsed.get_backend_name() == "postgresql":
            options = f"-c lock_timeout={WAIT_FOR_LOCK_SECONDS}s -c timezone=UTC"
            return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, connect_args={"options": options})
    except (ArgumentError, NoSuchModuleError) as error:
        raise SettingsError("outbox-url", f"not an SQLAlchemy URL: {error}") from None
    raise SettingsError("outbox-url", "an outbox is kept in sqlite:///… or postgresql+psycopg://…", value=parsed.get_backend_name())


def _prepare_sqlite(engine: Engine) -> None:
    """Durable connections; a transaction that writes takes its lock at its beginning."""

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: object) -> None:
        make_durable(connection, WAIT_FOR_LOCK_SECONDS)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes its lock at once: two readers that both turn writers can only fail.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads; UnavailableError where the database is away."""
    with _told(), engine.begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes, durable once left; UnavailableError `outbox-full`, `outbox-busy` or `outbox-away`, nothing done then."""
    with _told(), engine.connect().execution_options(writes=True) as connection, connection.begin():
        yield connection


def last_write(engine: Engine) -> object:
    """Something that differs after another commit, of whichever process, without asking the database: time and size of SQLite's log.

    None where there is no such sign; rarely the same after a commit within one tick of the clock. It says when to look, no more.
    """
    if engine.dialect.name != "sqlite":
        return None
    try:
        log = os.stat(f"{engine.url.database}-wal")
    except OSError:
        return None
    return log.st_mtime_ns, log.st_size


def one_at_a_time(connection: Connection) -> None:
    """Let other processes' transactions that ask for the same wait until this one ends. On SQLite every writer does so anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_KEY})


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        told = _error_of(error)
        if told is None:
            raise
        raise told from error


def _error_of(error: DBAPIError) -> PanjError | None:
    state = getattr(error.orig, "sqlstate", None)
    told = str(error.orig)
    if "database or disk is full" in told or state == "53100":
        return UnavailableError("outbox-full", "the disk of the outbox is full: nothing was accepted, make room and try again")
    if "database is locked" in told or state == "55P03":
        return UnavailableError("outbox-busy", f"another process has kept the outbox locked for {WAIT_FOR_LOCK_SECONDS} s: try again")
    broken = type(error.orig) is sqlite3.DatabaseError  # not a database, or a damaged one
    away = broken or (isinstance(error.orig, sqlite3.OperationalError) and "no such" not in told and "syntax" not in told)
    if away or error.connection_invalidated or (state or "")[:2] in ("08", "53", "57", "58"):
        return UnavailableError("outbox-away", f"the outbox's database does not answer: {told.splitlines()[0][:200]}")
    if type(error.orig).__module__.startswith("psycopg") and type(error.orig).__name__ == "OperationalError":
        return UnavailableError("outbox-away", f"the outbox's database does not answer: {told.splitlines()[0][:200]}")
    return None
