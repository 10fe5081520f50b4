"""How a database gets the house's tables and follows their changes: Alembic's scripts in `versions`, applied by programs, not by hand.

One chain for the bookkeeping and the record, the same on PostgreSQL and SQLite. Two programs that start together don't collide: one waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from schemas.errors import SettingsError

VERSION_TABLE = "panj_version"  # its own name: the database may hold an integrator's tables with migrations of their own
_LOCK = 0x70616E6A02  # any number, the same in every process


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to `revision`, from nothing or from an older one; SettingsError `house-database-newer` for a stranger's."""
    with _changing(engine) as connection:
        _known(connection)
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to an older `revision`, or to `base`: no tables at all, and nothing of what was in them."""
    with _changing(engine) as connection:
        _known(connection)
        command.downgrade(_config(connection), revision)


def current_revision(engine: Engine) -> str | None:
    """The revision that the database has, None where it has none."""
    with engine.connect().execution_options(reads=True) as connection, connection.begin():
        return _known(connection)


def newest_revision() -> str:
    """The revision that this software needs."""
    return str(_scripts().get_current_head())


def make_ready(engine: Engine) -> None:
    """Give a new database its tables; SettingsError `house-database-older` for one that a person must upgrade first."""
    revision = current_revision(engine)
    if revision is None:
        upgrade(engine)
    elif revision != newest_revision():
        wanted = newest_revision()
        text_ = f"the database has revision {revision}, this software needs {wanted}: back it up and run panj customs database upgrade"
        raise SettingsError("house-database-older", text_, field="house.database")


def _known(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    if revision is not None and revision not in {script.revision for script in _scripts().walk_revisions()}:
        text_ = "the database was made by a newer version of this software: install that one"
        raise SettingsError("house-database-newer", text_, field="house.database", value=revision)
    return revision


@contextmanager
def _changing(engine: Engine) -> Iterator[Connection]:
    """A transaction in which tables change. SQLite changes a key by making its table anew, and the rows that refer to it wait unchecked:
    https://www.sqlite.org/lang_altertable.html, section 7.
    """
    with engine.connect() as connection:
        _check_references(connection, "OFF")  # has no effect once a transaction has begun
        try:
            with connection.begin():
                _lock(connection)
                yield connection
        finally:
            _check_references(connection, "ON")


def _check_references(connection: Connection, state: str) -> None:
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA foreign_keys={state}").close()


def _lock(connection: Connection) -> None:
    # SQLite's transactions begin with the write lock already.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = 0"))  # whoever is second waits, however long the first takes
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
