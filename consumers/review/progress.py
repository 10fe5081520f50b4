"""Seeing an order through: the running house carries it out within seconds; where none does, the command does it itself.

Both may be at it at once: an item is taken by one, and has one outcome.
"""

from __future__ import annotations

import time
from typing import NoReturn

from consumers.opening import InHand
from consumers.retrying import try_again
from consumers.review import orders
from consumers.review.carrying import Duty
from consumers.review.desk import Desk
from consumers.review.doors import ConsumerDoor
from consumers.review.items import counts, items_of
from consumers.review.values import Action, Kind, Order, State
from consumers.tables import held as held_table

HOUSE_SECONDS = 5.0  # a running house looks each second: where nothing moves for so long, none runs, or it is busy
LOOK_SECONDS = 0.2


def see_through(desk: Desk, number: int, wait_seconds: float) -> Order:
    """Wait until an order is done, for so long at most; discard at once what is to be discarded, try here what no house tries."""
    end = time.monotonic() + wait_seconds
    order = _find(desk, number)
    if order.state is State.RUNNING and order.action is Action.DISCARD:
        _carry_out_here(desk, order)
    moved_at, left = time.monotonic(), -1
    while (order := _find(desk, number)).state is State.RUNNING and time.monotonic() < end:
        now_left = _left(desk, number)
        if now_left != left:
            moved_at, left = time.monotonic(), now_left
        elif time.monotonic() - moved_at > HOUSE_SECONDS:
            _carry_out_here(desk, order)
            moved_at = time.monotonic()
        time.sleep(LOOK_SECONDS)
    return order


def _find(desk: Desk, number: int) -> Order:
    with desk.reading() as connection:
        return orders.find(connection, number)


def _left(desk: Desk, number: int) -> int:
    with desk.reading() as connection:
        return counts(connection, number).get("open", 0)


def _carry_out_here(desk: Desk, order: Order) -> None:
    with desk.reading() as connection:
        left = [item for item in items_of(connection, order.number) if item.outcome is None]
    queues = tuple(sorted({item.queue for item in left}))
    if order.action is Action.DISCARD:
        duty = Duty(desk.engine, desk.stop, desk.now, queues, order.number)
        while duty.carry_out(_no_door)[0]:
            pass
        return
    for queue in queues:
        if queue not in desk.pipelines:  # control messages: only the running house can take them
            continue
        pipeline = desk.pipelines[queue]
        if order.kind is Kind.HELD:
            ours = held_table.c.event_id.in_([item.key for item in left if item.queue == queue])
            while try_again(pipeline, ours).tried:
                pass
        else:
            duty = Duty(desk.engine, desk.stop, desk.now, (queue,), order.number)
            while duty.carry_out(ConsumerDoor(pipeline))[0]:
                pass


def _no_door(one: InHand, *, careful: bool) -> NoReturn:
    raise AssertionError("nothing is opened in order to discard it")
