"""Deliveries that came back several times: their worker seems to die of them. They are taken in one event at a time, under durable marks.

An event whose mark was left over by a worker that died is HELD (`worker-died`) without being tried; a message that cannot even be opened
alive is parked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog
from sqlalchemy import Connection

from consumers import inbox
from consumers.answers import Answered
from consumers.attempts import bundle_mark, left_over, remove_marks, set_mark
from consumers.context import Batch, Context
from consumers.opening import Arrival, InHand, Opened, open_delivery
from consumers.parked import message_digest, parking_of_message
from consumers.patience import patiently
from consumers.pipeline import Pipeline
from consumers.registry import Consumer
from schemas.errors import Problem

log = structlog.get_logger()

DIED = Problem(code="worker-died", text="a worker died while it opened this message")


def take_in_carefully(pipeline: Pipeline, one: InHand) -> list[Answered]:
    """Take in one delivery, event by event; gives the answers to send before it is acknowledged."""
    log.warning("bundle.suspected", lane=one.lane, queue=one.delivery.queue, redeliveries=one.delivery.redeliveries)
    opened = open_carefully(pipeline, one)
    pipeline.take_in((), opened.parkings, within=lambda connection: remove_marks(connection, [_mark(one)]))
    return take_in_one_by_one(pipeline, opened.arrivals)


def open_carefully(pipeline: Pipeline, one: InHand) -> Opened:
    """Open a suspect delivery under its mark, which stays until what came of it is written.

    Where the mark was left over, it is to be parked (`worker-died`) without being opened.
    """
    if _begin(pipeline, _mark(one)):
        return Opened((), (parking_of_message(one.delivery.message, one.lane, one.delivery.queue, DIED),))
    return open_delivery(one, pipeline.trust, pipeline.expected[one.lane], pipeline.clock())


def forget_opening(pipeline: Pipeline, one: InHand) -> None:
    """What came of opening a suspect delivery is known: its mark goes."""
    _in_one_transaction(pipeline, lambda connection: remove_marks(connection, [_mark(one)]))


def take_in_one_by_one(pipeline: Pipeline, arrivals: Sequence[Arrival]) -> list[Answered]:
    """Take in what a suspect delivery held, event by event."""
    answers: list[Answered] = []
    before, unknown = _known_and_unknown(pipeline, arrivals)
    if before:
        answers.extend(pipeline.take_in(before))
    for arrival in unknown:
        answers.extend(_take_in_one(pipeline, arrival))
    return answers


def _mark(one: InHand) -> str:
    return bundle_mark(message_digest(one.delivery.message))


def _take_in_one(pipeline: Pipeline, arrival: Arrival) -> list[Answered]:
    died = _begin(pipeline, arrival.id)
    carefully = replace(pipeline, consumer=_holding(pipeline.consumer)) if died else pipeline
    return carefully.take_in([arrival], within=lambda connection: remove_marks(connection, [arrival.id]))


def _begin(pipeline: Pipeline, mark: str) -> bool:
    """Set the mark durably; say whether it was there already."""
    found: list[bool] = []

    def look_and_set(connection: Connection) -> None:
        found[:] = [left_over(connection, mark)]
        set_mark(connection, mark, pipeline.clock())

    _in_one_transaction(pipeline, look_and_set)
    return found[0]


def _known_and_unknown(pipeline: Pipeline, arrivals: Sequence[Arrival]) -> tuple[list[Arrival], list[Arrival]]:
    known: set[str] = set()

    def look(connection: Connection) -> None:
        known.update(row.event_id for row in inbox.look_up(connection, [arrival.id for arrival in arrivals], ()))

    _in_one_transaction(pipeline, look)
    return [arrival for arrival in arrivals if arrival.id in known], [arrival for arrival in arrivals if arrival.id not in known]


def _in_one_transaction(pipeline: Pipeline, action: Callable[[Connection], None]) -> None:
    def transact() -> None:
        with pipeline.engine.begin() as connection:
            action(connection)

    patiently(transact, pipeline.engine, pipeline.stop)


def _holding(consumer: Consumer) -> Consumer:
    """The same consumer with a handler that holds whatever it is given."""

    def hold_all(batch: Batch, context: Context) -> None:
        for event in batch:
            context.hold(event, "worker-died", "a worker died while it loaded this event")

    return replace(consumer, handler=hold_all)
