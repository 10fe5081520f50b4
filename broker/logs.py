"""Structured logs: events named `noun.verb_past` with fields, as JSON lines for machines or coloured text for people. No personal data.

Of an exception its type and its places are told, never its text: a database or a handler may quote a declaration in it.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor

from schemas.errors import PanjError, cleaned

_PLACES = 12  # the innermost frames of each exception
_CHAIN = 4  # exceptions that led to one another


def configure(log_format: Literal["json", "console"], level: str = "info") -> None:
    """Send all log events of this process to standard error in the chosen format."""
    renderer: Processor = (
        structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*processors(), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=level == "info",  # daemons only: a cached logger keeps its level for ever, whatever is configured later
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlacesOnly("%(name)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # pika tells each failed attempt a dozen times, with stack traces; broker.amqp tells it once, in the broker's words.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def processors() -> list[Processor]:
    """What every log event goes through before it is written down as one line."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _tell_places,
        _make_one_line,
    ]


def places_of(error: BaseException) -> str:
    """Tell an exception without its text: type, codes, and where it was raised, the innermost place first; then what it came from."""
    return "; from ".join(_told(each) for each in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    for _ in range(_CHAIN):
        if found is None:
            return
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def _told(error: BaseException) -> str:
    codes = [error.code] if isinstance(error, PanjError) else [str(state) for state in (getattr(error, "sqlstate", None),) if state]
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return " ".join([type(error).__qualname__, *(f"[{code}]" for code in codes), *(["in", places] if places else [])])


def _tell_places(_logger: object, _method: str, event: EventDict) -> EventDict:
    told = event.pop("exc_info", None)
    error = told if isinstance(told, BaseException) else told[1] if isinstance(told, tuple) else sys.exc_info()[1] if told else None
    if error is not None:
        event["exception"] = places_of(error)
    return event


def _make_one_line(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Whoever sends us text may want it to look like several lines, or to speak to a terminal."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = cleaned(value).replace("\n", " ")
    return event


class _PlacesOnly(logging.Formatter):
    """For what libraries log: exceptions as in our own events."""

    def formatException(self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]) -> str:
        """Tell where an exception came from."""
        return places_of(ei[1]) if ei[1] is not None else ""
