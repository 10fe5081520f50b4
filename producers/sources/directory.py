"""The watched directory: finds files by polling (a network share tells nobody of new files), hands them to intake, moves them.

A file is moved only after the transaction that accepted it; a crash in between makes it a duplicate. How one file is read stands in
`files`, where it goes in `shelves`.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog

from producers.formats.reading import LocatedProblem, ReadDeclaration, Unread, located_in
from producers.formats.registry import Reader
from producers.intake import BATCH, Accepted, Intake, Outcome
from producers.reasons import Reason
from producers.sources.files import FileInHand, FoundFile, Mark, found_files
from producers.sources.shelves import Shelves
from schemas.errors import PanjError, shown

POLL_SECONDS = 0.2
SETTLED_SECONDS = 5.0  # a file unchanged for so long is not being written any more
AGAIN_SECONDS = 60.0  # when to try again what could not be opened or moved
FILES_A_TURN = 5_000  # files sorted at once, so that a directory of a million costs no memory
PROBLEMS_TOLD = 100  # problems of one file that its reason lists
LINE_FORMATS = (".jsonl", ".ndjson")  # may grow by whole objects, whatever the first of them looks like

log = structlog.get_logger()


@dataclass(slots=True)
class _Tally:
    """What has come of a file so far."""

    file: FileInHand
    declarations: int = 0
    accepted: int = 0
    duplicates: int = 0
    copies: int = 2
    problem_count: int = 0
    problems: list[LocatedProblem] = field(default_factory=list)

    def add(self, outcome: Outcome | Unread, read: ReadDeclaration | None = None) -> None:
        self.declarations += 1
        if isinstance(outcome, Accepted):
            self.accepted += 1
            self.duplicates += outcome.duplicate
            self.copies = min(self.copies, outcome.copies)
            return
        self.problem_count += len(outcome.problems)
        room = PROBLEMS_TOLD - len(self.problems)
        located = outcome.problems if isinstance(outcome, Unread) else located_in(read, outcome.problems)
        self.problems += located[:room]


@dataclass(slots=True)
class Turn:
    """What one look at the directory did, in files; `accepted` and `duplicates` in declarations."""

    taken: int = 0
    rejected: int = 0
    left: int = 0
    accepted: int = 0
    duplicates: int = 0

    def __bool__(self) -> bool:
        return bool(self.taken or self.rejected)


@dataclass(frozen=True, slots=True)
class _Watched:
    """A file that was left alone: in which state, since when, and until when it need not be looked at again (seconds, monotonic)."""

    mark: Mark
    since: float
    until: float


class WatchedDirectory:
    """The files of one post's directory. Used by one thread; `clock` counts seconds and never goes back."""

    def __init__(self, path: Path, intake: Intake, reader: Reader, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._intake = intake
        self._reader = reader
        self._clock = clock
        self._shelves = Shelves(path)
        self._watched: dict[str, _Watched] = {}

    def turn(self, stop: threading.Event | None = None, on_accepted: Callable[[], None] | None = None) -> Turn:
        """Look at the directory once and deal with what is there, in batches; ends early, between batches, when `stop` is set.

        `on_accepted` is called after each batch that brought something new. Raises UnavailableError where the outbox is away and
        OSError where the directory is: everything stays where it was.
        """
        turn = Turn()
        batch = _Batch(self._intake, on_accepted)
        for found in self._due():
            if stop is not None and stop.is_set():
                break
            self._take_in(found, batch, turn, stop)
        self._finish(batch, turn)
        return turn

    def _due(self) -> list[FoundFile]:
        """The oldest files that are due to be looked at."""
        now = self._clock()
        known = self._watched
        still_there: dict[str, _Watched] = {}

        def is_due(found: FoundFile) -> bool:
            before = known.get(found.path.name)
            if before is None or before.mark != found.mark:
                return True
            still_there[found.path.name] = before
            return now >= before.until

        due = heapq.nsmallest(FILES_A_TURN, filter(is_due, found_files(self._path)), key=lambda found: found.order)
        self._watched = still_there
        return due

    def _take_in(self, found: FoundFile, batch: _Batch, turn: Turn, stop: threading.Event | None) -> None:
        if found.path.name.lower().endswith(LINE_FORMATS) and not self._settled(found):
            turn.left += 1
            return
        tally = _Tally(FileInHand(found, self._reader))
        try:
            for part in tally.file.parts():
                if not tally.file.tells_its_end and isinstance(part, ReadDeclaration) and not self._settled(found):
                    turn.left += 1
                    return
                if batch.full:
                    self._finish(batch, turn)
                    if stop is not None and stop.is_set():
                        return  # what was accepted of it is a duplicate when the file is read again
                batch.add(tally, part)
        except OSError as error:
            self._leave_for(found, AGAIN_SECONDS)
            turn.left += 1
            log.warning("file.left", file=shown(found.path.name), reason=error.strerror or str(error))
            return
        batch.ended.append(tally)

    def _settled(self, found: FoundFile) -> bool:
        """Whether the file has stood in this state long enough; begins to watch it where not. By our clock: a share's may differ."""
        now = self._clock()
        before = self._watched.get(found.path.name)
        if before is None or before.mark != found.mark:
            self._watched[found.path.name] = _Watched(found.mark, now, now + SETTLED_SECONDS)
            return False
        return now - before.since >= SETTLED_SECONDS

    def _leave_for(self, found: FoundFile, seconds: float) -> None:
        now = self._clock()
        self._watched[found.path.name] = _Watched(found.mark, now, now + seconds)

    def _finish(self, batch: _Batch, turn: Turn) -> None:
        """Accept the batch, then move the files that have ended with it."""
        batch.accept()
        copies = min((tally.copies for tally in batch.ended), default=1)
        taken_before, accepted_before, duplicates_before = turn.taken, turn.accepted, turn.duplicates
        for tally in batch.ended:
            try:
                self._shelve(tally, turn)
            except FileNotFoundError:
                log.info("file.vanished", file=shown(tally.file.name))
            except OSError as error:
                self._leave_for(tally.file.found, AGAIN_SECONDS)
                turn.left += 1
                log.warning("file.left", file=shown(tally.file.name), reason=error.strerror or str(error))
        batch.ended.clear()
        if turn.taken > taken_before:
            log.info(
                "files.taken",
                files=turn.taken - taken_before,
                declarations=turn.accepted - accepted_before,
                duplicates=turn.duplicates - duplicates_before,
                copies=copies,
            )

    def _shelve(self, tally: _Tally, turn: Turn) -> None:
        file = tally.file
        if file.still_written or (file.unread and not self._settled(file.found)):
            turn.left += 1
            return
        turn.accepted += tally.accepted
        turn.duplicates += tally.duplicates
        self._watched.pop(file.name, None)
        if tally.problem_count:
            self._reject(tally)
            turn.rejected += 1
            return
        place = self._shelves.take(file.found.path)
        if not file.mark.same_content(Mark.of(place.lstat())):
            self._shelves.give_back(place, file.found.path)
            turn.left += 1
            log.warning("file.grew", file=shown(file.name))
            return
        turn.taken += 1

    def _reject(self, tally: _Tally) -> None:
        name = tally.file.name
        reason = Reason(name, datetime.now(UTC), self._intake.party.urn, tally.problems, tally.problem_count, tally.accepted)
        self._shelves.reject(tally.file.found.path, reason.to_bytes())
        codes = sorted({problem.problem.code for problem in tally.problems})
        log.warning("file.rejected", file=shown(name), codes=codes, problems=tally.problem_count, accepted=tally.accepted)


class _Batch:
    """Declarations on their way into one transaction, and the files that ended among them."""

    def __init__(self, intake: Intake, on_accepted: Callable[[], None] | None) -> None:
        self._intake = intake
        self._on_accepted = on_accepted
        self._waiting: list[tuple[_Tally, ReadDeclaration]] = []
        self.ended: list[_Tally] = []

    @property
    def full(self) -> bool:
        return len(self._waiting) >= BATCH

    def add(self, tally: _Tally, part: ReadDeclaration | Unread) -> None:
        if isinstance(part, Unread):
            tally.add(part)
        else:
            self._waiting.append((tally, part))

    def accept(self) -> None:
        outcomes = self._intake.accept([read for _, read in self._waiting])
        for (tally, read), outcome in zip(self._waiting, outcomes, strict=True):
            tally.add(outcome, read)
        self._waiting.clear()
        if self._on_accepted is not None and any(isinstance(outcome, Accepted) and not outcome.duplicate for outcome in outcomes):
            self._on_accepted()


def watch(directory: WatchedDirectory, stop: threading.Event, on_accepted: Callable[[], None], pause_seconds: float = POLL_SECONDS) -> None:
    """Look at the directory until `stop` is set. Where the outbox or the directory is away, wait for it with growing pauses."""
    troubled_seconds, told = 0.0, ""
    while not stop.is_set():
        try:
            found = directory.turn(stop, on_accepted)
        except (PanjError, OSError) as error:
            troubled_seconds = min(30.0, max(1.0, troubled_seconds * 2))
            code = error.code if isinstance(error, PanjError) else "directory-away"
            if code != told:  # once, however long it takes
                log.warning("intake.paused", code=code, reason=str(error))
            told = code
            stop.wait(troubled_seconds)
            continue
        if troubled_seconds:
            log.info("intake.resumed", code=told)
            troubled_seconds, told = 0.0, ""
        if not found:
            stop.wait(pause_seconds)
