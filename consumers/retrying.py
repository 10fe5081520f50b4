"""Another attempt at held events whose time has come, one transaction each; their final fates are answered like any other's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog
from sqlalchemy import Connection

from broker.bundle.open import OpenEvent
from consumers import held, inbox, parked
from consumers.answers import Answered
from consumers.context import Declined
from consumers.database import is_away
from consumers.decisions import check, readable
from consumers.handling import run_handler
from consumers.held import HeldEvent
from consumers.patience import patiently
from consumers.pipeline import Pipeline
from schemas.errors import ContentError, Problem, UnavailableError
from schemas.event import Event
from schemas.fates import Fate
from schemas.sealed import Plaintext
from schemas.strict_json import parse

log = structlog.get_logger()

ATTEMPTS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Retried:
    """What came of the held events whose turn it was: final answers to send, whose held rows are finished by the receipt's confirm."""

    answers: list[Answered]

    @property
    def finished_ids(self) -> list[str]:
        """The events whose held rows are to be finished."""
        return [answer.event_id for answer in self.answers]


def try_again(pipeline: Pipeline) -> Retried:
    """Try the held events of this consumer that are due; none is taken by two processes at once."""

    def take() -> list[HeldEvent]:
        with pipeline.engine.begin() as connection:
            return held.take_due(connection, pipeline.consumer.queue, pipeline.clock(), ATTEMPTS_AT_ONCE)

    answers = []
    for event in patiently(take, pipeline.engine, pipeline.stop):
        answer = _final(event, event.fate, event.problems) if event.fate.final else _attempt(pipeline, event)
        if answer is not None:
            answers.append(answer)
    return Retried(answers)


def _attempt(pipeline: Pipeline, event: HeldEvent) -> Answered | None:
    def transact() -> Answered | None:
        with pipeline.engine.begin() as connection:
            return _try_one(pipeline, connection, event)

    try:
        return patiently(transact, pipeline.engine, pipeline.stop)
    except Exception as error:  # a held event is known to be trouble: whatever it breaks, the others go on
        if is_away(error):
            raise
        log.exception("held.surprised", queue=pipeline.consumer.queue, event_id=event.event_id)
        return None


def _try_one(pipeline: Pipeline, connection: Connection, event: HeldEvent) -> Answered | None:
    if not held.lock(connection, event.event_id):
        return None
    said, declined = _outcome(pipeline, connection, event)
    moment = pipeline.clock()
    if declined is not None and declined.fate is Fate.HELD:
        held.still_held(connection, event.event_id, declined.problems[0])
        log.warning("event.still_held", queue=pipeline.consumer.queue, event_id=event.event_id, code=declined.problems[0].code)
        return None
    fate, problems = (Fate.LOADED, ()) if declined is None else (declined.fate, declined.problems)
    inbox.finish_held(connection, event.event_id, fate, problems, moment)
    held.decided(connection, event.event_id, moment)
    parked.close_loaded(connection, [event.event_id], moment)
    log.info("held.decided", queue=pipeline.consumer.queue, event_id=event.event_id, fate=fate.value)
    return _final(event if said is None else replace(event, reply_key=said.reply_key or None), fate, problems)


def _outcome(pipeline: Pipeline, connection: Connection, event: HeldEvent) -> tuple[Plaintext | None, Declined | None]:
    """What the event says, as far as it can be read, and why it does not load (None: it has)."""
    said = None
    try:
        opened = OpenEvent(Event.model_validate(parse(event.raw)), event.raw, event.digest)
        said = readable(opened.event, pipeline.keys)
        received = check(opened, said, event.received_at_utc)
    except ContentError as error:
        return said, Declined(Fate.REFUSED, error.problems)
    except UnavailableError as error:  # the decryption key that it needs is still missing
        return said, Declined(Fate.HELD, error.problems)
    if said.reply_key:
        inbox.now_readable(connection, received, said.reply_key)
    return said, run_handler(connection, pipeline.consumer, [received]).get(event.event_id)


def _final(event: HeldEvent, fate: Fate, problems: tuple[Problem, ...]) -> Answered:
    return Answered(event.event_id, event.source, event.digest, fate, problems, event.reply_key)
