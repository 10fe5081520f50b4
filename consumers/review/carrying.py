"""Carrying out what orders want, item by item: discarding, and opening parked messages again through the normal way in. Attempts at held
events are `consumers.retrying`'s.

Whoever comes next goes on where a worker died: an item has one outcome, written in the transaction that brings it about.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

import structlog
from sqlalchemy import Connection, Engine, or_, select

from broker.ports import Delivery, Message
from consumers import held, inbox, parked, suspensions
from consumers.database import is_away
from consumers.opening import InHand
from consumers.patience import patiently
from consumers.review.items import finish_item, note_begun, some_to_carry_out, to_carry_out
from consumers.review.values import Action, Item, Kind, Order, Outcome
from consumers.tables import parked as parked_table
from schemas.errors import Problem
from schemas.fates import Fate

log = structlog.get_logger()

AT_ONCE = 50  # items in one transaction

Told = TypeVar("Told")
Told_co = TypeVar("Told_co", covariant=True)


class Door(Protocol[Told_co]):
    """The normal way in for messages of a queue, for one that was parked: no check is skipped."""

    def __call__(self, one: InHand, *, careful: bool) -> tuple[Problem | None, Sequence[Told_co]]:
        """Take it in as if it arrived now and give the answers to send, or say what is wrong with it today.

        `careful`: a worker seems to have died of it.
        """


@dataclass(frozen=True, slots=True)
class Duty:
    """What one worker carries out: for which queues, by their names in `held` and `parked`; `number` is the one order, None: all."""

    engine: Engine
    stop: threading.Event
    clock: Callable[[], datetime]
    queues: tuple[str, ...]
    number: int | None = None

    def calls(self, held_queue: str | None = None) -> bool:
        """Whether there is something to do, a held event of `held_queue` whose time has come included; one small query.

        False while the database is away: who waits for it is told by what must go on.
        """
        moment = self.clock()
        found = some_to_carry_out(self.queues, moment)
        held_there = () if held_queue is None else (held.some_due(held_queue, moment), suspensions.some_over(held_queue, moment))
        query = select(or_(found, *held_there))
        try:
            with self.engine.connect().execution_options(reads=True) as connection, connection.begin():
                return bool(connection.execute(query).scalar())
        except Exception as error:
            if not is_away(error):
                raise
            return False

    def carry_out(self, door: Door[Told]) -> tuple[int, list[Told]]:
        """Do some of what there is; gives how many items are done, and the answers to send."""
        discarded, opening = patiently(self._take, self.engine, self.stop)
        answers: list[Told] = []
        for order, item in opening:
            answers.extend(self._open_again(order, item, door))
        return discarded + len(opening), answers

    def _take(self) -> tuple[int, list[tuple[Order, Item]]]:
        """Discard what is to be discarded; mark as begun what is to be opened."""
        discarded, opening = 0, []
        with self.engine.begin() as connection:
            for order, item in to_carry_out(connection, self.queues, self.number, AT_ONCE, self.clock()):
                if order.action is Action.DISCARD:
                    discard = _refuse if order.kind is Kind.HELD else _close
                    discarded += discard(connection, order, item, self.clock())
                else:
                    note_begun(connection, order, item.key, self.clock())
                    opening.append((order, item))
        return discarded, opening

    def _open_again(self, order: Order, item: Item, door: Door[Told]) -> Sequence[Told]:
        one = patiently(lambda: self._read(order, item), self.engine, self.stop)
        if one is None:
            return ()
        problem, answers = door(one, careful=item.begun_at_utc is not None)

        def conclude() -> None:
            with self.engine.begin() as connection:
                if problem:
                    parked.still_parked(connection, bytes.fromhex(item.key), problem)
                else:
                    parked.close(connection, bytes.fromhex(item.key), order.number, self.clock())
                outcome, code = (Outcome.PARKED, problem.code) if problem else (Outcome.OPENED, None)
                finish_item(connection, order, item.key, outcome, code, self.clock())

        patiently(conclude, self.engine, self.stop)
        log.info("parked.replayed", order=order.number, digest=item.key, code=problem.code if problem else None)
        return answers

    def _read(self, order: Order, item: Item) -> InHand | None:
        """The parked message as a delivery; where there is none to open, its item is finished."""
        with self.engine.begin() as connection:
            row = connection.execute(select(parked_table).where(parked_table.c.digest == bytes.fromhex(item.key))).first()
            # Begun before, it may have closed when we had it open, and its post was not answered.
            if row is None or (row.closed_at_utc is not None and item.begun_at_utc is None):
                finish_item(connection, order, item.key, Outcome.GONE, None, self.clock())
                return None
            message = parked.message_of(bytes(row.digest), row.headers, row.body)
            if message is None:
                finish_item(connection, order, item.key, Outcome.PARKED, "parked-incomplete", self.clock())
                return None
            return shelved(message, row.lane, row.queue)


class _Shelf:
    """Where a parked message is delivered from: nothing comes from there by itself, and nothing is acknowledged there."""

    def take(self, limit: int, wait_seconds: float) -> list[Delivery]:
        return []

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        pass

    def release(self, deliveries: Sequence[Delivery]) -> None:
        pass

    def close(self) -> None:
        pass


def shelved(message: Message, lane: str, queue: str) -> InHand:
    """A parked message as if it were delivered now."""
    return InHand(Delivery(message, queue, 0, None), lane, _Shelf())


def _close(connection: Connection, order: Order, item: Item, now_utc: datetime) -> bool:
    """A person has judged what is parked: its row is closed, and kept."""
    digest = bytes.fromhex(item.key)
    row = connection.execute(select(parked_table.c.code, parked_table.c.closed_at_utc).where(parked_table.c.digest == digest)).first()
    if row is None or row.closed_at_utc is not None:
        outcome = Outcome.GONE
    elif row.code != item.code:
        outcome = Outcome.CHANGED
    else:
        parked.close(connection, digest, order.number, now_utc)
        outcome = Outcome.CLOSED
    return finish_item(connection, order, item.key, outcome, None, now_utc)


def _refuse(connection: Connection, order: Order, item: Item, now_utc: datetime) -> bool:
    """A person ends a held event: REFUSED for good, with the reason for its sender; the house answers at its next look.

    False where an attempt at it is under way: its turn comes again.
    """
    locked = held.lock(connection, item.key)
    if locked is None:
        fate = inbox.fate_of(connection, item.key)
        return (fate is None or fate.final) and finish_item(connection, order, item.key, Outcome.GONE, None, now_utc)
    if locked.code != item.code:
        return finish_item(connection, order, item.key, Outcome.CHANGED, locked.code, now_utc)
    problem = Problem(code="refused-by-person", text=order.reason)
    inbox.finish_held(connection, item.key, Fate.REFUSED, (problem,), now_utc)
    held.decided(connection, item.key, now_utc)
    parked.close_loaded(connection, [item.key], now_utc)
    return finish_item(connection, order, item.key, Outcome.REFUSED, problem.code, now_utc)
