"""How a database gets the outbox's tables and follows their changes: Alembic's scripts in `versions`, applied by programs, not by hand."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from broker.outbox.engine import one_at_a_time, reading, writing
from schemas.errors import SettingsError

# Its own name: the outbox may share a database with tables that have migrations of their own.
VERSION_TABLE = "outbox_version"


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to `revision`, from nothing or from an older one; SettingsError `outbox-newer` where it is unknown here."""
    with reading(engine) as connection:
        if revision == "head" and _known(connection) == newest_revision():
            return
    with writing(engine) as connection:
        one_at_a_time(connection)
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to an older `revision`, or to `base`: no tables at all."""
    with writing(engine) as connection:
        one_at_a_time(connection)
        _known(connection)
        command.downgrade(_config(connection), revision)


def current_revision(engine: Engine) -> str | None:
    """The revision that the database has, None where it has none."""
    with reading(engine) as connection:
        return _known(connection)


def newest_revision() -> str:
    """The revision that this software needs."""
    return str(_scripts().get_current_head())


def _known(connection: Connection) -> str | None:
    revision = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    if revision is not None and revision not in {script.revision for script in _scripts().walk_revisions()}:
        raise SettingsError(
            "outbox-newer", "the outbox was written by a newer version of this software: install that one", field="outbox", value=revision
        )
    return revision


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
