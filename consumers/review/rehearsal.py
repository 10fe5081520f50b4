"""Dry runs: what would happen to each item, done for real and rolled back. Nothing is ordered, counted or sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from consumers import held
from consumers.parked import message_of
from consumers.pipeline import Pipeline
from consumers.retrying import outcome_of
from consumers.review.carrying import AT_ONCE, shelved
from consumers.review.doors import ConsumerDoor
from consumers.review.orders import outcome_of_start
from consumers.review.values import Action, Chosen, Kind, Outcome
from consumers.tables import held as held_table
from consumers.tables import inbox
from consumers.tables import parked as parked_table
from schemas.errors import Problem
from schemas.fates import Fate

_OF_FATE = {Fate.LOADED: Outcome.LOADED, Fate.REFUSED: Outcome.REFUSED, Fate.HELD: Outcome.HELD}


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What would become of one item; `event_id` where a parked message holds it, `again`: it was taken in before."""

    key: str
    outcome: Outcome
    problem: Problem | None = None
    exception: str | None = None
    event_id: str | None = None
    again: bool = False


def rehearse_held(pipeline: Pipeline, items: Sequence[Chosen], action: Action) -> Iterator[Rehearsed]:
    """Run the handler over held events, some at a time in one transaction, so that each sees what those before it would have written."""
    for start in range(0, len(items), AT_ONCE):
        part = {item.key: item for item in items[start : start + AT_ONCE]}
        with pipeline.engine.connect() as connection, connection.begin() as transaction:
            told = _rehearse_part(pipeline, connection, part, action)
            transaction.rollback()
        yield from told


def _rehearse_part(pipeline: Pipeline, connection: Connection, part: Mapping[str, Chosen], action: Action) -> list[Rehearsed]:
    found: list[Rehearsed] = []
    events = held.read(connection, list(part))
    found.extend(Rehearsed(key, Outcome.GONE) for key in sorted(set(part) - {event.event_id for event in events}))
    for event in events:
        code = connection.execute(select(held_table.c.code).where(held_table.c.event_id == event.event_id)).scalar_one()
        outcome = outcome_of_start(action, event.fate, part[event.event_id].code, code)
        if outcome is not None:
            found.append(Rehearsed(event.event_id, outcome))
            continue
        _, declined = outcome_of(pipeline, connection, event, released=event.released or action is Action.RELEASE)
        if declined is None:
            found.append(Rehearsed(event.event_id, Outcome.LOADED))
        else:
            exception = declined.surprise.exception if declined.surprise else None
            found.append(Rehearsed(event.event_id, _OF_FATE[declined.fate], declined.problems[0], exception))
    return found


def rehearse_discard(connection: Connection, kind: Kind, items: Sequence[Chosen]) -> list[Rehearsed]:
    """What discarding would come to."""
    return [Rehearsed(item.key, (_held_discard if kind is Kind.HELD else _parked_discard)(connection, item)) for item in items]


def _held_discard(connection: Connection, item: Chosen) -> Outcome:
    query = select(held_table.c.code, inbox.c.fate).join(inbox, inbox.c.event_id == held_table.c.event_id)
    row = connection.execute(query.where(held_table.c.event_id == item.key)).first()
    fate, code = (None, item.code) if row is None else (Fate(row.fate), row.code)
    return outcome_of_start(Action.DISCARD, fate, item.code, code) or Outcome.REFUSED


def _parked_discard(connection: Connection, item: Chosen) -> Outcome:
    query = select(parked_table.c.code, parked_table.c.closed_at_utc).where(parked_table.c.digest == bytes.fromhex(item.key))
    row = connection.execute(query).first()
    if row is None or row.closed_at_utc is not None:
        return Outcome.GONE
    return Outcome.CLOSED if row.code == item.code else Outcome.CHANGED


def rehearse_parked(door: ConsumerDoor, items: Sequence[Chosen]) -> Iterator[Rehearsed]:
    """Open parked messages with the trust of today, and take in what they hold; one transaction each."""
    for item in items:
        with door.pipeline.engine.connect().execution_options(reads=True) as connection, connection.begin():
            row = connection.execute(select(parked_table).where(parked_table.c.digest == bytes.fromhex(item.key))).first()
        if row is None or row.closed_at_utc is not None:
            yield Rehearsed(item.key, Outcome.GONE)
            continue
        message = message_of(bytes(row.digest), row.headers, row.body)
        if message is None:
            yield Rehearsed(item.key, Outcome.PARKED, incomplete())
            continue
        opened, problem = door.look(shelved(message, row.lane, row.queue))
        if problem is not None:
            yield Rehearsed(item.key, Outcome.PARKED, problem)
            continue
        answers, conflicts = door.pipeline.rehearse(opened.arrivals)
        known = _taken_in(door.pipeline, [answer.event_id for answer in answers])
        for answer in answers:
            problem = answer.problems[0] if answer.problems else None
            yield Rehearsed(item.key, _OF_FATE[answer.fate], problem, event_id=answer.event_id, again=answer.event_id in known)
        for conflict in conflicts:
            yield Rehearsed(item.key, Outcome.PARKED, conflict.problem, event_id=conflict.arrival.id)
        for parking in opened.parkings:
            yield Rehearsed(item.key, Outcome.PARKED, parking.problem)


def incomplete() -> Problem:
    """Why a row of which not all was kept, or that is a single event, cannot be opened again."""
    text = "not the whole message was kept: its post sends the events again by itself until they are answered"
    return Problem(code="parked-incomplete", text=text)


def _taken_in(pipeline: Pipeline, event_ids: Sequence[str]) -> set[str]:
    with pipeline.engine.connect().execution_options(reads=True) as connection, connection.begin():
        return set(connection.execute(select(inbox.c.event_id).where(inbox.c.event_id.in_(event_ids))).scalars())
