"""Connections to a database of the national system: by the URL of exchange.toml and a password from a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from broker.settings.secret_files import read_secret
from schemas.errors import SettingsError

_DRIVERS = {"postgresql": "postgresql+psycopg", "oracle": "oracle+oracledb", "sqlite": "sqlite"}
CONNECT_SECONDS = 10


def open_national(url: str, password_file: Path | None) -> Engine:
    """Make the engine, without connecting; SettingsError `national-database` where the URL or its driver cannot be used."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        if password_file is not None:
            parsed = parsed.set(password=read_secret(password_file).decode("utf-8", "replace").strip("\r\n"))
        more: dict[str, Any] = {}
        if backend == "oracle" and parsed.query.get("thick_mode") == "true":  # 11g: SQLAlchemy takes it as an argument only
            parsed, more = parsed.difference_update_query(["thick_mode"]), {"thick_mode": True}
        arguments = {"connect_timeout": CONNECT_SECONDS} if backend == "postgresql" else {}
        return create_engine(parsed.set(drivername=_DRIVERS[backend]), pool_pre_ping=True, pool_size=1, connect_args=arguments, **more)
    except (ArgumentError, NoSuchModuleError, KeyError) as error:
        raise SettingsError("national-database", f"not a URL that can be used: {error}") from None
    except ModuleNotFoundError as error:
        text = f'its driver is not installed ({error.name}): for Oracle "pip install panj[oracle]"'
        raise SettingsError("national-database", text) from None
