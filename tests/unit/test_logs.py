"""Log lines: one a line whatever comes in, and of an exception where it came from, never what it quotes."""

from __future__ import annotations

import io
import json
import logging
import sqlite3

import pytest
import structlog
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from broker.logs import _PlacesOnly, places_of, processors
from schemas.errors import DistrustError

SECRET = "Gulnora Rahimova"


def lines_of(renderer: structlog.typing.Processor) -> tuple[structlog.stdlib.BoundLogger, io.StringIO]:
    file = io.StringIO()
    logger = structlog.wrap_logger(structlog.WriteLogger(file), processors=[*processors(), renderer])
    return logger, file


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_an_exception_is_told_by_type_code_and_place() -> None:
    log, file = lines_of(structlog.processors.JSONRenderer())
    log.error("bundle.surprised", lane="tj", exc_info=raised(DistrustError("jws-form", f"it says {SECRET}", value=SECRET)))
    told = json.loads(file.getvalue())["exception"]
    assert told.startswith("DistrustError [jws-form] in test_logs.py:")
    assert told.endswith(" raised")
    assert SECRET not in file.getvalue()


def test_what_a_database_quotes_of_a_row_stays_out_of_the_log() -> None:
    log, file = lines_of(structlog.dev.ConsoleRenderer(colors=False))
    with create_engine("sqlite://").connect() as connection:
        connection.execute(text("CREATE TABLE person (name TEXT PRIMARY KEY)"))
        connection.execute(text("INSERT INTO person VALUES (:name)"), {"name": SECRET})
        with pytest.raises(IntegrityError) as caught:
            connection.execute(text("INSERT INTO person VALUES (:name)"), {"name": SECRET})
    assert SECRET in str(caught.value)
    log.error("batch.surprised", exc_info=caught.value)
    assert "IntegrityError" in file.getvalue()
    assert "from IntegrityError" in places_of(caught.value)
    assert isinstance(caught.value.orig, sqlite3.IntegrityError)
    assert SECRET not in file.getvalue()


def test_what_libraries_log_has_no_text_of_exceptions_either() -> None:
    error = raised(ValueError(SECRET))
    record = logging.LogRecord("sqlalchemy.pool", logging.ERROR, __file__, 1, "lost", None, (ValueError, error, error.__traceback__))
    told = _PlacesOnly("%(message)s").format(record)
    assert "ValueError in test_logs.py" in told
    assert SECRET not in told


@pytest.mark.parametrize("renderer", [structlog.processors.JSONRenderer(), structlog.dev.ConsoleRenderer(colors=False)])
def test_text_that_comes_in_makes_neither_a_second_line_nor_speaks_to_a_terminal(renderer: structlog.typing.Processor) -> None:
    log, file = lines_of(renderer)
    log.warning("bundle.parked", problem="a\n2026-11-24 [error] trust.revoked\r\x1b[2J\x9b31m\u202eb", events=["a\nb", "\x1b[0m"])
    (line,) = file.getvalue().splitlines()
    assert line.isprintable()
    assert "trust.revoked" in line
