"""What a restored outbox makes of all that a house told, in one transaction. Called by `recovering`.

An event that is known here and settled over there is settled. One that is not known is learned: a row with its name, its fate and the
digest of its content, without bytes. One of ours whose place over there is another event's was never taken and never will be: it goes out
again as a new event, unless its content is over there already under the event that is learned.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, tuple_, update

from broker import audit
from broker.outbox.numbering import Numbers
from broker.outbox.recording import record_settlements
from broker.outbox.tables import audit as trail
from broker.outbox.tables import outbox, recovery_entry, reissued, stream
from broker.outbox.values import Life, Settlement
from broker.outbox.withdrawing import tombstone_of
from broker.statements import in_parts
from broker.trust.sealing import unseal_problems
from schemas.content import content_digest
from schemas.errors import Problem
from schemas.event import digest_of, event_bytes, new_id, new_salt
from schemas.fates import Fate
from schemas.sealed import SEALED_SCHEMA

log = structlog.get_logger()

WITHDRAWN = "withdrawn"  # the code with which a house refuses what its sender took back

_AT_ONCE = 500
_ORDER = (recovery_entry.c.epoch, recovery_entry.c.sequence, recovery_entry.c.type)

_Place = tuple[str, str, int]  # type, epoch, sequence


@dataclass(slots=True)
class Learned:
    """What came of one house's telling, in events. `merged`: of ours, over there under another id with the same content."""

    learned: int = 0
    settled: int = 0
    reissued: int = 0
    merged: int = 0
    contradicted: int = 0


def learn_all(connection: Connection, life: Life, house: str, now: datetime) -> Learned:
    """Apply everything that a house (URN) told, and give what came of it."""
    result = Learned()
    before = _standing(connection, house)
    displaced = _settle_known(connection, house, now, result)
    merged = _merge(connection, life, house, displaced, now)
    result.merged = len(merged)
    result.reissued = _reissue(connection, life, displaced - merged, now)
    for entries in _told(connection, house):
        _insert(connection, house, entries, now, result)
    _count_holes(connection, life, house, before)
    counts = {name: getattr(result, name) for name in Learned.__slots__}
    audit.append(connection, trail, audit.Act(audit.actor(), "outbox.learned", house, "", counts), now)
    (log.error if result.contradicted else log.info)("outbox.learned", house=house, **counts)
    return result


def _told(connection: Connection, house: str) -> Iterator[Sequence[Row[Any]]]:
    """What the house told, in parts, in the order of the streams."""
    here = recovery_entry.c.destination == house
    after: tuple[Any, ...] | None = None
    while True:
        query = select(recovery_entry).where(here) if after is None else select(recovery_entry).where(here, tuple_(*_ORDER) > after)
        rows = connection.execute(query.order_by(*_ORDER).limit(_AT_ONCE)).all()
        if not rows:
            return
        yield rows
        after = (rows[-1].epoch, rows[-1].sequence, rows[-1].type)


def _settle_known(connection: Connection, house: str, now: datetime, result: Learned) -> set[int]:
    """Settle what is known here; give the positions of our unsettled rows whose place over there is another event's."""
    displaced: set[int] = set()
    for entries in _told(connection, house):
        by_id, by_place = _rows_for(connection, house, entries)
        settlements = []
        for entry in entries:
            at_place = by_place.get((entry.type, entry.epoch, entry.sequence))
            if entry.event_id in by_id:
                problems = tuple(Problem.model_validate(problem) for problem in entry.problems or ())
                said = (Fate(entry.fate), problems, entry.sealed, entry.receipt_digest)
                settlements.append(Settlement(entry.event_id, entry.digest, house, *said))
            elif at_place is not None and at_place.settled_at_utc is None and not at_place.learned:
                displaced.add(at_place.position)
        recorded = record_settlements(connection, settlements, (), (), now)
        result.settled += recorded.fates[Fate.LOADED] + recorded.fates[Fate.REFUSED]
        result.contradicted += recorded.mismatched + recorded.contradicted
    return displaced


def _rows_for(connection: Connection, house: str, entries: Sequence[Row[Any]]) -> tuple[dict[str, Any], dict[_Place, Any]]:
    """Our rows that bear these ids, and those that stand at these places."""
    columns = (
        outbox.c.position,
        outbox.c.event_id,
        outbox.c.type,
        outbox.c.epoch,
        outbox.c.sequence,
        outbox.c.settled_at_utc,
        outbox.c.learned,
    )
    ids = select(*columns).where(outbox.c.event_id.in_([entry.event_id for entry in entries]))
    by_id = {row.event_id: row for row in connection.execute(ids)}
    by_place: dict[_Place, Any] = {}
    streams = {(entry.type, entry.epoch) for entry in entries}
    for event_type, epoch in streams:
        sequences = [entry.sequence for entry in entries if (entry.type, entry.epoch) == (event_type, epoch)]
        here = (outbox.c.destination == house, outbox.c.type == event_type, outbox.c.epoch == epoch)
        for row in connection.execute(select(*columns).where(*here, outbox.c.sequence.in_(sequences))):
            by_place[(event_type, epoch, row.sequence)] = row
    return by_id, by_place


def _merge(connection: Connection, life: Life, house: str, displaced: Collection[int], now: datetime) -> set[int]:
    """Give up our rows that nobody took and whose name and content the house holds under another id; give their positions."""
    waiting = and_(outbox.c.relayed_at_utc.is_(None), outbox.c.settled_at_utc.is_(None), outbox.c.epoch != life.epoch)
    merged: set[int] = set()
    for positions in (None, *in_parts(sorted(displaced), _AT_ONCE)):
        ours = waiting if positions is None else outbox.c.position.in_(positions)
        for row in connection.execute(_same_names(house).where(ours)).all():
            if row.position not in merged and _content_of(row.raw) == row.content:
                merged.add(row.position)
                connection.execute(delete(outbox).where(outbox.c.position == row.position))
                _became(connection, row.event_id, row.told_id, "event.recognised", now)
    return merged


def _same_names(house: str) -> Any:
    """Our own rows beside what the house told under the same name and another id."""
    name = [outbox.c[column] == recovery_entry.c[column] for column in ("destination", "type", "reference", "version")]
    told = (recovery_entry.c.event_id.label("told_id"), recovery_entry.c.content)
    query = select(outbox.c.position, outbox.c.event_id, outbox.c.raw, *told).join(recovery_entry, and_(*name))
    return query.where(outbox.c.destination == house, outbox.c.learned == 0, outbox.c.event_id != recovery_entry.c.event_id)


def _content_of(raw: bytes) -> bytes:
    return content_digest(json.loads(raw)["data"])


def _reissue(connection: Connection, life: Life, positions: Collection[int], now: datetime) -> int:
    """Send these rows' contents as new events of this life: nobody has the old ones, which were refused unseen.

    One that was withdrawn stays so: its tombstone is made anew with it.
    """
    numbers = Numbers(connection, life.epoch)
    for position in sorted(positions):
        here = outbox.c.position == position
        row = dict(connection.execute(select(outbox).where(here)).mappings().one())
        del row["position"]  # it gets another one: positions rise with sequences
        sequence = numbers.next(row["destination"], row["type"])
        event_id, raw = _anew(row["raw"], life.epoch, sequence)
        before, reason = row["event_id"], None if row["withdrawal"] is None else json.loads(row["withdrawal"])["data"]["reason"]
        row |= {"event_id": event_id, "epoch": life.epoch, "sequence": sequence, "raw": raw, "bytes": len(raw), "digest": digest_of(raw)}
        row |= {"relayed_at_utc": None, "relayed_mark": None, "relays": 0, "answered_fate": None, "problems": None}
        connection.execute(delete(outbox).where(here))
        connection.execute(insert(outbox), row)
        if reason is not None:
            _withdraw_anew(connection, life, event_id, reason, now)
        _became(connection, before, event_id, "event.reissued", now)
    numbers.keep()
    return len(positions)


def _withdraw_anew(connection: Connection, life: Life, event_id: str, reason: str, now: datetime) -> None:
    here = outbox.c.event_id == event_id
    tombstone = tombstone_of(life, connection.execute(select(outbox).where(here)).one(), reason, now)
    connection.execute(update(outbox).where(here).values(withdrawal=tombstone, bytes=len(tombstone)))


def _anew(raw: bytes, epoch: str, sequence: int) -> tuple[str, bytes]:
    """The same content, accepted at the same time, as another event."""
    event_id = new_id()
    attributes = json.loads(raw)
    # A sealed event's subject is its id, and its salt belongs to the digest of what is sealed.
    own = {"subject": event_id} if attributes["dataschema"] == SEALED_SCHEMA else {"salt": new_salt()}
    return event_id, event_bytes(attributes | own | {"id": event_id, "epoch": epoch, "sequence": sequence})


def _became(connection: Connection, event_id: str, became: str, action: str, now: datetime) -> None:
    connection.execute(insert(reissued), {"event_id": event_id, "became": became, "at_utc": now})
    audit.append(connection, trail, audit.Act(audit.actor(), action, event_id, "its place was another event's", {"became": became}), now)


def _insert(connection: Connection, house: str, entries: Sequence[Row[Any]], now: datetime, result: Learned) -> None:
    by_id, by_place = _rows_for(connection, house, entries)
    learned = _learned_under(connection, house, entries)
    rows = []
    for entry in entries:
        if entry.event_id in by_id:
            continue
        if (entry.type, entry.epoch, entry.sequence) in by_place:
            result.contradicted += 1  # what settled here stands at that place over there under another id: the house must explain
            log.error("recovery.contradicted", house=house, epoch=entry.epoch, sequence=entry.sequence, event_id=entry.event_id)
            continue
        name = (entry.type, entry.reference, entry.version)
        learned[name] += 1
        rows.append(_row_of(entry, house, learned[name], now))
    if rows:
        connection.execute(insert(outbox), rows)
    result.learned += len(rows)


def _learned_under(connection: Connection, house: str, entries: Sequence[Row[Any]]) -> Counter[tuple[str, str, int]]:
    """How many events were learned already under each of these entries' names."""
    name = (outbox.c.type, outbox.c.reference, outbox.c.version)
    query = select(*name, func.max(outbox.c.learned)).where(outbox.c.destination == house).group_by(*name)
    found = connection.execute(query.where(outbox.c.reference.in_({entry.reference for entry in entries})))
    return Counter({(row.type, row.reference, row.version): row[3] for row in found})


def _row_of(entry: Row[Any], house: str, learned: int, now: datetime) -> dict[str, Any]:
    final = Fate(entry.fate).final
    withdrawn = any(problem["code"] == WITHDRAWN for problem in entry.problems or ())
    return {
        "event_id": entry.event_id,
        "destination": house,
        "type": entry.type,
        "epoch": entry.epoch,
        "sequence": entry.sequence,
        "reference": entry.reference,
        "version": entry.version,
        "content_digest": entry.content or b"",
        "digest": entry.digest,
        "bytes": 0,
        "accepted_at_utc": min(_made_at(entry.event_id) or now, now),
        "relayed_at_utc": now,
        "relayed_mark": 0,
        "answered_fate": None if final else entry.fate,
        "settled_at_utc": now if final else None,
        "fate": entry.fate if final else None,
        "problems": entry.problems if entry.sealed is None else _unreadable(entry.sealed),
        # What was withdrawn in the forgotten time stays so: this version is not accepted again.
        "withdrawn_at_utc": now if withdrawn else None,
        "withdrawal": b"" if withdrawn else None,
        "learned": learned,
        "raw": b"",
    }


def _unreadable(sealed: str) -> list[dict[str, Any]]:
    """Reasons under a key that went with the event."""
    return [problem.model_dump(mode="json", exclude_none=True) for problem in unseal_problems(sealed, None)]


def _made_at(event_id: str) -> datetime | None:
    """When a UUIDv7 was made: its first 48 bits are milliseconds since 1970 (RFC 9562, section 5.7). None where it is none."""
    try:
        milliseconds = UUID(event_id).int >> 80
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


_Streams = dict[tuple[str, str], tuple[int, int, int]]  # (type, epoch): last sequence, holes, rows


def _standing(connection: Connection, house: str) -> _Streams:
    """How the streams to a house stand."""
    told = select(recovery_entry.c.type, recovery_entry.c.epoch).where(recovery_entry.c.destination == house).distinct()
    names = {(row.type, row.epoch) for row in connection.execute(told)}
    waiting = or_(outbox.c.relayed_at_utc.is_(None), outbox.c.settled_at_utc.is_(None))
    ours = select(outbox.c.type, outbox.c.epoch).where(outbox.c.destination == house, waiting).distinct()
    names |= {(row.type, row.epoch) for row in connection.execute(ours)}
    return {name: _standing_of(connection, house, *name) for name in names}


def _standing_of(connection: Connection, house: str, event_type: str, epoch: str) -> tuple[int, int, int]:
    here = (stream.c.destination == house, stream.c.type == event_type, stream.c.epoch == epoch)
    given = connection.execute(select(stream.c.last_sequence, stream.c.holes).where(*here)).first()
    rows = connection.execute(
        select(func.count(), func.max(outbox.c.sequence)).where(
            outbox.c.destination == house, outbox.c.type == event_type, outbox.c.epoch == epoch
        )
    ).one()
    return (max(given.last_sequence if given else 0, rows[1] or 0), given.holes if given else 0, rows[0])


def _count_holes(connection: Connection, life: Life, house: str, before: _Streams) -> None:
    """Write down how far each former stream was numbered, and how many of its events nobody knows."""
    for (event_type, epoch), (last_before, holes_before, rows_before) in before.items():
        if epoch == life.epoch:
            continue
        last, _, rows = _standing_of(connection, house, event_type, epoch)
        holes = holes_before + (last - last_before) - (rows - rows_before)
        name = {"destination": house, "type": event_type, "epoch": epoch}
        here = [stream.c[column] == value for column, value in name.items()]
        if connection.execute(update(stream).where(*here).values(last_sequence=last, holes=holes)).rowcount == 0:
            connection.execute(insert(stream), name | {"last_sequence": last, "holes": holes})
