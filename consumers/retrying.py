"""Another attempt at held events whose time has come, one transaction each; their final fates are answered like any other's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from sqlalchemy import ColumnElement, Connection

from broker.bundle.open import OpenEvent
from consumers import held, inbox, parked, suspensions
from consumers.answers import Answered
from consumers.context import Declined
from consumers.database import is_away
from consumers.decisions import check, readable
from consumers.handling import run_handler
from consumers.held import HeldEvent
from consumers.patience import patiently
from consumers.pipeline import Pipeline
from consumers.purposes import unread
from consumers.review.items import note_attempt, note_decided
from consumers.surprises import Surprise, surprise_of
from schemas.errors import ContentError, Problem, UnavailableError
from schemas.event import Event
from schemas.fates import Fate
from schemas.sealed import Plaintext
from schemas.strict_json import parse

log = structlog.get_logger()

ATTEMPTS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Retried:
    """What came of the held events whose turn it was: final answers to send, whose held rows are finished by the receipt's confirm.

    `tried`: how many there were.
    """

    answers: list[Answered]
    tried: int

    @property
    def finished_ids(self) -> list[str]:
        """The events whose held rows are to be finished."""
        return [answer.event_id for answer in self.answers]


def try_again(pipeline: Pipeline, among: ColumnElement[bool] | None = None) -> Retried:
    """Try the held events of this consumer that are due (of those `among` these); none is taken by two processes at once."""

    def take() -> list[HeldEvent]:
        with pipeline.engine.begin() as connection:
            taken = held.take_due(connection, pipeline.consumer.queue, pipeline.clock(), ATTEMPTS_AT_ONCE, among)
            note_decided(connection, [event.event_id for event in taken if event.fate.final], pipeline.clock())
            return taken

    taken = patiently(take, pipeline.engine, pipeline.stop)
    answers = []
    for event in taken:
        answer = _final(event, event.fate, event.problems) if event.fate.final else _attempt(pipeline, event)
        if answer is not None:
            answers.append(answer)
    return Retried(answers, len(taken))


def resume(pipeline: Pipeline) -> Retried:
    """Take up some of what a suspension that has ended had held, in one transaction; ask again until `tried` is 0."""

    def take() -> tuple[list[HeldEvent], int, list[str]]:
        with pipeline.engine.begin() as connection:
            taken, touched = suspensions.take_up(connection, pipeline.consumer.queue, pipeline.clock(), ATTEMPTS_AT_ONCE)
            return taken, touched, [] if touched else suspensions.note_drained(connection, pipeline.clock())

    taken, touched, drained = patiently(take, pipeline.engine, pipeline.stop)
    for suspension_id in drained:
        log.info("intake.resumed", suspension=suspension_id)
    answers, troubled = patiently(lambda: _attempt_together(pipeline, taken), pipeline.engine, pipeline.stop) if taken else ([], [])
    answers += [answer for event in troubled if (answer := _attempt(pipeline, event)) is not None]
    return Retried(answers, touched)


def _attempt_together(pipeline: Pipeline, taken: Sequence[HeldEvent]) -> tuple[list[Answered], list[HeldEvent]]:
    """Try them one by one in one transaction, so that many cost little; gives those that broke something apart, to be tried alone."""
    answers: list[Answered] = []
    troubled: list[HeldEvent] = []
    with pipeline.engine.begin() as connection:
        for event in taken:
            try:
                with connection.begin_nested():
                    # PostgreSQL: one who looked for the same events at the same moment may still have it locked, though we took it.
                    answer = _try_one(pipeline, connection, event, wait=True)
            except _Overtaken:
                continue
            except Exception as error:
                if is_away(error):
                    raise
                troubled.append(event)
            else:
                answers += [answer] if answer is not None else []
    return answers, troubled


class _Overtaken(Exception):
    """Another process has decided about the event in the meantime: what this attempt wrote is rolled back."""


def _attempt(pipeline: Pipeline, event: HeldEvent) -> Answered | None:
    def transact() -> Answered | None:
        with pipeline.engine.begin() as connection:
            return _try_one(pipeline, connection, event)

    try:
        return patiently(transact, pipeline.engine, pipeline.stop)
    except _Overtaken:
        return None
    except Exception as error:  # a held event is known to be trouble: whatever it breaks, the others go on
        if is_away(error):
            raise
        log.exception("held.surprised", queue=pipeline.consumer.queue, event_id=event.event_id)
        surprise = surprise_of(error, pipeline.consumer.module)
    patiently(lambda: _note_surprise(pipeline, event, surprise), pipeline.engine, pipeline.stop)
    return None


def _try_one(pipeline: Pipeline, connection: Connection, event: HeldEvent, *, wait: bool = False) -> Answered | None:
    locked = held.lock(connection, event.event_id, wait=wait)
    if locked is None:
        return None
    released = locked.released_by_order is not None
    said, declined = outcome_of(pipeline, connection, event, released=released)
    moment = pipeline.clock()
    if declined is not None and declined.fate is Fate.HELD:
        _keep_holding(pipeline, connection, event, declined, moment)
        return None
    fate, problems = (Fate.LOADED, ()) if declined is None else (declined.fate, declined.problems)
    if not inbox.finish_held(connection, event.event_id, fate, problems, moment):
        raise _Overtaken
    held.decided(connection, event.event_id, moment + held.ANSWER_AGAIN)
    parked.close_loaded(connection, [event.event_id], moment)
    note_attempt(connection, event.event_id, fate, problems[0].code if problems else None, moment)
    log.info("held.decided", queue=pipeline.consumer.queue, event_id=event.event_id, fate=fate.value, released=released)
    return _final(event if said is None else replace(event, reply_key=said.reply_key or None), fate, problems)


def _keep_holding(pipeline: Pipeline, connection: Connection, event: HeldEvent, declined: Declined, moment: datetime) -> None:
    problem = declined.problems[0]
    held.still_held(connection, event.event_id, problem, declined.surprise)
    note_attempt(connection, event.event_id, Fate.HELD, problem.code, moment)
    log.warning("event.still_held", queue=pipeline.consumer.queue, event_id=event.event_id, code=problem.code)


def _note_surprise(pipeline: Pipeline, event: HeldEvent, surprise: Surprise) -> None:
    """What broke the whole transaction (a constraint at its commit) is why the event is held now."""
    problem = Problem(code="handler-surprise", text="the receiver could not write this event for now")
    declined = Declined(Fate.HELD, (problem,), surprise)
    with pipeline.engine.begin() as connection:
        if held.lock(connection, event.event_id) is not None:
            _keep_holding(pipeline, connection, event, declined, pipeline.clock())


def outcome_of(pipeline: Pipeline, connection: Connection, event: HeldEvent, *, released: bool) -> tuple[Plaintext | None, Declined | None]:
    """Run the handler over a held event within this transaction: what it says, as far as it can be read, and why it does not load."""
    said = None
    try:
        opened = OpenEvent(Event.model_validate(parse(event.raw)), event.raw, event.digest)
        said = readable(opened.event, pipeline.keys)
        received = replace(check(opened, said, event.received_at_utc), released=released)
    except ContentError as error:
        return said, Declined(Fate.REFUSED, error.problems)
    except UnavailableError as error:  # the decryption key that it needs is still missing
        return said, Declined(Fate.HELD, error.problems)
    if said.reply_key:
        inbox.now_readable(connection, received, said.reply_key)
    problem = unread(pipeline.consumer.purposes, received.purpose)
    if problem is not None:  # released by a person or not: that is about rules, and this is about what was agreed
        return said, Declined(Fate.HELD, (problem,))
    return said, run_handler(connection, pipeline.consumer, [received]).get(event.event_id)


def _final(event: HeldEvent, fate: Fate, problems: tuple[Problem, ...]) -> Answered:
    return Answered(event.event_id, event.source, event.digest, fate, problems, event.reply_key)
