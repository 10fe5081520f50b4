"""Questions to the outbox: what waits, what is under way, how it all stands. Nothing is changed here.

The relay's questions touch only unfinished rows (the partial indexes of `tables`), however many are settled.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, Table, and_, bindparam, exists, func, not_, or_, select

from broker.outbox.skews import skew_of
from broker.outbox.tables import beacon, lease, outbox, outbox_life, parked_control, receipt, receipt_counter, stream
from broker.outbox.values import ANY_TYPE, BeaconState, Depth, EventFate, KeptRow, Life, OutboxRow, RelayedRow, Types
from broker.statements import in_parts
from schemas.errors import Problem
from schemas.event import digest_of
from schemas.fates import Fate
from schemas.names import EventType, is_event_id

_UNSETTLED = outbox.c.settled_at_utc.is_(None)
_WAITING = and_(outbox.c.relayed_at_utc.is_(None), _UNSETTLED)
_MEANT = outbox.c.withdrawal.is_(None)  # to be sent as it was accepted
_WITHDRAWN = outbox.c.withdrawn_at_utc.is_not(None)
_RELAYED = and_(outbox.c.relayed_at_utc.is_not(None), _UNSETTLED)
_ROW = (
    outbox.c.position,
    outbox.c.destination,
    outbox.c.type,
    outbox.c.bytes,
    outbox.c.accepted_at_utc,
    outbox.c.relays,
    outbox.c.digest,
    outbox.c.raw,
    outbox.c.withdrawal,
)
_NEWEST = select(outbox.c.accepted_at_utc, outbox.c.epoch).order_by(outbox.c.position.desc()).limit(1)
_NEWEST_WAITING = (
    select(outbox.c.position).where(outbox.c.destination == bindparam("to"), _WAITING).order_by(outbox.c.position.desc()).limit(1)
)


@lru_cache
def waiting_sizes(types: Types = ANY_TYPE) -> Select[Any]:
    """Position and bytes of rows not relayed yet and not withdrawn, oldest first: found through the partial index.

    Its parameters: `to` (a destination), `after` (a position) and `most` (rows). Made once, as all that is asked each turn: making a
    statement costs more than asking it.
    """
    here = [outbox.c.destination == bindparam("to"), _WAITING, _MEANT, outbox.c.position > bindparam("after"), *_of_types(types)]
    return select(outbox.c.position, outbox.c.bytes).where(*here).order_by(outbox.c.position).limit(bindparam("most", type_=Integer))


@lru_cache
def _waiting_rows(types: Types) -> Select[Any]:
    between = outbox.c.position.between(bindparam("first"), bindparam("last"))
    here = [outbox.c.destination == bindparam("to"), _WAITING, _MEANT, between, *_of_types(types)]
    return select(*_ROW).where(*here).order_by(outbox.c.position)


def waiting(
    connection: Connection, destination: str, limit_events: int, limit_bytes: int, after_position: int = 0, types: Types = ANY_TYPE
) -> list[OutboxRow]:
    """Rows not relayed yet, oldest first, up to both limits; one row alone may pass the bytes, or it would wait for ever.

    Those that are withdrawn are not among them: `tombstones`.
    """
    last = total = 0
    asked = {"to": destination, "after": after_position, "most": limit_events}
    for position, size in connection.execute(waiting_sizes(types), asked):
        if last and total + size > limit_bytes:
            break
        last = position
        total += size
    if not last:
        return []
    between = {"to": destination, "first": after_position + 1, "last": last}
    return [_to_send(row) for row in connection.execute(_waiting_rows(types), between)]


def waiting_since(
    connection: Connection, destination: str, since_utc: datetime, limit_events: int, limit_bytes: int, after_position: int, types: Types
) -> list[OutboxRow]:
    """The newest rows not relayed yet, none accepted before `since_utc`, up to both limits; given oldest first.

    Positions rise with acceptance: what is read is bounded by `limit_events`, however much waits.
    """
    here = [outbox.c.destination == destination, _WAITING, _MEANT, outbox.c.position > after_position, *_of_types(types)]
    query = select(outbox.c.position, outbox.c.bytes, outbox.c.accepted_at_utc).where(*here).order_by(outbox.c.position.desc())
    positions: list[int] = []
    total = 0
    for position, size, accepted_at in connection.execute(query.limit(limit_events)):
        if accepted_at < since_utc or (positions and total + size > limit_bytes):
            break
        positions.append(position)
        total += size
    return rows_at(connection, positions)


def newest_waiting(connection: Connection, destination: str) -> int:
    """The highest position of what waits for a destination, 0 where nothing does: one step in the partial index."""
    return connection.execute(_NEWEST_WAITING, {"to": destination}).scalar() or 0


def waiting_tombstones(destination: str, limit_events: int) -> Select[Any]:
    """Rows that were withdrawn and whose tombstone has not been relayed yet, oldest first: found through the index of withdrawals."""
    here = (outbox.c.destination == destination, _WITHDRAWN, outbox.c.settled_at_utc.is_(None), outbox.c.relayed_at_utc.is_(None))
    return select(*_ROW).where(*here, not_(_MEANT)).order_by(outbox.c.position).limit(limit_events)


def tombstones(connection: Connection, destination: str, limit_events: int) -> list[OutboxRow]:
    """What `waiting_tombstones` finds."""
    return [_to_send(row) for row in connection.execute(waiting_tombstones(destination, limit_events))]


def _to_send(row: Any) -> OutboxRow:
    if row[-1] is None:
        return OutboxRow._make(row[:-1])
    tombstone = bytes(row.withdrawal)
    found = OutboxRow._make(row[:-1])
    return found._replace(type=EventType.WITHDRAWAL.value, size_bytes=len(tombstone), digest=digest_of(tombstone), raw=tombstone)


def _of_types(types: Types) -> list[ColumnElement[bool]]:
    conditions = []
    if types.only is not None:
        conditions.append(outbox.c.type == types.only)
    if types.without:
        conditions.append(outbox.c.type.not_in(sorted(types.without)))
    return conditions


def rows_at(connection: Connection, positions: Sequence[int]) -> list[OutboxRow]:
    """The unsettled rows at these positions, oldest first."""
    rows: list[OutboxRow] = []
    for some in in_parts(positions):
        query = select(*_ROW).where(outbox.c.position.in_(some), _UNSETTLED)
        rows.extend(_to_send(row) for row in connection.execute(query))
    return sorted(rows)


def relayed_rows(destination: str, relayed_before_utc: datetime | None = None) -> Select[Any]:
    """Rows relayed and not settled, the longest out first; not what was learned, of which there are no bytes to send."""
    query = select(
        outbox.c.position,
        outbox.c.bytes,
        outbox.c.relayed_at_utc,
        func.coalesce(outbox.c.relayed_mark, 0),
        outbox.c.relays,
        outbox.c.answered_fate,
    ).where(outbox.c.destination == destination, _RELAYED, outbox.c.bytes > 0)
    if relayed_before_utc is not None:
        query = query.where(outbox.c.relayed_at_utc <= relayed_before_utc)
    return query.order_by(outbox.c.relayed_at_utc)


def relayed(connection: Connection, destination: str, relayed_before_utc: datetime | None = None) -> list[RelayedRow]:
    """What `relayed_rows` finds."""
    return [RelayedRow._make(row) for row in connection.execute(relayed_rows(destination, relayed_before_utc))]


def is_quiet(connection: Connection) -> bool:
    """Whether nothing waits and nothing is under way; what is HELD waits for a person over there, and is quiet."""
    for destination in destinations(connection):  # asked one by one, so that the partial indexes answer
        waits = exists().where(outbox.c.destination == destination, _WAITING)  # withdrawn ones too
        flies = exists().where(outbox.c.destination == destination, _RELAYED, outbox.c.answered_fate.is_(None))
        if connection.execute(select(or_(waits, flies))).scalar():
            return False
    return True


def unsettled(connection: Connection) -> int:
    """How many events have no final answer yet."""
    count = select(func.count()).select_from(outbox)
    return sum(
        int(connection.execute(count.where(outbox.c.destination == destination, state)).scalar_one())
        for destination in destinations(connection)  # asked one by one, so that the partial indexes answer
        for state in (_WAITING, _RELAYED)
    )


def destinations(connection: Connection) -> list[str]:
    """Every destination (URN) that anything was accepted for."""
    return list(connection.execute(select(stream.c.destination).distinct().order_by(stream.c.destination)).scalars())


def given(connection: Connection) -> int:
    """How many numbers were given in all streams: a row for each stream tells, however many events there are."""
    return int(connection.execute(select(func.coalesce(func.sum(stream.c.last_sequence), 0))).scalar_one())


def depths(connection: Connection, but_not: Collection[str] = ()) -> list[Depth]:
    """How each destination (URN) stands, `but_not` these. What waits is counted in an index that holds nothing else."""
    counters = {(row.destination, row.what): row.times for row in connection.execute(select(receipt_counter))}
    found = []
    for destination in destinations(connection):
        if destination in but_not:
            continue
        here = outbox.c.destination == destination
        numbers = select(func.sum(stream.c.last_sequence - stream.c.holes)).where(stream.c.destination == destination)
        accepted = connection.execute(numbers).scalar() or 0
        waits = connection.execute(
            select(func.count(), func.coalesce(func.sum(outbox.c.bytes), 0), func.min(outbox.c.position)).where(here, _WAITING)
        ).one()
        answered = outbox.c.answered_fate.is_not(None)
        flying = connection.execute(select(func.count(), func.min(outbox.c.relayed_at_utc)).where(here, _RELAYED, not_(answered))).one()
        held = connection.execute(select(func.count()).where(here, _RELAYED, answered)).scalar_one()
        refused = connection.execute(select(func.count()).where(here, outbox.c.fate == Fate.REFUSED.value)).scalar_one()
        oldest = connection.execute(select(outbox.c.accepted_at_utc).where(outbox.c.position == waits[2])).scalar()
        found.append(
            Depth(
                destination=destination,
                accepted=int(accepted),
                waiting=waits[0],
                waiting_bytes=int(waits[1]),
                in_flight=flying[0],
                held=held,
                settled=int(accepted) - waits[0] - flying[0] - held,
                refused=refused,
                oldest_waiting_utc=oldest,
                oldest_in_flight_utc=flying[1],
                receipts_mismatched=counters.get((destination, "mismatched"), 0),
                receipts_contradicted=counters.get((destination, "contradicted"), 0),
                **_withdrawn(connection, destination),
            )
        )
    return found


def _withdrawn(connection: Connection, destination: str) -> dict[str, int]:
    here = (outbox.c.destination == destination, _WITHDRAWN)
    later = outbox.alias("later")
    corrected = exists().where(
        later.c.reference == outbox.c.reference,
        later.c.version > outbox.c.version,
        later.c.destination == outbox.c.destination,
        later.c.type == outbox.c.type,
    )
    late = (outbox.c.settled_at_utc.is_not(None), outbox.c.fate == Fate.LOADED.value, not_(corrected))
    count = select(func.count()).select_from(outbox)
    return {
        "withdrawing": connection.execute(count.where(*here, outbox.c.settled_at_utc.is_(None))).scalar_one(),
        "withdrawn_late": connection.execute(count.where(*here, *late)).scalar_one(),
    }


def fates(connection: Connection, event_ids: Sequence[str]) -> list[EventFate]:
    """What became so far of those of these events that are in this outbox."""
    columns = (
        outbox.c.event_id,
        outbox.c.fate,
        outbox.c.answered_fate,
        outbox.c.problems,
        outbox.c.settled_at_utc,
        outbox.c.relayed_at_utc,
    )
    found = []
    for ids in in_parts(event_ids):
        for row in connection.execute(select(*columns).where(outbox.c.event_id.in_(ids))):
            problems = tuple(Problem.model_validate(problem) for problem in row.problems or ())
            fate = Fate(row.fate) if row.fate else None
            answered = Fate(row.answered_fate) if row.answered_fate else None
            found.append(EventFate(row.event_id, fate, answered, problems, row.settled_at_utc, row.relayed_at_utc))
    return found


def rows_of(connection: Connection, reference: str) -> Sequence[Any]:
    """All versions of one declaration, every column but the bytes, in order of acceptance; read by column name.

    A registration number alone finds every reference that ends with it, by reading all of them; an event's id finds the event.
    """
    columns = [column for column in outbox.c if column.name not in ("raw", "content_digest")]
    return connection.execute(select(*columns).where(named(outbox, reference)).order_by(outbox.c.position)).all()


def kept(connection: Connection, reference: str) -> list[KeptRow]:
    """All versions of one declaration with their bytes and receipts, in order of acceptance; found as by `rows_of`.

    What was learned from a house is not among them: its bytes are over there only.
    """
    columns = (
        *(outbox.c[name] for name in KeptRow._fields[:9]),
        receipt.c.received_at_utc,
        receipt.c.jws,
        receipt.c.raw,
    )
    query = select(*columns).outerjoin(receipt, receipt.c.digest == outbox.c.receipt_digest)
    here = query.where(named(outbox, reference), outbox.c.learned == 0)
    return [KeptRow._make(row) for row in connection.execute(here.order_by(outbox.c.position))]


def named(table: Table, reference: str) -> ColumnElement[bool]:
    """The condition by which a table finds a declaration: by its reference, by its registration number alone, or by an event's id."""
    if is_event_id(reference):
        return table.c.event_id == reference
    return table.c.reference == reference if "/" in reference else table.c.reference.endswith(f"/{reference}", autoescape=True)


def lives(connection: Connection) -> list[tuple[Life, bool]]:
    """Every life of the outbox, oldest first, and whether it is the current one."""
    rows = connection.execute(select(outbox_life).order_by(outbox_life.c.begun_at_utc, outbox_life.c.current))
    return [(life_of(row), row.current) for row in rows]


def accepted(connection: Connection) -> tuple[str, int]:
    """The epoch of the current life, and how many numbers were given in it."""
    given = func.coalesce(func.sum(stream.c.last_sequence), 0)
    joined = outbox_life.outerjoin(stream, stream.c.epoch == outbox_life.c.epoch)
    query = select(outbox_life.c.epoch, given).select_from(joined).where(outbox_life.c.current.is_(True)).group_by(outbox_life.c.epoch)
    epoch, count = connection.execute(query).one()
    return epoch, int(count)


def life_of(row: Any) -> Life:
    """A row of `outbox_life` as a value."""
    recovering = row.recovering_at_utc is not None and row.recovered_at_utc is None
    return Life(row.epoch, row.source, row.environment, row.begun_at_utc, row.suspected_because, recovering)


def beacons(connection: Connection) -> list[BeaconState]:
    """What is known of every destination's beacon."""
    return [
        BeaconState(
            destination=row.destination,
            sent_mark=row.sent_mark,
            sent_at_utc=row.sent_at_utc,
            returned_mark=row.returned_mark,
            returned_at_utc=row.returned_at_utc,
            skew=skew_of(row),
            skew_at_utc=row.skew_at_utc,
            highest_epoch=row.highest_epoch,
            highest=row.highest,
        )
        for row in connection.execute(select(beacon).order_by(beacon.c.destination))
    ]


def newest(connection: Connection, epoch: str) -> datetime | None:
    """When the last event of this epoch was accepted: our clock never stood before this. None where the epoch has none yet."""
    row = connection.execute(_NEWEST).first()
    return row.accepted_at_utc if row is not None and row.epoch == epoch else None


def streams(connection: Connection) -> Sequence[Any]:
    """Every stream: destination, type, epoch, last_sequence."""
    return connection.execute(select(stream).order_by(stream.c.destination, stream.c.type, stream.c.epoch)).all()


def parked(connection: Connection) -> Sequence[Any]:
    """Parked control messages: digest, lane, code, times, first_seen_utc, last_seen_utc; the latest first."""
    return connection.execute(select(parked_control).order_by(parked_control.c.last_seen_utc.desc())).all()


def holder(connection: Connection, now: datetime) -> str | None:
    """Who relays this outbox now, None where nobody does."""
    return connection.execute(select(lease.c.holder).where(lease.c.until_utc > now)).scalar()
