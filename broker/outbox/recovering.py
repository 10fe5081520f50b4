"""From a restored or replaced outbox to one that accepts again: a new life begins, every house is asked, and what they tell is kept page
by page, so that it goes on wherever it was interrupted. Called within the store's transactions; what is made of it all: `learning`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Table, delete, exists, func, insert, select, update

from broker import audit
from broker.outbox import lives
from broker.outbox.learning import learn_all
from broker.outbox.reading import life_of
from broker.outbox.recording import keep_receipts
from broker.outbox.tables import audit as trail
from broker.outbox.tables import outbox, outbox_life, recovery, recovery_entry, recovery_head, stream
from broker.outbox.values import HouseRecovery, Life, RecoveryState, Told
from broker.statements import insert_missing
from broker.trust.signing import unb64url
from schemas.control import Recovered, RecoveryAnswer, StreamHead

log = structlog.get_logger()

_STATE = tuple(recovery.c[name] for name in HouseRecovery.__dataclass_fields__)


def state(connection: Connection) -> RecoveryState:
    """How the outbox stands, without waiting for anybody."""
    row = connection.execute(select(outbox_life).where(outbox_life.c.current.is_(True))).one()
    return _state(connection, life_of(row))


def _state(connection: Connection, life: Life) -> RecoveryState:
    houses = connection.execute(select(*_STATE).order_by(recovery.c.destination))
    return RecoveryState(life, tuple(HouseRecovery(*row) for row in houses))


def begin(connection: Connection, houses: Sequence[str], now: datetime, *, everything: bool, reason: str) -> RecoveryState:
    """Begin a life that accepts nothing until these houses have told what they hold; one that has begun goes on with these houses.

    What settled here before needs no telling, unless `everything` is to be told.
    """
    life = lives.current_life(connection)
    if life is None:
        raise ValueError("an outbox that is open has a life")
    if not life.recovering or life.suspected_because is not None:
        # Even where nothing was accepted: the outbox may have been set back to its very beginning.
        before, life = life, lives.begin_life(connection, life.source, life.environment, now, recovering=True)
        for table in (recovery, recovery_head, recovery_entry):
            connection.execute(delete(table))
        detail: dict[str, Any] = {"epoch": life.epoch, "before": before.epoch, "because": before.suspected_because}
        detail |= {"houses": list(houses), "everything": everything}
        audit.append(connection, trail, audit.Act(audit.actor(), "outbox.recovery_begun", life.source, reason, detail), now)
        log.warning("outbox.recovery_begun", source=life.source, epoch=life.epoch, before=before.epoch, houses=list(houses))
    _ask_these(connection, life, houses, now, everything=everything, reason=reason)
    return _state(connection, _end(connection, life, now))


def _ask_these(connection: Connection, life: Life, houses: Sequence[str], now: datetime, *, everything: bool, reason: str) -> None:
    """Wait for these houses and no others: one that exchange.toml names no more could never be asked."""
    open_ones = select(recovery.c.destination).where(recovery.c.answered_at_utc.is_(None), recovery.c.destination.not_in(houses))
    for dropped in connection.execute(open_ones).scalars().all():
        for table in (recovery, recovery_head, recovery_entry):
            connection.execute(delete(table).where(table.c.destination == dropped))
        audit.append(connection, trail, audit.Act(audit.actor(), "outbox.recovery_without", dropped, reason), now)
        log.warning("outbox.recovery_without", source=life.source, house=dropped)
    asked = set(connection.execute(select(recovery.c.destination)).scalars())
    for house in houses:
        if house not in asked:
            row = {"destination": house, "epoch": life.epoch, "begun_at_utc": now, "told": 0}
            connection.execute(insert(recovery), row)
            known = [] if everything else settled_prefixes(connection, house)
            _raise_heads(connection, house, known)


def settled_prefixes(connection: Connection, house: str) -> list[StreamHead]:
    """For each stream to a house: up to where everything is settled here."""
    unsettled = (
        select(outbox.c.type, outbox.c.epoch, func.min(outbox.c.sequence).label("first"))
        .where(outbox.c.destination == house, outbox.c.settled_at_utc.is_(None))
        .group_by(outbox.c.type, outbox.c.epoch)
        .subquery()
    )
    last = func.coalesce(unsettled.c.first - 1, stream.c.last_sequence)
    joined = stream.outerjoin(unsettled, (stream.c.type == unsettled.c.type) & (stream.c.epoch == unsettled.c.epoch))
    query = select(stream.c.type, stream.c.epoch, last).select_from(joined).where(stream.c.destination == house)
    return [_head(*row) for row in connection.execute(query)]


def heads(connection: Connection, house: str) -> list[StreamHead]:
    """From where on a house is to tell what it holds, for each stream."""
    columns = (recovery_head.c.type, recovery_head.c.epoch, recovery_head.c.last)
    query = select(*columns).where(recovery_head.c.destination == house).order_by(recovery_head.c.epoch, recovery_head.c.type)
    return [_head(*row) for row in connection.execute(query)]


def keep(connection: Connection, told: Told, now: datetime) -> RecoveryState:
    """Keep one page. With the last one, learn all of them; with the last house's, accept again."""
    life = lives.current_life(connection)
    here = recovery.c.destination == told.destination
    asked = connection.execute(select(recovery).where(here)).first()
    if life is None or asked is None or asked.answered_at_utc is not None:
        return state(connection)
    answer = told.answer
    kept = _insert_missing(connection, recovery_entry, _entries(told, _settling(connection, told, now)))
    _raise_heads(connection, told.destination, answer.told)
    _know_lives(connection, life, answer, now)
    values: dict[str, Any] = {"told": recovery.c.told + kept, "remaining": answer.left}
    if answer.left == 0:
        learned = learn_all(connection, life, told.destination, now)
        connection.execute(delete(recovery_entry).where(recovery_entry.c.destination == told.destination))
        values |= {"answered_at_utc": now, "learned": learned.learned, "settled": learned.settled, "reissued": learned.reissued}
    connection.execute(update(recovery).where(here).values(values))
    return _state(connection, _end(connection, life, now))


def ask_again(connection: Connection, house: str, now: datetime) -> bool:
    """Open the questions to a house once more where an event of a former life stays unanswered though it was sent again: another one
    may have come to its place after the house had told all. Also where events are missing that may have been on their way then.
    """
    life = state(connection).life
    asked = connection.execute(select(recovery).where(recovery.c.destination == house)).first()
    if life.recovering or asked is None or asked.answered_at_utc is None:
        return False
    again = [head for head in _before_gaps(connection, house) if head.epoch != life.epoch]
    if not again:
        return False
    connection.execute(delete(recovery_head).where(recovery_head.c.destination == house))
    others = [head for head in _last_heads(connection, house) if (head.type, head.epoch) not in {(one.type, one.epoch) for one in again}]
    _raise_heads(connection, house, [*again, *others])
    here = recovery.c.destination == house
    connection.execute(update(recovery).where(here).values(answered_at_utc=None, begun_at_utc=now, told=0, remaining=None))
    log.info("recovery.begun_again", house=house, streams=[f"{head.type.value} {head.epoch}/{head.last}" for head in again])
    return True


def _before_gaps(connection: Connection, house: str) -> list[StreamHead]:
    """The streams in which something of ours stays without an answer though it was sent again, or is not known at all, up to there."""
    stuck = (outbox.c.destination == house, outbox.c.settled_at_utc.is_(None), outbox.c.answered_fate.is_(None), outbox.c.relays > 1)
    first = select(outbox.c.type, outbox.c.epoch, func.min(outbox.c.sequence)).where(*stuck).group_by(outbox.c.type, outbox.c.epoch)
    found = {(row[0], row[1]): row[2] - 1 for row in connection.execute(first)}
    holed = select(stream.c.type, stream.c.epoch, stream.c.pruned_to).where(stream.c.destination == house, stream.c.holes > 0)
    for kind, epoch, pruned_to in connection.execute(holed).all():
        gap = _first_gap(connection, house, kind, epoch, pruned_to)
        found[(kind, epoch)] = min(gap, found.get((kind, epoch), gap))
    return [_head(kind, epoch, last) for (kind, epoch), last in found.items()]


def _first_gap(connection: Connection, house: str, kind: str, epoch: str, pruned_to: int) -> int:
    """Up to where a stream is whole here, or was until it was archived."""
    here = (outbox.c.destination == house, outbox.c.type == kind, outbox.c.epoch == epoch)
    next_one = outbox.alias()
    followed = exists().where(
        next_one.c.destination == house,
        next_one.c.type == kind,
        next_one.c.epoch == epoch,
        next_one.c.sequence == outbox.c.sequence + 1,
    )
    lowest, whole_to = connection.execute(
        select(func.min(outbox.c.sequence), select(func.min(outbox.c.sequence)).where(*here, ~followed).scalar_subquery()).where(*here)
    ).one()
    return pruned_to if lowest is None or lowest > pruned_to + 1 else int(whole_to)


def _last_heads(connection: Connection, house: str) -> list[StreamHead]:
    """Every stream to a house, up to the last number given in it."""
    query = select(stream.c.type, stream.c.epoch, stream.c.last_sequence).where(stream.c.destination == house)
    return [_head(*row) for row in connection.execute(query)]


def _end(connection: Connection, life: Life, now: datetime) -> Life:
    """Let the life accept once no house is waited for."""
    waiting = connection.execute(select(recovery.c.destination).where(recovery.c.answered_at_utc.is_(None)).limit(1)).first()
    if not life.recovering or waiting is not None:
        return life
    connection.execute(update(outbox_life).where(outbox_life.c.epoch == life.epoch).values(recovered_at_utc=now))
    counts = connection.execute(select(func.sum(recovery.c.learned), func.sum(recovery.c.settled), func.sum(recovery.c.reissued))).one()
    detail = dict(zip(("learned", "settled", "reissued"), (int(count or 0) for count in counts), strict=True))
    audit.append(connection, trail, audit.Act(audit.actor(), "outbox.recovered", life.source, "", {"epoch": life.epoch, **detail}), now)
    log.info("outbox.recovered", source=life.source, epoch=life.epoch, **detail)
    return replace(life, recovering=False)


def _settling(connection: Connection, told: Told, now: datetime) -> set[str]:
    """Which of our events the answer may settle; it is kept for them as a receipt is."""
    ids = [one.id for one in told.answer.entries]
    unsettled = outbox.c.settled_at_utc.is_(None)
    found = set(connection.execute(select(outbox.c.event_id).where(outbox.c.event_id.in_(ids), unsettled)).scalars())
    if found:
        keep_receipts(connection, [told.receipt], now)
    return found


def _entries(told: Told, settling: set[str]) -> Iterable[dict[str, Any]]:
    for one in told.answer.entries:
        digest = unb64url(one.digest)
        if digest is not None:
            proof = told.receipt.digest if one.id in settling else None
            yield {"destination": told.destination, **_entry(one), "digest": digest, "receipt_digest": proof}


def _entry(one: Recovered) -> dict[str, Any]:
    problems = [problem.model_dump(mode="json", exclude_none=True) for problem in one.problems]
    return {
        "epoch": one.epoch,
        "sequence": one.sequence,
        "type": one.type.value,
        "event_id": one.id,
        "reference": one.reference,
        "version": one.version or 0,  # a version that nobody can put in
        "content": unb64url(one.content) if one.content else None,
        "fate": one.fate.value,
        "problems": problems or None,
        "sealed": one.sealed,
    }


def _raise_heads(connection: Connection, house: str, told: Iterable[StreamHead]) -> None:
    before = {(head.type.value, head.epoch): head.last for head in heads(connection, house)}
    for head in told:
        name = {"destination": house, "type": head.type.value, "epoch": head.epoch}
        last = before.get((name["type"], head.epoch))
        if last is None:
            connection.execute(insert(recovery_head), name | {"last": head.last})
        elif head.last > last:
            here = [recovery_head.c[column] == value for column, value in name.items()]
            connection.execute(update(recovery_head).where(*here).values(last=head.last))


def _know_lives(connection: Connection, life: Life, answer: RecoveryAnswer, now: datetime) -> None:
    """Lives that only the house remembers are ours too: from now on their epochs are no surprise."""
    known = set(connection.execute(select(outbox_life.c.epoch)).scalars())
    for epoch in dict.fromkeys(head.epoch for head in answer.told):
        if epoch not in known:
            row = {"epoch": epoch, "source": life.source, "environment": life.environment, "begun_at_utc": now, "current": False}
            connection.execute(insert(outbox_life), row | {"suspected_at_utc": now, "suspected_because": "learned from a house"})


def _head(event_type: str, epoch: str, last: int) -> StreamHead:
    return StreamHead.model_validate({"type": event_type, "epoch": epoch, "last": last})


def _insert_missing(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> int:
    """Insert those rows whose key is not there yet; how many they were."""
    listed = list(rows)
    if not listed:
        return 0
    before = _count(connection, table)
    connection.execute(insert_missing(table, connection.dialect.name), listed)
    return _count(connection, table) - before


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()
