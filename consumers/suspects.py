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


def take_in_carefully(pipeline: Pipeline, one: InHand) -> list[Answered]:
    """Take in one delivery, event by event; gives the answers to send before it is acknowledged."""
    log.warning("bundle.suspected", lane=one.lane, queue=one.delivery.queue, redeliveries=one.delivery.redeliveries)
    opened = _open(pipeline, one)
    if opened is None:
        return []
    answers = pipeline.take_in((), opened.parkings)
    before, unknown = _known_and_unknown(pipeline, opened.arrivals)
    if before:
        answers.extend(pipeline.take_in(before))
    for arrival in unknown:
        answers.extend(_take_in_one(pipeline, arrival))
    return answers


def _open(pipeline: Pipeline, one: InHand) -> Opened | None:
    mark = bundle_mark(message_digest(one.delivery.message))
    if _begin(pipeline, mark):
        problem = Problem(code="worker-died", text="a worker died while it opened this message")
        parking = parking_of_message(one.delivery.message, one.lane, one.delivery.queue, problem)
        pipeline.take_in((), [parking], within=lambda connection: remove_marks(connection, [mark]))
        return None
    opened = open_delivery(one, pipeline.trust, pipeline.expected[one.lane], pipeline.clock())
    _in_one_transaction(pipeline, lambda connection: remove_marks(connection, [mark]))
    return opened


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
