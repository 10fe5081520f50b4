"""What held and parked and the orders about them contribute to `panj status` and `panj trace`, and the house's audit trail. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from broker.audit import entries
from broker.operations.contributions import Attention, Reading, Step
from broker.operations.trails import Head, Trail
from consumers.closing_tables import closing
from consumers.review.groups import Failure, group_failures
from consumers.review.items import of_item
from consumers.review.values import Kind, State
from consumers.tables import audit, held, inbox, parked, review_order
from schemas.control import ManifestAnswer
from schemas.fates import Fate
from schemas.strict_json import parse

HELD_TOO_LONG = timedelta(hours=1)
RUNNING_TOO_LONG = timedelta(minutes=10)
GROUPS = 10  # told one by one; of more, only the sum


def observe_held(connection: Connection, subject: str, now_utc: datetime) -> Iterator[Reading]:
    """How many are held, and for how long the oldest has been."""
    still = (held.c.finished_at_utc.is_(None), held.c.suspension.is_(None), inbox.c.fate == Fate.HELD.value)
    query = select(func.count(), func.min(held.c.first_held_at_utc), func.count().filter(held.c.next_attempt_at_utc.is_(None)))
    count, oldest, left = connection.execute(query.join(inbox, inbox.c.event_id == held.c.event_id).where(*still)).one()
    if not count:
        yield Reading(subject, "held", 0, "events")
        return
    advice = f'{left} are left to a person: "panj held list --groups"' if left else 'tried again by themselves: "panj held list --groups"'
    yield Reading(subject, "held", int(count), "events", Attention.ACT if left else Attention.WATCH, advice)
    age = now_utc - oldest
    late = age > HELD_TOO_LONG
    advice = 'decide: "panj held list" shows why' if late else ""
    yield Reading(subject, "held longest", int(age.total_seconds() // 60), "min", Attention.ACT if late else Attention.WATCH, advice)


def observe_parked(connection: Connection, subject: str) -> Iterator[Reading]:
    """How many messages are parked, and the largest groups of like ones."""
    same = (parked.c.lane, parked.c.queue, parked.c.code, parked.c.text)
    query = select(*same, func.count(), func.min(parked.c.first_seen_utc), func.max(parked.c.last_seen_utc)).group_by(*same)
    groups = group_failures(
        Failure(Kind.PARKED, f"{lane} {queue}", code, text, None, first, last, int(count))
        for lane, queue, code, text, count, first, last in connection.execute(query.where(parked.c.closed_at_utc.is_(None)))
    )
    total = sum(group.count for group in groups)
    advice = 'somebody sent what is not to be trusted: "panj parked list --groups"' if total else ""
    yield Reading(subject, "parked", total, "messages", Attention.ACT if total else Attention.FINE, advice)
    for group in groups[:GROUPS]:
        advice = f'"panj parked list --group {group.name}"'
        yield Reading(f"{subject} {group.place}", f"parked: {group.code}", group.count, "messages", Attention.ACT, advice)


def observe_orders(connection: Connection, subject: str, now_utc: datetime) -> Iterator[Reading]:
    """Orders that wait for a second person, and those that nobody carries out."""
    waiting = (review_order.c.state == State.WAITING.value, review_order.c.expires_at_utc > now_utc)
    for kind in Kind:
        count = connection.execute(select(func.count()).where(*waiting, review_order.c.kind == kind.value)).scalar_one()
        if count:
            advice = f'another login than the one that ordered: "panj {kind} orders --open", "panj {kind} approve ORDER"'
            yield Reading(subject, f"orders waiting: {kind}", int(count), "orders", Attention.ACT, advice)
    since = func.coalesce(review_order.c.approved_at_utc, review_order.c.ordered_at_utc)
    stuck = select(func.count()).where(review_order.c.state == State.RUNNING.value, since < now_utc - RUNNING_TOO_LONG)
    count = connection.execute(stuck).scalar_one()
    if count:
        advice = 'does the house run? "panj held orders --open", "panj parked orders --open"'
        yield Reading(subject, "orders not done", int(count), "orders", Attention.ACT, advice)


def steps_of_orders(connection: Connection, event_id: str, where: str, about: tuple[str, int, str]) -> Iterator[Step]:
    """What people decided about an event."""
    for order, item in of_item(connection, event_id):
        if item.done_at_utc is not None and item.outcome is not None:
            second = f", approved by {order.approved_by}" if order.approved_by else ""
            detail = f"order {order.number} by {order.ordered_by}{second}: {order.reason}; outcome {item.outcome}"
            yield Step(item.done_at_utc, where, order.action.past, *about, detail)


def trail_of_house(connection: Connection, unit: str) -> Trail:
    """The house's audit trail, with its heads that stand in signed answers to closings."""
    heads = _heads(connection)  # before the entries: what a closing names was written before it
    return Trail(unit, entries(connection, audit), heads)


def _heads(connection: Connection) -> Sequence[Head]:
    query = select(closing.c.source, closing.c.number, closing.c.answer).order_by(closing.c.source, closing.c.number)
    found = []
    for source, number, answer in connection.execute(query):
        said = ManifestAnswer.model_validate(parse(bytes(answer))["data"])
        if said.audit_head is not None:
            found.append(Head(f"closing {number} with {source}", said.audit_head))
    return found
