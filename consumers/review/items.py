"""The items of orders: frozen when they were chosen, each with one outcome, which stands in the audit trail too, written in the
transaction that brought it about. What people decide about whole orders stands in `orders`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Exists, Row, exists, func, select, update

from broker import audit
from consumers.review.values import Action, Item, Kind, Order, Outcome, State
from consumers.tables import audit as trail
from consumers.tables import review_item, review_order
from schemas.fates import Fate

BEGUN_PATIENCE = timedelta(minutes=1)  # a message takes seconds: who has begun longer ago has died of it, or with it
_OF_ATTEMPT = {Fate.LOADED: Outcome.LOADED, Fate.REFUSED: Outcome.REFUSED, Fate.HELD: Outcome.HELD}
_OPEN = review_item.c.outcome.is_(None)
_RUNNING = review_order.c.state == State.RUNNING.value
_NO_ATTEMPT = (review_order.c.kind == Kind.PARKED.value) | (review_order.c.action == Action.DISCARD.value)
_BOTH = select(review_order, *(column.label(f"item_{column.name}") for column in review_item.c)).join(
    review_item, review_item.c.order_number == review_order.c.number
)


def finish_item(connection: Connection, order: Order, key: str, outcome: Outcome, code: str | None, now_utc: datetime) -> bool:
    """Write down what became of an item, once; the order is done with its last one. False where the item has its outcome already."""
    ours = update(review_item).where(review_item.c.order_number == order.number, review_item.c.key == key, _OPEN)
    values = {"outcome": outcome.value, "outcome_code": code, "done_at_utc": now_utc}
    if connection.execute(ours.values(values)).rowcount == 0:
        return False
    detail = {"order": order.number, "outcome": outcome, "code": code, "approved_by": order.approved_by}
    act = audit.Act(order.ordered_by, f"{order.kind}.{order.action.past}", key, order.reason, detail)
    # The trail has one writer at a time: so this transaction sees the items that others have finished, and the last one ends the order.
    audit.append(connection, trail, act, now_utc)
    left = exists().where(review_item.c.order_number == order.number, _OPEN)
    done = update(review_order).where(review_order.c.number == order.number, _RUNNING, ~left)
    connection.execute(done.values(state=State.DONE.value, finished_at_utc=now_utc))
    return True


def note_attempt(connection: Connection, event_id: str, fate: Fate, code: str | None, now_utc: datetime) -> None:
    """An attempt at a held event ended so: where an order wanted it, that is its outcome."""
    order = _wanting(connection, event_id)
    if order is not None:
        finish_item(connection, order, event_id, _OF_ATTEMPT[fate], code, now_utc)


def note_decided(connection: Connection, event_ids: Iterable[str], now_utc: datetime) -> None:
    """These events have their final fates from elsewhere: orders that want them have nothing left to do."""
    for event_id in event_ids:
        order = _wanting(connection, event_id)
        if order is not None:
            finish_item(connection, order, event_id, Outcome.GONE, None, now_utc)


def _wanting(connection: Connection, event_id: str) -> Order | None:
    """The running order that has a held event tried again."""
    query = (
        select(review_order)
        .join(review_item, review_item.c.order_number == review_order.c.number)
        .where(review_item.c.key == event_id, _OPEN, _RUNNING)
        .where(review_order.c.action != Action.DISCARD.value)
    )
    row = connection.execute(query).first()
    return None if row is None else order_of(row)


def some_to_carry_out(queues: Sequence[str], now_utc: datetime) -> Exists:
    """Whether `to_carry_out` would find something for these queues; nearly always one look at an index without rows."""
    mine = (review_item.c.order_number == review_order.c.number, _OPEN, review_item.c.queue.in_(queues), _free(now_utc))
    return exists().where(_RUNNING, _NO_ATTEMPT, *mine)


def to_carry_out(
    connection: Connection, queues: Sequence[str], number: int | None, limit: int, now_utc: datetime
) -> list[tuple[Order, Item]]:
    """Items of running orders that are no attempts at held events, locked: for these queues, of one order (None: of all).

    Those that somebody has begun are left to it for a while.
    """
    query = (
        _BOTH.where(_RUNNING, _NO_ATTEMPT, _OPEN, review_item.c.queue.in_(queues))
        .where(_free(now_utc))
        .order_by(review_order.c.number, review_item.c.key)
        .limit(limit)
        .with_for_update(of=review_item, skip_locked=True)
    )
    if number is not None:
        query = query.where(review_order.c.number == number)
    return [(order_of(row), item_of(row, "item_")) for row in connection.execute(query)]


def _free(now_utc: datetime) -> ColumnElement[bool]:
    return review_item.c.begun_at_utc.is_(None) | (review_item.c.begun_at_utc <= now_utc - BEGUN_PATIENCE)


def note_begun(connection: Connection, order: Order, key: str, now_utc: datetime) -> None:
    """Work on an item begins; the caller commits before it does."""
    ours = (review_item.c.order_number == order.number, review_item.c.key == key)
    connection.execute(update(review_item).where(*ours).values(begun_at_utc=now_utc))


def items_of(connection: Connection, number: int) -> list[Item]:
    """An order's frozen set, by its keys."""
    query = select(review_item).where(review_item.c.order_number == number).order_by(review_item.c.key)
    return [item_of(row) for row in connection.execute(query)]


def in_open_orders(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    """Which of these stand in an open order, and in which."""
    wanted = set(keys)  # there may be more of them than a statement takes; of open items there are few
    rows = connection.execute(select(review_item.c.key, review_item.c.order_number).where(_OPEN))
    return {row.key: row.order_number for row in rows if row.key in wanted}


def of_item(connection: Connection, key: str) -> list[tuple[Order, Item]]:
    """The orders in which an event or parked row stood or stands, oldest first."""
    query = _BOTH.where(review_item.c.key == key).order_by(review_order.c.number)
    return [(order_of(row), item_of(row, "item_")) for row in connection.execute(query)]


def counts(connection: Connection, number: int) -> dict[str, int]:
    """How many items of an order have which outcome; `open` are not done."""
    outcome = func.coalesce(review_item.c.outcome, "open")
    query = select(outcome, func.count()).where(review_item.c.order_number == number).group_by(outcome).order_by(outcome)
    return {name: int(count) for name, count in connection.execute(query)}


def leave_open(connection: Connection, number: int, outcome: Outcome, now_utc: datetime) -> int:
    """Give what of an order is not done the outcome of its end; how many that were."""
    ours = update(review_item).where(review_item.c.order_number == number, _OPEN)
    return connection.execute(ours.values(outcome=outcome.value, done_at_utc=now_utc)).rowcount


def order_of(row: Row[*tuple[Any, ...]]) -> Order:
    """A row of `review_order` as a value."""
    return Order(
        number=row.number,
        kind=Kind(row.kind),
        action=Action(row.action),
        reason=row.reason,
        chosen=row.chosen,
        state=State(row.state),
        ordered_by=row.ordered_by,
        ordered_at_utc=row.ordered_at_utc,
        expires_at_utc=row.expires_at_utc,
        approved_by=row.approved_by,
        approved_at_utc=row.approved_at_utc,
        finished_at_utc=row.finished_at_utc,
    )


def item_of(row: Row[*tuple[Any, ...]], prefix: str = "") -> Item:
    """A row of `review_item` as a value; `prefix` before its columns' names."""
    found = row._mapping
    outcome = found[f"{prefix}outcome"]
    return Item(
        key=found[f"{prefix}key"],
        queue=found[f"{prefix}queue"],
        code=found[f"{prefix}code"],
        outcome=None if outcome is None else Outcome(outcome),
        outcome_code=found[f"{prefix}outcome_code"],
        done_at_utc=found[f"{prefix}done_at_utc"],
        begun_at_utc=found[f"{prefix}begun_at_utc"],
    )
