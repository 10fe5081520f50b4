"""Following a view: which rows are read next, so that none is missed and none taken twice, whatever the order in which transactions end.

A row can become visible after a later one was read: its transaction took its number, or its time, first and ended last. So with `order`

- `transaction`: rows are read up to the oldest transaction that is still open, and no further. Whatever has not ended is above that line,
  whatever is below it has ended: read once and in order, nothing can come after it.
- `commit`: `changed` is given when a transaction ends. What is seen at one moment is all that there is up to it.
- `time`: what changed within the last `overlap_seconds` is looked at again, and what was read of it is left out. It rests on no transaction
  lasting longer than that.

The place is saved after its rows were accepted. A crash in between reads them again, and intake knows them: no second event comes of it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from broker.outbox.cursors import Cursor, Cursors
from broker.settings.sources import ViewSource
from producers.formats.reading import LocatedProblem, ReadDeclaration, Unread, located_in
from producers.intake import BATCH, Accepted, Intake, Outcome
from producers.reasons import Reason
from producers.sources.shelves import Shelves
from producers.sources.view.contents import Content
from producers.sources.view.national import NationalView, Snapshot, ViewRow
from producers.sources.view.places import Place, instant, read_place, written
from schemas.errors import PanjError, SettingsError, UnavailableError

ROWS_AT_ONCE = 500
PLACES_AT_ONCE = 5_000
PROBLEMS_TOLD = 100
SAVED_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 60.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look found: rows to be accepted, the place to save then, and whether there may be more at once.

    `waiting`: there are rows that an open transaction keeps from being read. With order = time: the places that are `read` with it, and how
    far the look at the overlap has `reached`.
    """

    rows: Sequence[ViewRow]
    place: Place | None
    more: bool
    waiting: bool = False
    read: Sequence[Place] = ()
    reached: Place | None = None


@dataclass(slots=True)
class _Tally:
    """What has come of a row's document."""

    row: ViewRow
    problems: list[LocatedProblem]
    accepted: int = 0
    duplicates: int = 0


class FollowedView:
    """One view of one post, followed. Used by one thread; `on_accepted` is called where something new was accepted."""

    def __init__(
        self,
        source: ViewSource,
        view: NationalView,
        cursors: Cursors,
        intake: Intake,
        content: Content,
        shelves: Shelves,
        on_accepted: Callable[[], None],
    ) -> None:
        self.source = source
        self._view = view
        self._cursors = cursors
        self._intake = intake
        self._content = content
        self._shelves = shelves
        self._on_accepted = on_accepted
        self._seen: dict[Place, None] = {}  # order = time: the places within the overlap that were read
        self._round: Place | None = None  # order = time: how far this look at the overlap has come
        self._looked = False
        self._saved_at = -SAVED_SECONDS

    def turn(self) -> bool:
        """Read one batch and accept it; whether there may be more at once.

        UnavailableError `view-away`, `view-set-back`, and what the outbox raises: nothing was taken, and the place stays.
        """
        cursor = self._cursors.read(self.source.name)
        place = None if cursor.place is None else read_place(cursor.place)
        if place is None:  # at first, or because somebody wants all of it read again
            self._seen.clear()
            self._round = None
        with self._view.snapshot() as snapshot:
            self._refuse_unordered(snapshot)
            look = self._look_back(snapshot, place) if self.source.order == "time" else self._look_on(snapshot, place)
        rejected = self._accept(look.rows)
        if self.source.order == "time":
            self._remember(look, place)
        self._save(cursor, look, rejected)
        return look.more

    def _look_on(self, snapshot: Snapshot, place: Place | None) -> _Look:
        """What follows the place, up to the oldest transaction that is open."""
        before = snapshot.oldest_open() if self.source.order == "transaction" else None
        _refuse_set_back(place, before)
        rows = snapshot.rows(place, before, ROWS_AT_ONCE)
        more = len(rows) == ROWS_AT_ONCE
        waiting = before is not None and not more and snapshot.anything_from(before)
        return _Look(rows, rows[-1].place if rows else place, more, waiting)

    def _look_back(self, snapshot: Snapshot, place: Place | None) -> _Look:
        """What was not read yet of a part of what changed since the place, the overlap before it included."""
        since = None if place is None else instant(place[0]) - timedelta(seconds=self.source.overlap_seconds)
        places = snapshot.places(self._round, since, PLACES_AT_ONCE)
        new = [each for each in places if each not in self._seen][:ROWS_AT_ONCE]
        if not places:
            return _Look([], place, more=False)
        reached = new[-1] if len(new) == ROWS_AT_ONCE else places[-1]
        at = min(instant(reached[0]), snapshot.now(instant(reached[0])))  # whatever a row says of the future
        later = (at,) if place is None or at > instant(place[0]) else place
        more = len(new) == ROWS_AT_ONCE or len(places) == PLACES_AT_ONCE
        return _Look(snapshot.rows_at(new), later, more, read=new, reached=reached)

    def _remember(self, look: _Look, place: Place | None) -> None:
        """Know what was read within the overlap, and where to go on; once all of it was looked at, begin again at its beginning."""
        self._seen.update(dict.fromkeys(look.read))
        self._round = look.reached if look.more else None
        if not look.more and place is not None:
            since = instant(place[0]) - timedelta(seconds=self.source.overlap_seconds)
            self._seen = {each: None for each in self._seen if instant(each[0]) >= since}

    def _save(self, cursor: Cursor, look: _Look, rejected: int) -> None:
        """Save the place; now and then where nothing happened, so that whoever asks sees that somebody reads."""
        same = not look.rows and cursor.trouble is None and look.waiting == (cursor.waiting_since_utc is not None)
        if same and time.monotonic() - self._saved_at < SAVED_SECONDS:
            return
        self._saved_at = time.monotonic()
        place = None if look.place is None else written(look.place)
        self._cursors.save(self.source.name, place, len(look.rows), rejected, waiting=look.waiting)

    def _refuse_unordered(self, snapshot: Snapshot) -> None:
        if not self._looked and snapshot.anything_unordered():
            text = f"rows of {self.source.view} have no {self.source.changed}, and would never be read: let the view give each of them one"
            raise SettingsError("view-key", text, field=f"views.{self.source.name}.changed")
        self._looked = True

    def _accept(self, rows: Sequence[ViewRow]) -> int:
        """Accept what these rows hold, and set aside what is wrong with a reason; how many rows were."""
        tallies: list[_Tally] = []
        batch: list[tuple[_Tally, ReadDeclaration]] = []
        for row in rows:
            tally = _Tally(row, [])
            tallies.append(tally)
            for part in self._content.parts(row.values):
                if isinstance(part, Unread):
                    tally.problems += part.problems
                    continue
                batch.append((tally, part))
                if len(batch) == BATCH:
                    self._finish(batch)
                    batch = []
        self._finish(batch)
        rejected = [tally for tally in tallies if tally.problems]
        for tally in rejected:
            self._set_aside(tally)
        if rows:
            counts = {name: sum(getattr(tally, name) for tally in tallies) for name in ("accepted", "duplicates")}
            log.info("rows.read", view=self.source.name, rows=len(rows), rejected=len(rejected), **counts)
        return len(rejected)

    def _finish(self, batch: Sequence[tuple[_Tally, ReadDeclaration]]) -> None:
        outcomes: list[Outcome] = self._intake.accept([read for _, read in batch])
        for (tally, read), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Accepted):
                tally.accepted += 1
                tally.duplicates += outcome.duplicate
            else:
                tally.problems += located_in(read, outcome.problems)
        if any(isinstance(outcome, Accepted) and not outcome.duplicate for outcome in outcomes):
            self._on_accepted()

    def _set_aside(self, tally: _Tally) -> None:
        name = self._name_of(tally.row.place)
        told = tally.problems[:PROBLEMS_TOLD]
        reason = Reason(name, datetime.now(UTC), self._intake.party.urn, told, len(tally.problems), tally.accepted)
        self._shelves.set_aside(name, self._content.raw(tally.row.values), reason.to_bytes())
        log.warning("row.rejected", view=self.source.name, file=name, codes=sorted({problem.code for problem in told}))

    def _name_of(self, place: Place) -> str:
        """The name of a rejected row's file: the view's, the row's key as far as it fits a name, and a mark of the whole place."""
        key = "-".join("".join(each if each.isalnum() else "_" for each in str(value)) for value in place[1:])[:100]
        return f"{self.source.name}.{key}.{hashlib.sha256(repr(written(place)).encode()).hexdigest()[:12]}"


def _refuse_set_back(place: Place | None, before: int | None) -> None:
    if place is None or before is None or not isinstance(place[0], int) or place[0] < before:
        return
    text = (
        f"rows were read up to transaction {place[0]}, and the database has come to {before} only: it was set back or moved. Give "
        'every row a new `changed` there, then let all be read again with "panj post reread": what was sent makes no second event'
    )
    raise UnavailableError("view-set-back", text)


def follow(view: FollowedView, cursors: Cursors, stop: threading.Event) -> None:
    """Follow a view until `stop` is set. Where its database or the outbox is away, wait for it with growing pauses."""
    troubled_seconds, told = 0.0, ""
    while not stop.is_set():
        try:
            more = view.turn()
        except PanjError as error:
            troubled_seconds = min(LONGEST_PAUSE_SECONDS, max(1.0, troubled_seconds * 2))
            if error.code != told:  # once, however long it takes
                log.warning("view.paused", view=view.source.name, code=error.code, reason=str(error))
                with suppress(UnavailableError):
                    cursors.note(view.source.name, str(error))
            told = error.code
            stop.wait(troubled_seconds)
            continue
        if told:
            log.info("view.resumed", view=view.source.name, code=told)
            troubled_seconds, told = 0.0, ""
        if not more:
            stop.wait(view.source.poll_seconds)
