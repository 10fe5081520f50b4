"""What is to be told back to the national system, found by comparing each event's stage with the last one that was told.

Nothing is written while events are accepted, relayed and settled: the outbox's own columns say all of it. `look` compares, and puts what is
new on the way, in one transaction; from there it is told in its order until it was taken. At least once: a crash between the taking and
`done` tells it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, bindparam, case, delete, exists, func, insert, literal, select, update

from broker.outbox.engine import reading, writing
from broker.outbox.stages import COLUMNS, LAST, REACHED, Stage, passed
from broker.outbox.tables import outbox, receipt
from broker.outbox.telling_tables import fate_progress, fate_telling, fate_watch
from broker.statements import in_parts

log = structlog.get_logger()

NEW_AT_ONCE = 500  # events begun to be watched in one transaction
LOOKED_AT_ONCE = 5_000  # watched events compared in one look
ON_THE_WAY = 20_000  # tellings on the way beyond which nothing more is put there: it can be found later as well
_NAME = "fates"
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Telling:
    """One stage of one event, on its way to the national system. Tellings of one reference follow each other by `number`."""

    number: int
    event_id: str
    reference: str
    version: int
    type: str
    destination: str
    stage: Stage
    problems: tuple[Mapping[str, Any], ...]
    at_utc: datetime
    tries: int

    @property
    def name(self) -> str:
        """The same however often it is told: an event comes to each stage once."""
        return f"{self.event_id}.{self.stage.value}"


@dataclass(frozen=True, slots=True)
class TellingState:
    """How far telling is: how many tellings are on the way, since when the oldest, events not looked at yet, and what stands in the way."""

    on_the_way: int
    oldest_utc: datetime | None
    not_looked_at: int
    trouble: str | None
    stopped_because: str | None


@dataclass(slots=True)
class _Found:
    """What one look found: rows for the three tables."""

    tellings: list[dict[str, Any]] = field(default_factory=list)
    begun: list[dict[str, Any]] = field(default_factory=list)
    reached: list[dict[str, Any]] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    position: int | None = None

    def __bool__(self) -> bool:
        return bool(self.tellings or self.begun or self.finished or self.position is not None)

    def add(self, row: Any, told: int, *, new: bool) -> None:
        """Tell what the event passed since, and watch on where it has not come to its end. `new`: it was not watched before."""
        steps = passed(row, told)
        common = {name: getattr(row, name) for name in ("event_id", "reference", "version", "type", "destination")}
        for stage, at in steps:
            problems = row.problems if stage is steps[-1][0] else None
            self.tellings.append({**common, "fate": stage.value, "problems": problems, "at_utc": at})
        reached = REACHED[steps[-1][0]]
        if reached == LAST:
            self.finished.append(row.position)
        elif new:
            self.begun.append({"position": row.position, "told": reached})
        else:
            self.reached.append({"at": row.position, "reached": reached})


class Tellings:
    """What one outbox has to tell. One process tells; each method is one transaction."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock
        self._after = 0  # the last watched position that was compared in this round

    def begin(self) -> None:
        """Watch from now on, and what is not settled by now; where that was begun before, go on, stopped or not."""
        with writing(self._engine) as connection:
            connection.execute(update(fate_progress).values(stopped_because=None, trouble=None))
        self.watch()

    def watch(self) -> None:
        """Watch from now on, and what is not settled by now, where that was never begun. Before anything more is accepted, or it might
        be settled unseen.
        """
        with writing(self._engine) as connection:
            if connection.execute(select(fate_progress.c.position)).first() is not None:
                return
            highest = connection.execute(select(func.max(outbox.c.position))).scalar() or 0
            unsettled = select(outbox.c.position, literal(0)).where(outbox.c.settled_at_utc.is_(None))
            connection.execute(insert(fate_watch).from_select(["position", "told"], unsettled))
            connection.execute(insert(fate_progress), {"name": _NAME, "position": highest})

    def look(self) -> int:
        """Look once at what is new and at some of what is watched; how many tellings were put on the way."""
        with reading(self._engine) as connection:
            if (connection.execute(select(func.count()).select_from(fate_telling)).scalar() or 0) >= ON_THE_WAY:
                self._after = 0
                return 0
            found = self._compare(connection)
        if not found:
            return 0
        with writing(self._engine) as connection:
            _keep(connection, found)
        return len(found.tellings)

    @property
    def after_round(self) -> bool:
        """Whether the last look came to the end of what is watched."""
        return self._after == 0

    def _compare(self, connection: Connection) -> _Found:
        found = _Found()
        for row in connection.execute(_new(connection)):
            found.add(row, 0, new=True)
            found.position = row.position
        last = connection.execute(_nth_watched(self._after)).scalar()
        for row in connection.execute(_changed(self._after, last)):
            if row.event_id is None:
                found.finished.append(row.watched)  # pruned, or sent again as another event
            else:
                found.add(row, row.told, new=False)
        self._after = last or 0
        found.tellings.sort(key=lambda telling: telling["at_utc"])  # stable: the stages of an event stay in their order
        return found

    def due(self, limit: int) -> list[Telling]:
        """The first telling of each of up to so many references, but of those that are to wait."""
        earlier = fate_telling.alias("earlier")
        first = ~exists().where(earlier.c.reference == fate_telling.c.reference, earlier.c.number < fate_telling.c.number)
        query = select(fate_telling).where(fate_telling.c.next_at_utc <= self._clock(), first).order_by(fate_telling.c.number).limit(limit)
        with reading(self._engine) as connection:
            return [_telling(row) for row in connection.execute(query)]

    def record(self, done: Sequence[int], later: Mapping[int, datetime], trouble: str | None = None) -> None:
        """Note by number which tellings were taken, and which are to be tried again when; and what stands in the way at all."""
        with writing(self._engine) as connection:
            for numbers in in_parts(done, _AT_ONCE):
                connection.execute(delete(fate_telling).where(fate_telling.c.number.in_(numbers)))
            if later:
                again = update(fate_telling).where(fate_telling.c.number == bindparam("at"))
                again = again.values(tries=fate_telling.c.tries + 1, next_at_utc=bindparam("then"))
                connection.execute(again, [{"at": number, "then": then} for number, then in later.items()])
            connection.execute(update(fate_progress).values(trouble=trouble))

    def stop(self, because: str) -> None:
        """Note that the national system wants to be told nothing more; until the next `begin`."""
        with writing(self._engine) as connection:
            connection.execute(update(fate_progress).values(stopped_because=because))

    def state(self) -> TellingState | None:
        """How far it is; None where nothing was ever told."""
        with reading(self._engine) as connection:
            progress = connection.execute(select(fate_progress)).first()
            if progress is None:
                return None
            count, oldest = connection.execute(select(func.count(), func.min(fate_telling.c.at_utc))).one()
            newer = connection.execute(select(func.count()).select_from(outbox).where(outbox.c.position > progress.position)).scalar_one()
        return TellingState(count, oldest, newer, progress.trouble, progress.stopped_because)


def _new(connection: Connection) -> Any:
    position = connection.execute(select(fate_progress.c.position)).scalar() or 0
    query = select(*COLUMNS, receipt.c.received_at_utc).outerjoin(receipt, receipt.c.digest == outbox.c.receipt_digest)
    return query.where(outbox.c.position > position).order_by(outbox.c.position).limit(NEW_AT_ONCE)


def _nth_watched(after: int) -> Any:
    """The position up to which one look compares; none where the rest is less."""
    here = select(fate_watch.c.position).where(fate_watch.c.position > after).order_by(fate_watch.c.position)
    return here.offset(LOOKED_AT_ONCE - 1).limit(1)


def _changed(after: int, last: int | None) -> Any:
    """Watched events that have passed a stage that was not told, and those that are gone."""
    reached = case(
        (outbox.c.position.is_(None), LAST + 1),
        (outbox.c.settled_at_utc.is_not(None), LAST),
        (outbox.c.answered_fate.is_not(None), REACHED[Stage.HELD]),
        (outbox.c.relayed_at_utc.is_not(None), REACHED[Stage.RELAYED]),
        else_=REACHED[Stage.ACCEPTED],
    )
    watched = fate_watch.outerjoin(outbox, outbox.c.position == fate_watch.c.position)
    watched = watched.outerjoin(receipt, receipt.c.digest == outbox.c.receipt_digest)
    query = select(fate_watch.c.position.label("watched"), fate_watch.c.told, *COLUMNS, receipt.c.received_at_utc).select_from(watched)
    query = query.where(fate_watch.c.position > after, reached > fate_watch.c.told).order_by(fate_watch.c.position)
    return query if last is None else query.where(fate_watch.c.position <= last)


def _keep(connection: Connection, found: _Found) -> None:
    if found.position is not None:
        connection.execute(update(fate_progress).values(position=found.position))
    if found.begun:
        connection.execute(insert(fate_watch), found.begun)
    if found.reached:
        connection.execute(
            update(fate_watch).where(fate_watch.c.position == bindparam("at")).values(told=bindparam("reached")), found.reached
        )
    for positions in in_parts(found.finished, _AT_ONCE):
        connection.execute(delete(fate_watch).where(fate_watch.c.position.in_(positions)))
    if found.tellings:
        connection.execute(insert(fate_telling), found.tellings)


def _telling(row: Any) -> Telling:
    return Telling(
        row.number,
        row.event_id,
        row.reference,
        row.version,
        row.type,
        row.destination,
        Stage(row.fate),
        tuple(row.problems or ()),
        row.at_utc,
        row.tries,
    )
