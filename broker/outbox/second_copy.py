"""A second copy of what is accepted and not settled, on another disk or a stick: each acceptance is in it, synced, before it is returned.

It never stops acceptance. Where it is missing, full, slow or read-only, an acceptance has one copy and says so; when it is back, what is
missing in it is caught up. One thread writes it; files and lines stand in `copy_files` and `copy_lines`, its questions in `copying`.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillWaiting
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection

from broker.outbox import copying
from broker.outbox.copy_files import SEGMENT_BYTES, Segment, prepare, remove, sizes_of
from broker.outbox.copy_lines import CopiedEvent, decode_all, encode
from broker.outbox.copying import CopyStanding
from broker.outbox.values import Acceptance
from schemas.errors import PanjError

log = structlog.get_logger()

PATIENCE_SECONDS = 2.0  # how long an acceptance waits for its second copy
AGAIN_SECONDS = 5.0  # between two tries of a copy that is in trouble
CLEAN_SECONDS = 30.0  # between two looks which segments are settled
CATCH_UP_EVENTS = 200  # caught up at once: acceptances wait no longer than for these

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class CopyPlace:
    """Where a second copy lies, and the directory on whose disk it must not lie."""

    directory: Path
    apart_from: Path | None = None
    patience_seconds: float = PATIENCE_SECONDS


@dataclass(slots=True)
class _Writing:
    events: Sequence[CopiedEvent]
    done: Future[bool] = field(default_factory=Future)


class SecondCopy:
    """One process's hand on the second copy of an outbox. `append` may be called from any thread."""

    def __init__(
        self,
        place: CopyPlace,
        reading: Callable[[], AbstractContextManager[Connection]],
        writing: Callable[[], AbstractContextManager[Connection]],
        clock: Callable[[], datetime],
        *,
        keeps: bool,
    ) -> None:
        """`keeps`: this process catches up and removes what is settled, as a daemon does; another one only appends."""
        self._place = place
        self._reading = reading
        self._writing = writing
        self._clock = clock
        self._keeps = keeps
        self._queue: queue.SimpleQueue[_Writing | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._trouble: str | None = None
        self._since = clock()
        self._whole = False
        self._segment: Segment | None = None
        self._held: dict[Path, tuple[int, set[str]]] = {}  # each segment: its size when it was read or written, and the ids in it
        self._missing: list[str] = []
        self._look = True
        self._cleaned_at = 0.0
        self._thread = threading.Thread(target=self._run, name="second copy", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """Why nothing is copied at the moment; None while all is well."""
        return self._trouble

    @property
    def whole(self) -> bool:
        """Whether all that is unsettled is known to be in it."""
        return self._whole and self._trouble is None

    def take(
        self, accepted: list[Acceptance], rows: Sequence[Mapping[str, Any]], elsewhere: Callable[[], CopyStanding | None]
    ) -> list[Acceptance]:
        """Copy what was accepted newly (`rows`), and say of each acceptance in how many copies it is.

        `elsewhere`: how the copy stands by the process that keeps it.
        """
        new = not rows or self.append([copying.copied(row) for row in rows])
        old = len(rows) < len(accepted) and (self.whole or _is_whole(elsewhere()))
        return [replace(each, copies=2) if (old if each.duplicate else new) else each for each in accepted]

    def append(self, events: Sequence[CopiedEvent]) -> bool:
        """Copy these events; whether they are on the second disk. Waits for that a bounded time, and not at all while there is trouble."""
        with self._lock:
            if self._trouble is not None:
                return False
            writing = _Writing(events)
            self._queue.put(writing)
        try:
            return writing.done.result(self._place.patience_seconds)
        except StillWaiting:
            self._tell_trouble(f"it took longer than {self._place.patience_seconds:g} s to write")
            return False

    def look_again(self) -> None:
        """Events were made otherwise than by acceptance: see that they are in it."""
        self._look = True
        self._whole = False

    def close(self) -> None:
        """Finish what is waiting, within the patience of one acceptance."""
        self._queue.put(None)
        self._thread.join(self._place.patience_seconds)

    def _run(self) -> None:
        wait = 0.0
        while True:
            try:
                writing = self._queue.get(timeout=wait)
            except queue.Empty:
                writing = _Writing(())
            if writing is None:
                break
            wait = self._work(writing)
        if self._segment is not None:
            self._segment.close()

    def _work(self, writing: _Writing) -> float:
        """Do what is due; give how long to wait then for something to write."""
        writing.done.set_result(bool(writing.events) and self._tried(lambda: self._write(writing.events)))
        if not self._keeps:
            return CLEAN_SECONDS
        pause = CLEAN_SECONDS

        def keep() -> None:
            nonlocal pause
            pause = self._keep()

        return pause if self._tried(keep) else AGAIN_SECONDS

    def _tried(self, action: Callable[[], None]) -> bool:
        """Do something with the copy; False, and told, where it is in trouble. The outbox's own trouble is none of the copy's."""
        try:
            action()
        except (OSError, PanjError) as error:
            self._drop_segment()
            self._look = True
            if isinstance(error, OSError) or error.code == "copy-same-disk":
                self._tell_trouble(str(error))
            return False
        return True

    def _write(self, events: Sequence[CopiedEvent]) -> None:
        if self._segment is None:
            prepare(self._place.directory, self._place.apart_from)
            self._segment = Segment(self._place.directory)
        self._segment.append([encode(event) for event in events])
        _, ids = self._held.get(self._segment.path, (0, set()))
        self._held[self._segment.path] = (self._segment.size, ids | {event.event_id for event in events})
        if self._segment.size >= SEGMENT_BYTES:
            self._drop_segment()

    def _drop_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()

    def _keep(self) -> float:
        """A daemon's housekeeping, a little at a time."""
        if self._look:
            self._look = False
            self._find_missing()
        if self._missing:
            part, self._missing = self._missing[:CATCH_UP_EVENTS], self._missing[CATCH_UP_EVENTS:]
            events = self._ask(lambda connection: copying.events_of(connection, part))
            self._write(events)
            return 0.0
        self._all_is_in_it()
        if self._look:
            return 0.0
        if time.monotonic() - self._cleaned_at >= CLEAN_SECONDS:
            self._cleaned_at = time.monotonic()
            self._remove_settled()
            self._note()
        return CLEAN_SECONDS

    def _find_missing(self) -> None:
        prepare(self._place.directory, self._place.apart_from)
        self._remove_settled()  # it may be full of what is settled by now
        there = set().union(*(ids for _, ids in self._held.values()))
        self._missing = [event_id for event_id in self._ask(copying.unsettled_ids) if event_id not in there]

    def _read_others(self) -> None:
        """Learn what other processes, and this one before it began anew, have put in."""
        sizes = sizes_of(self._place.directory)
        self._held = {path: held for path, held in self._held.items() if sizes.get(path) == held[0]}
        for path in sizes.keys() - self._held.keys():
            events, damaged = decode_all(path.read_bytes())
            self._held[path] = (sizes[path], {event.event_id for event in events})
            if damaged:
                log.warning("copy.damaged", file=str(path), lines=damaged)

    def _all_is_in_it(self) -> None:
        if self._whole and self._trouble is None:
            return
        with self._lock:
            back = self._trouble is not None
            self._trouble, self._since = None, self._clock()
            # What was accepted while the last ones were caught up is looked for once more, now that acceptances are copied again.
            self._look, self._whole = back, not back
        if back:
            log.info("copy.came_back", directory=str(self._place.directory))
        self._note()

    def _remove_settled(self) -> None:
        self._read_others()
        for path, (_, ids) in list(self._held.items()):
            if self._needed(path, ids):
                continue
            if self._segment is not None and path == self._segment.path:
                self._drop_segment()
            if remove(path):
                self._held.pop(path)

    def _needed(self, path: Path, ids: Iterable[str]) -> bool:
        """Whether a segment holds anything that is not settled, or that this outbox knows nothing of: it may be what it forgot."""
        needed, unknown = self._ask(lambda connection: copying.still_needed(connection, set(ids)))
        if needed or not unknown:
            return bool(needed)
        events, _ = decode_all(path.read_bytes())
        places = [_place(event) for event in events if event.event_id in unknown]
        return not self._ask(lambda connection: all(copying.was_pruned(connection, place) for place in places))

    def _ask(self, question: Callable[[Connection], _Value]) -> _Value:
        with self._reading() as connection:
            return question(connection)

    def _tell_trouble(self, because: str) -> None:
        with self._lock:
            before, self._trouble = self._trouble, because
            self._whole = False
            self._look = True
            if before is None:
                self._since = self._clock()
        if before is None:
            log.warning(
                "copy.lost", directory=str(self._place.directory), because=because, advice="acceptances have one copy until it is back"
            )
            self._note()

    def _note(self) -> None:
        """Keep for `panj status` how it stands; an outbox that is away tells of itself."""
        if not self._keeps:
            return
        standing = CopyStanding(str(self._place.directory), self._trouble, self.whole, self._since, self._clock())
        try:
            with self._writing() as connection:
                copying.note_standing(connection, standing)
        except PanjError as error:
            log.info("copy.unnoted", code=error.code)


def _place(event: CopiedEvent) -> copying.Place:
    said = json.loads(event.raw)
    return said["destination"], said["type"], said["epoch"], said["sequence"]


def _is_whole(standing: CopyStanding | None) -> bool:
    return standing is not None and standing.trouble is None and standing.whole
