"""How a connection to an SQLite file is made durable and predictable, for the outbox and for a house that keeps its records in one."""

from __future__ import annotations

import sqlite3

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random


def make_durable(connection: sqlite3.Connection, lock_seconds: float) -> None:
    """WAL, every commit synced, foreign keys on; whoever finds it locked waits so long; transactions are begun by us, not guessed.

    Source: SQLAlchemy, "SQLite dialect: Enabling non-legacy SQLite transactional modes"; SQLite, "PRAGMA synchronous": with FULL, a
    committed transaction in WAL mode survives a loss of power. sqlite3.OperationalError where it stays locked.
    """
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={int(lock_seconds * 1000)}").close()
    # Of two that begin on a new file together, the second is told at once that it is locked (SQLite, "sqlite3_busy_handler").
    again = Retrying(retry=retry_if_exception(_is_locked), stop=stop_after_delay(lock_seconds), wait=wait_random(0, 0.05), reraise=True)
    again(lambda: connection.execute("PRAGMA journal_mode=WAL").close())
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "cache_size=-16000"):
        connection.execute(f"PRAGMA {pragma}").close()


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
