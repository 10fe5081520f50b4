"""Waiting for a database that is away: growing pauses, for as long as it takes or until the worker is asked to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy import Engine
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

from consumers.database import is_away
from schemas.errors import UnavailableError

log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

Value = TypeVar("Value")


def patiently(action: Callable[[], Value], engine: Engine, stop: threading.Event) -> Value:
    """Do `action` (one whole transaction) until the database lets it; UnavailableError `house-database-away` once `stop` is set."""

    def pause(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if state.attempt_number == 1:
            log.warning("database.went_away", reason=_reason(error))
        engine.dispose()  # connections to a server that was restarted are worth nothing

    retrying = Retrying(
        retry=retry_if_exception(is_away),
        wait=wait_random_exponential(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS),
        stop=stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        before_sleep=pause,
        reraise=False,
        retry_error_callback=_gave_up,
    )
    value: Value = retrying(action)
    if retrying.statistics.get("attempt_number", 1) > 1:
        log.info("database.came_back", attempts=retrying.statistics["attempt_number"])
    return value


def _gave_up(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    raise UnavailableError("house-database-away", f"stopped while the house's database was away: {_reason(error)}") from error


def _reason(error: BaseException | None) -> str:
    return str(error).strip().splitlines()[0][:200] if error is not None and str(error).strip() else type(error).__name__
