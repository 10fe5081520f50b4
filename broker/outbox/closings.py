"""Questions to the outbox about closings, and the wish for one: accounts, how far streams are answered, blocks, the chain as it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, func, select

from broker import audit
from broker.outbox.closing_tables import account, closing, closing_difference, closing_stream
from broker.outbox.closing_values import Account, Difference, Different, Known, Outstanding, StreamName, StreamRun, Wish
from broker.outbox.engine import reading
from broker.outbox.tables import audit as audit_table
from broker.outbox.tables import outbox, outbox_life, stream
from schemas.closing import Line

_UNSETTLED = outbox.c.settled_at_utc.is_(None)
_WAITING = and_(outbox.c.relayed_at_utc.is_(None), _UNSETTLED)
_RELAYED = and_(outbox.c.relayed_at_utc.is_not(None), _UNSETTLED)

TOP = 5_000  # of a stream's newest events: as many as the credit window holds by default


class ClosingLedger:
    """What an outbox knows of its closings. Each method is one transaction that only reads; changes are recorded by the relay's turns."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def accounts(self) -> dict[str, Account]:
        """Every account, by destination (URN)."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(account).order_by(account.c.destination)).all()
        return {row.destination: _account(row) for row in rows}

    def account(self, destination: str) -> Account:
        """How this post stands with one house."""
        with reading(self._engine) as connection:
            return account_of(connection, destination)

    def houses(self) -> list[str]:
        """Every destination (URN) that anything was accepted for: with each of them there is an account."""
        with reading(self._engine) as connection:
            return list(connection.execute(select(stream.c.destination).distinct().order_by(stream.c.destination)).scalars())

    def now(self) -> datetime:
        """The clock by which wishes and closings are dated."""
        return self._clock()

    def first_begun_utc(self) -> datetime:
        """When the outbox's first life began: until a period later no closing is due."""
        with reading(self._engine) as connection:
            begun: datetime = connection.execute(select(func.min(outbox_life.c.begun_at_utc))).scalar_one()
        return begun

    def known(self, destination: str, horizon_seconds: int | None) -> Known:
        """What a reconciliation's beginning is decided by. What was agreed less long ago than the house's horizon may be lost again."""
        before = None if horizon_seconds is None else self._clock() - timedelta(seconds=horizon_seconds)
        with reading(self._engine) as connection:
            return Known(
                answered(connection, destination),
                agreed_to(connection, destination, before) if before else {},
                pruned_to(connection, destination),
            )

    def answered(self, destination: str) -> Mapping[StreamName, int]:
        """Up to where the house has answered each stream without a hole."""
        with reading(self._engine) as connection:
            return answered(connection, destination)

    def highest_answered(self, destination: str, epoch: str) -> int:
        """The highest sequence of this epoch that the house has answered, of whatever type; 0 for none.

        Never too high. Too low where fresh events were answered past a backlog and more than `TOP` have been accepted since: a backlog of
        a million is not read over for it.
        """
        types = select(stream.c.type).where(stream.c.destination == destination, stream.c.epoch == epoch)
        with reading(self._engine) as connection:
            names = [StreamName(event_type, epoch) for event_type in connection.execute(types).scalars().all()]
            return max((_highest_answered(connection, destination, name) for name in names), default=0)

    def audit_head(self) -> str | None:
        """The head of the audit trail of what people do here."""
        with reading(self._engine) as connection:
            return audit.head(connection, audit_table)

    def block(self, destination: str, name: StreamName, first: int, last: int) -> list[Line]:
        """The lines of a stream's events from `first` to `last`."""
        with reading(self._engine) as connection:
            return stream_lines(connection, destination, name, first, last)

    def outstanding(self, destination: str, number: int) -> Outstanding | None:
        """The manifest with this number that was sent last and is not agreed to."""
        columns = ("number", "manifest_digest", "sent_mark", "sends", "sent_at_utc", "answered_at_utc", "compared", "manifest")
        query = select(*(closing.c[name] for name in columns)).where(closing.c.destination == destination, closing.c.number == number)
        with reading(self._engine) as connection:
            row = connection.execute(query.where(closing.c.agreed.is_(False))).first()
        return None if row is None else Outstanding(*row)

    def differences(self) -> list[Difference]:
        """The differences that stand, by destination, stream and sequence."""
        query = select(closing_difference).where(closing_difference.c.ended_at_utc.is_(None))
        key = (closing_difference.c.destination, closing_difference.c.type, closing_difference.c.epoch, closing_difference.c.sequence)
        with reading(self._engine) as connection:
            return [_difference(row) for row in connection.execute(query.order_by(*key))]

    def chain(self, destination: str | None = None) -> Sequence[Any]:
        """The closings as they are kept, both sides' bytes and signatures, by destination and number; rows read by column name."""
        query = select(closing).order_by(closing.c.destination, closing.c.number)
        with reading(self._engine) as connection:
            return connection.execute(query if destination is None else query.where(closing.c.destination == destination)).all()

    def covering(self, destination: str, name: StreamName, sequence: int) -> Any | None:
        """The first agreed closing whose blocks held this event: its row, read by column name; None where there is none yet."""
        here = (closing_stream.c.destination == destination, closing_stream.c.type == name.type, closing_stream.c.epoch == name.epoch)
        inside = (closing_stream.c.first <= sequence, closing_stream.c.last >= sequence)
        joined = (closing.c.destination == closing_stream.c.destination) & (closing.c.number == closing_stream.c.number)
        query = select(closing).join(closing_stream, joined).where(*here, *inside).order_by(closing.c.number).limit(1)
        with reading(self._engine) as connection:
            return connection.execute(query).first()


def _highest_answered(connection: Connection, destination: str, name: StreamName) -> int:
    here = (outbox.c.destination == destination, outbox.c.type == name.type, outbox.c.epoch == name.epoch)
    done = outbox.c.settled_at_utc.is_not(None) | outbox.c.answered_fate.is_not(None)
    top = select(outbox.c.sequence, done.label("done")).where(*here).order_by(outbox.c.sequence.desc()).limit(TOP).subquery()
    found: int | None = connection.execute(select(func.max(top.c.sequence)).where(top.c.done)).scalar()
    if found is not None:
        return found
    first = connection.execute(first_waiting(destination, name)).scalar()
    below = () if first is None else (outbox.c.sequence < first,)  # there only what is on its way is not answered: the credit window
    query = select(outbox.c.sequence).where(*here, *below, done).order_by(outbox.c.sequence.desc()).limit(1)
    return connection.execute(query).scalar() or 0


def account_of(connection: Connection, destination: str) -> Account:
    """One account, an empty one where nothing was written yet."""
    row = connection.execute(select(account).where(account.c.destination == destination)).first()
    return Account(destination) if row is None else _account(row)


def answered(connection: Connection, destination: str) -> dict[StreamName, int]:
    """Up to where the house has answered each stream (LOADED, REFUSED or HELD) without a hole.

    Asked through the partial indexes of what is unfinished: settled rows cost nothing, and a backlog costs its first row of each stream.
    """
    last = select(stream.c.type, stream.c.epoch, stream.c.last_sequence).where(stream.c.destination == destination)
    found = {StreamName(row.type, row.epoch): row.last_sequence for row in connection.execute(last.order_by(stream.c.type, stream.c.epoch))}
    for event_type, epoch, sequence in connection.execute(unanswered_flying(destination)):
        name = StreamName(event_type, epoch)
        found[name] = min(found.get(name, 0), sequence - 1)
    for name, last_answered in found.items():
        first = connection.execute(first_waiting(destination, name)).scalar()
        if first is not None:
            found[name] = min(last_answered, first - 1)
    return found


def unanswered_flying(destination: str) -> Select[Any]:
    """The places that are on their way and not answered, at most the credit window. Ordered so that the partial index is taken."""
    here = (outbox.c.destination == destination, _RELAYED, outbox.c.answered_fate.is_(None))
    return select(outbox.c.type, outbox.c.epoch, outbox.c.sequence).where(*here).order_by(outbox.c.relayed_at_utc)


def first_waiting(destination: str, name: StreamName) -> Select[Any]:
    """The lowest sequence of a stream that waits: positions rise with sequences, and order by them takes the partial index."""
    here = (outbox.c.destination == destination, outbox.c.type == name.type, _WAITING, outbox.c.epoch == name.epoch)
    return select(outbox.c.sequence).where(*here).order_by(outbox.c.position).limit(1)


def agreed_to(connection: Connection, destination: str, before_utc: datetime | None = None) -> dict[StreamName, int]:
    """Up to where each stream is agreed, and still holds; with `before_utc`, was by then."""
    query = select(closing_stream.c.type, closing_stream.c.epoch, func.max(closing_stream.c.holds_to))
    query = query.where(closing_stream.c.destination == destination).group_by(closing_stream.c.type, closing_stream.c.epoch)
    if before_utc is not None:
        query = query.where(closing_stream.c.agreed_at_utc <= before_utc)
    return {StreamName(event_type, epoch): last for event_type, epoch, last in connection.execute(query)}


def pruned_to(connection: Connection, destination: str) -> dict[StreamName, int]:
    """Up to where the events of each stream are in the archive only."""
    query = select(stream.c.type, stream.c.epoch, stream.c.pruned_to).where(stream.c.destination == destination, stream.c.pruned_to > 0)
    return {StreamName(event_type, epoch): last for event_type, epoch, last in connection.execute(query)}


def stream_lines(connection: Connection, destination: str, name: StreamName, first: int, last: int) -> list[Line]:
    """The lines of a stream's events from `first` to `last`, in their order."""
    here = (outbox.c.destination == destination, outbox.c.type == name.type, outbox.c.epoch == name.epoch)
    query = select(outbox.c.sequence, outbox.c.event_id, outbox.c.digest).where(*here, outbox.c.sequence.between(first, last))
    return [Line(sequence, event_id, bytes(digest)) for sequence, event_id, digest in connection.execute(query.order_by(outbox.c.sequence))]


def _account(row: Any) -> Account:
    wished = row.asked_at_utc is not None
    return Account(
        destination=row.destination,
        number=row.number,
        answer_digest=row.answer_digest,
        agreed_at_utc=row.agreed_at_utc,
        horizon_seconds=row.horizon_seconds,
        house_number=row.house_number,
        wish=Wish(row.destination, row.asked_reason, row.asked_at_utc, bool(row.asked_everything)) if wished else None,
        begun_at_utc=row.begun_at_utc,
        reason=row.reason or "",
        everything=bool(row.everything),
        finished_at_utc=row.finished_at_utc,
        streams=tuple(StreamRun.model_validate(each) for each in row.streams or ()),
    )


def _difference(row: Any) -> Difference:
    return Difference(
        destination=row.destination,
        stream=StreamName(row.type, row.epoch),
        sequence=row.sequence,
        what=Different(row.what),
        event_id=row.event_id,
        digest=row.digest,
        house_event_id=row.house_event_id,
        house_digest=row.house_digest,
        number=row.number,
        found_at_utc=row.found_at_utc,
        ended_at_utc=row.ended_at_utc,
    )
