"""Running an integrator's handler so that one bad event costs itself only: savepoints, halves, at last the single event that is held."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy import Connection, text

from consumers.context import Context, Declined, ReceivedEvent
from consumers.database import HANDLING, is_away, is_repeated_key
from consumers.registry import Consumer
from consumers.surprises import surprise_of
from schemas.errors import ContentError, Problem, UsageError
from schemas.fates import Fate

log = structlog.get_logger()

_OURS = ("commit", "rollback", "close")  # methods of the connection that are not the handler's to call


def run_handler(connection: Connection, consumer: Consumer, events: Sequence[ReceivedEvent]) -> dict[str, Declined]:
    """Run the handler over the events and say which of them were declined, by id; the others have loaded in this transaction.

    What the handler raises rolls back to the savepoint and runs each half again, down to the one event that causes it: HELD with
    `handler-surprise` (or REFUSED where it raised a ContentError). The database's own trouble is raised: nothing is decided then.
    """
    declined: dict[str, Declined] = {}
    waiting = [tuple(events)] if events else []
    repeated: set[str] = set()
    while waiting:
        group = waiting.pop()
        try:
            with connection.begin_nested():
                declined.update(_call(connection, consumer, group))
        except (Exception, SystemExit) as error:
            # A handler is somebody else's code: whatever it raises but the database's trouble is a fate of the event that causes it.
            if is_away(error):
                raise
            if len(group) > 1:
                middle = len(group) // 2
                waiting.extend((group[middle:], group[:middle]))
            elif is_repeated_key(error) and group[0].id not in repeated:
                repeated.add(group[0].id)  # another process may have written the same key just now: this time it is there to be seen
                waiting.append(group)
            else:
                declined[group[0].id] = _surprise(error, consumer, group[0])
    return declined


def _call(connection: Connection, consumer: Consumer, events: Sequence[ReceivedEvent]) -> dict[str, Declined]:
    context = Context(connection, events)
    information = connection.info
    information[HANDLING] = True
    for method in _OURS:
        setattr(connection, method, _refuse)
    try:
        consumer.handler(context.batch, context)
        if connection.dialect.name == "postgresql":
            # Deferred constraints would fail at the commit, where nobody can tell which event broke them.
            connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    finally:
        information.pop(HANDLING, None)
        for method in _OURS:
            delattr(connection, method)
    return context.declined


def _refuse() -> None:
    # A commit inside a handler would part its rows from their inbox rows, and they would be loaded twice.
    raise UsageError("handler-commits", "a handler neither commits nor rolls back nor closes: the framework does, with the inbox rows")


def _surprise(error: BaseException, consumer: Consumer, event: ReceivedEvent) -> Declined:
    if isinstance(error, ContentError):
        return Declined(Fate.REFUSED, error.problems)
    # The traceback stays with us, in the log and the held row: an exception's text may tell the sender what is none of its business.
    log.error("event.surprised", queue=consumer.queue, event_id=event.id, type=event.type, exc_info=error)
    problem = Problem(code="handler-surprise", text=f"the receiver could not load this event for now: {type(error).__name__}")
    return Declined(Fate.HELD, (problem,), surprise_of(error, consumer.module))
