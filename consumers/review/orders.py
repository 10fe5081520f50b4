"""Orders: what people decided about a frozen set of held or parked. Every act is an entry of the audit trail, written in the transaction
that does it. What becomes of the single items stands in `items`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, text, update

from broker import audit
from consumers import held
from consumers.database import among, insert_values
from consumers.review.items import counts, finish_item, in_open_orders, items_of, leave_open, order_of
from consumers.review.values import Action, Chosen, Kind, Order, Outcome, State
from consumers.tables import audit as trail
from consumers.tables import held as held_table
from consumers.tables import inbox, review_item, review_order
from schemas.errors import ConflictError, UsageError
from schemas.fates import Fate

NOBODY = "panj"  # the actor of what no person does: the end of an order that waited too long
_ADVISORY_KEY = 0x70616E6A04  # any number, the same in every process


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody wants done with a set: `chosen` says how the set was chosen, `items` is the set itself."""

    kind: Kind
    action: Action
    reason: str
    chosen: str
    items: tuple[Chosen, ...]


def check_approval(order: Order, who: str, now_utc: datetime) -> None:
    """ConflictError where this login may not approve this order, or nobody may any more."""
    if order.is_over(now_utc) or order.state is State.EXPIRED:
        raise ConflictError("order-expired", "it waited too long for a second person: choose again", field=f"order {order.number}")
    if order.state is not State.WAITING:
        raise ConflictError("order-not-waiting", "it does not wait for a second person", field=f"order {order.number}", value=order.state)
    if who == order.ordered_by:
        raise ConflictError("order-same-person", "it is your own: somebody else must approve it", field=f"order {order.number}", value=who)


def check_open(order: Order) -> None:
    """ConflictError where nothing of this order is left to stop or to go on with."""
    if order.state not in (State.WAITING, State.RUNNING):
        raise ConflictError("order-not-open", "it has ended", field=f"order {order.number}", value=order.state)


def outcome_of_start(action: Action, fate: Fate | None, code_then: str, code_now: str) -> Outcome | None:
    """What has become of an event between choosing it and beginning with it; None where it is to be done as decided.

    `fate` None: it is not kept any more.

    A person released or discarded it for what was wrong with it then: where something else is wrong now, nobody has decided about that.
    """
    if fate is None or fate.final:
        return Outcome.GONE
    return Outcome.CHANGED if action is not Action.REPLAY and code_then != code_now else None


def make(connection: Connection, decision: Decision, who: str, waits_until_utc: datetime | None, now_utc: datetime) -> Order:
    """Freeze a set and write down what is to become of it; it begins at once unless it waits for a second person.

    ConflictError `order-overlaps` where an item stands in another open order.
    """
    _one_at_a_time(connection)
    expire(connection, now_utc)
    _refuse_overlap(connection, decision)
    number = (connection.execute(select(func.max(review_order.c.number))).scalar() or 0) + 1
    connection.execute(
        insert(review_order),
        {
            "number": number,
            "kind": decision.kind.value,
            "action": decision.action.value,
            "reason": decision.reason,
            "chosen": decision.chosen,
            "state": (State.RUNNING if waits_until_utc is None else State.WAITING).value,
            "ordered_by": who,
            "ordered_at_utc": now_utc,
            "expires_at_utc": waits_until_utc,
        },
    )
    rows = ({"order_number": number, "key": item.key, "queue": item.queue, "code": item.code} for item in decision.items)
    insert_values(connection, review_item, sorted(rows, key=lambda row: str(row["key"])))
    order = find(connection, number)
    detail = {"kind": order.kind, "action": order.action, "chosen": order.chosen, "items": len(decision.items)}
    act = audit.Act(who, "order.made", f"order {number}", order.reason, detail | {"waits_until": waits_until_utc})
    _begin(connection, order, act, now_utc)
    return find(connection, number)


def approve(connection: Connection, number: int, kind: Kind, who: str, now_utc: datetime) -> Order:
    """Let an order begin that waits for a second person; ConflictError where `who` may not (see `check_approval`)."""
    _one_at_a_time(connection)
    order = find(connection, number, kind)
    check_approval(order, who, now_utc)
    values = {"state": State.RUNNING.value, "approved_by": who, "approved_at_utc": now_utc}
    connection.execute(update(review_order).where(review_order.c.number == number).values(values))
    act = audit.Act(who, "order.approved", f"order {number}", order.reason, {"ordered_by": order.ordered_by})
    _begin(connection, find(connection, number), act, now_utc)
    return find(connection, number)


def cancel(connection: Connection, number: int, kind: Kind, who: str, reason: str, now_utc: datetime) -> Order:
    """End an order: what of it is not done stays as it is. ConflictError `order-not-open`."""
    _one_at_a_time(connection)
    order = find(connection, number, kind)
    check_open(order)
    left = leave_open(connection, number, Outcome.CANCELLED, now_utc)
    _end(connection, number, State.CANCELLED, now_utc)
    audit.append(connection, trail, audit.Act(who, "order.cancelled", f"order {number}", reason, {"items_left": left}), now_utc)
    return find(connection, number)


def expire(connection: Connection, now_utc: datetime) -> None:
    """End the orders that waited for a second person in vain, so that their items can be chosen again."""
    over = (review_order.c.state == State.WAITING.value, review_order.c.expires_at_utc <= now_utc)
    for number in connection.execute(select(review_order.c.number).where(*over)).scalars().all():
        left = leave_open(connection, number, Outcome.EXPIRED, now_utc)
        _end(connection, number, State.EXPIRED, now_utc)
        audit.append(connection, trail, audit.Act(NOBODY, "order.expired", f"order {number}", detail={"items_left": left}), now_utc)


def find(connection: Connection, number: int, kind: Kind | None = None) -> Order:
    """One order; UsageError `order-unknown` where there is none of that number and kind."""
    row = connection.execute(select(review_order).where(review_order.c.number == number)).first()
    if row is None or (kind is not None and row.kind != kind.value):
        raise UsageError("order-unknown", f"there is no such order about what is {kind or 'held or parked'}", value=number)
    return order_of(row)


def listed(connection: Connection, kind: Kind, *, open_only: bool, limit: int) -> list[tuple[Order, dict[str, int]]]:
    """The orders of a kind, the latest first, with how many items have which outcome (`open`: not done)."""
    query = select(review_order).where(review_order.c.kind == kind.value).order_by(review_order.c.number.desc()).limit(limit)
    if open_only:
        query = query.where(review_order.c.state.in_([State.WAITING.value, State.RUNNING.value]))
    return [(order_of(row), counts(connection, row.number)) for row in connection.execute(query).all()]


def _begin(connection: Connection, order: Order, act: audit.Act, now_utc: datetime) -> None:
    """Write the act down, and have held events tried at once; what else an order wants is carried out item by item (`carrying`)."""
    attempts = order.state is State.RUNNING and order.kind is Kind.HELD and order.action is not Action.DISCARD
    chosen = {item.key: item.code for item in items_of(connection, order.number) if item.outcome is None}
    ours = among(connection, held_table.c.event_id, sorted(chosen))
    if attempts:
        # Locked first and looked at then: no attempt that is under way can decide about one of them in between. And before the trail,
        # which has one writer at a time: an attempt holds its event when it comes to write there.
        connection.execute(select(held_table.c.event_id).where(ours).order_by(held_table.c.event_id).with_for_update()).all()
    audit.append(connection, trail, act, now_utc)
    if not attempts:
        return
    now = select(held_table.c.event_id, held_table.c.code, inbox.c.fate).join(inbox, inbox.c.event_id == held_table.c.event_id)
    found = {row.event_id: (Fate(row.fate), row.code) for row in connection.execute(now.where(ours))}
    wanted = []
    for event_id, code in chosen.items():
        fate, code_now = found.get(event_id, (None, code))
        outcome = outcome_of_start(order.action, fate, code, code_now)
        if outcome is None:
            wanted.append(event_id)
        else:
            finish_item(connection, order, event_id, outcome, None, now_utc)
    released = order.number if order.action is Action.RELEASE else None
    held.due_now(connection, among(connection, held_table.c.event_id, wanted), now_utc, released)


def _refuse_overlap(connection: Connection, decision: Decision) -> None:
    taken = in_open_orders(connection, [item.key for item in decision.items])
    if taken:
        key, number = min(taken.items())
        told = f"{len(taken)} of these stand in an open order already: approve it, wait for it, or cancel it"
        raise ConflictError("order-overlaps", told, field=key, value=f"order {number}")


def _end(connection: Connection, number: int, state: State, now_utc: datetime) -> None:
    connection.execute(update(review_order).where(review_order.c.number == number).values(state=state.value, finished_at_utc=now_utc))


def _one_at_a_time(connection: Connection) -> None:
    """Let others' decisions wait until this transaction ends. On SQLite every writer does so anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_KEY})
