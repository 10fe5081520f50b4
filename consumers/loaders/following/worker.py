"""A follower at work, in turns: a batch of what waits in one transaction, and it lets be seen what it wrote once that is committed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Engine

from broker.settings.followers import AnyFollower, AsycudaFiles
from broker.settings.model import Settings
from broker.trust.sealing import NO_KEYS, DecryptionKeys
from consumers.clock import Clock, now_utc
from consumers.database import is_away
from consumers.loaders.asycuda_files.kind import AsycudaFolder
from consumers.loaders.following import ledger
from consumers.loaders.following.values import Done, Kind, Outcome, Surprise, Todo
from consumers.loaders.mapped_tables.kind import FilledTables
from consumers.patience import patiently
from consumers.reading import event_of
from schemas.errors import PanjError, Problem

log = structlog.get_logger()

BATCH = 50  # events of one transaction: on SQLite it keeps the house's loads waiting meanwhile
LOOK_SECONDS = 1.0  # between two looks where nothing waits: one small query each
MARK_SECONDS = 10.0  # between two looks at the marks where nothing waits
TROUBLE_SECONDS = (1.0, 30.0)  # between two attempts while it cannot go on at all: the first pause, and the longest
SHARE = 20  # a look that takes long is followed by a pause of so many times that


def open_kind(settings: AnyFollower, house_engine: Engine) -> Kind:
    """Open what a follower writes to; SettingsError or UnavailableError where it cannot."""
    return AsycudaFolder(settings) if isinstance(settings, AsycudaFiles) else FilledTables(settings, house_engine)


@dataclass
class FollowerWorker:
    """One follower of a house, in the thread that calls `run`."""

    settings: AnyFollower
    engine: Engine
    stop: threading.Event
    keys: DecryptionKeys = NO_KEYS
    clock: Clock = now_utc
    _kind: Kind | None = None
    _troubled: bool = True  # until the first turn that goes well: an earlier run's may stand

    @property
    def name(self) -> str:
        """The worker's name, for logs and threads."""
        return f"follower {self.settings.name}"

    def run(self) -> None:
        """Follow until `stop` is set. What keeps it from going on is written down, told by `panj status`, and tried again."""
        pause, marked = TROUBLE_SECONDS[0], 0.0
        self._patiently(lambda connection: ledger.begin(connection, self.settings.name, self.clock()))
        try:
            while not self.stop.is_set():
                begun = time.monotonic()
                try:
                    done = self.turn()
                    if not done and begun - marked > MARK_SECONDS:
                        self._patiently(self._raise_marks)
                        marked = begun
                except PanjError as error:
                    if self.stop.is_set():
                        return
                    self._tell_trouble(error)
                    self.stop.wait(pause)
                    pause = min(pause * 2, TROUBLE_SECONDS[1])
                    continue
                pause = TROUBLE_SECONDS[0]
                if not done:
                    self.stop.wait(max(LOOK_SECONDS, SHARE * (time.monotonic() - begun)))
        finally:
            self.close()

    def turn(self) -> list[Done]:
        """Carry on one batch of what waits; gives what became of it, empty where nothing waits. PanjError where it cannot go on at all."""
        kind = self._opened()
        if not self._patiently(self._something_to_do, reads=True):
            return []
        try:
            done = self._carried(kind)
            kind.publish(done)
            self._troubled = False
        except Exception:
            self.close()  # what is half done is recovered when it is opened again
            raise
        for one in done:
            if one.problem is not None:
                log.warning("event.not_followed", follower=self.settings.name, event_id=one.event_id, code=one.problem.code)
        if done:
            log.info("events.followed", follower=self.settings.name, events=len(done))
        return done

    def _carried(self, kind: Kind) -> list[Done]:
        """Carry a batch on; where it meets with a surprise, one event alone, which fails where it is the cause."""
        try:
            done: list[Done] = self._patiently(lambda connection: self._carry_on(connection, kind, BATCH))
        except Surprise:
            try:
                done = self._patiently(lambda connection: self._carry_on(connection, kind, 1))
            except Surprise as error:
                problem = error.problems[0]
                done = self._patiently(lambda connection: self._give_up(connection, problem))
        return done

    def carry_on_all(self) -> list[Done]:
        """Carry on all that waits, each event once, in the caller's thread. PanjError where it cannot go on at all."""
        self._patiently(lambda connection: ledger.begin(connection, self.settings.name, self.clock()))
        carried: list[Done] = []
        try:
            while done := self.turn():
                carried += done
        finally:
            self.close()
        return carried

    def close(self) -> None:
        """Give back what is held."""
        if self._kind is not None:
            self._kind.close()
            self._kind = None

    def _opened(self) -> Kind:
        if self._kind is None:
            try:
                kind = open_kind(self.settings, self.engine)
            except Exception as error:  # a worker's outermost: whatever its folder or database says is trouble, told and tried again
                raise self._hindrance(error) from error
            self._patiently(kind.recover)
            self._kind = kind
        return self._kind

    def _hindrance(self, error: Exception) -> PanjError:
        if isinstance(error, PanjError):
            return error
        if not is_away(error):
            log.error("follower.surprised", follower=self.settings.name, exc_info=error)
        return Surprise("follower-surprise", f"this follower cannot go on: {type(error).__name__}; the log says more")

    def _give_up(self, connection: Any, problem: Problem) -> list[Done]:
        ledger.take(connection, self.settings.name)
        rows = ledger.next_rows(connection, self.settings, 1, self.clock())
        done = [Done.failed(row.event_id, problem) for row in rows]
        ledger.note(connection, self.settings.name, rows, done, self.clock())
        return done

    def _carry_on(self, connection: Any, kind: Kind, limit: int) -> list[Done]:
        ledger.take(connection, self.settings.name)
        rows = ledger.next_rows(connection, self.settings, limit, self.clock())
        if self._troubled:
            ledger.note_trouble(connection, self.settings.name, None, self.clock())
        if not rows:
            return []
        unread, todos = self._read(connection, rows)
        known, todos = _without_known(todos, ledger.known_versions(connection, self.settings.name, (row.reference for row in rows)))
        done = [*unread, *known, *kind.write(connection, todos)]
        ledger.note(connection, self.settings.name, rows, done, self.clock())
        ledger.raise_marks(connection, self.settings, {row.epoch for row in rows})
        return done

    def _read(self, connection: Any, rows: Sequence[Any]) -> tuple[list[Done], list[Todo]]:
        """Give the rows' events, and apart those that cannot be read here and now: a key is missing, or a code list has changed."""
        highest = ledger.highest_versions(connection, self.settings, (row.reference for row in rows))
        unread, todos = [], []
        for row in rows:
            try:
                event = event_of(row, self.keys)
            except PanjError as error:
                unread.append(Done.failed(row.event_id, error.problems[0]))
            else:
                todos.append(Todo(event, max(highest.get(event.reference, 0), event.version)))
        return unread, todos

    def _something_to_do(self, connection: Any) -> bool:
        return self._troubled or ledger.something_waits(connection, self.settings, self.clock())

    def _raise_marks(self, connection: Any) -> None:
        ledger.take(connection, self.settings.name)
        ledger.raise_marks(connection, self.settings)

    def _tell_trouble(self, error: PanjError) -> None:
        problem, self._troubled = error.problems[0], True
        log.warning("follower.hindered", follower=self.settings.name, code=problem.code)
        self._patiently(lambda connection: ledger.note_trouble(connection, self.settings.name, problem, self.clock()))

    def _patiently(self, action: Callable[[Any], Any], *, reads: bool = False) -> Any:
        def transact() -> Any:
            with self.engine.connect().execution_options(reads=reads) as connection, connection.begin():
                return action(connection)

        def within() -> Any:
            try:
                return transact()
            except Exception as error:  # the house's database is waited for; what a kind writes to is trouble of its own, told as such
                if isinstance(error, PanjError) or is_away(error):
                    raise
                raise self._hindrance(error) from error

        return patiently(within, self.engine, self.stop)


def _without_known(todos: Sequence[Todo], known: set[tuple[str, str, int]]) -> tuple[list[Done], list[Todo]]:
    """Tell what was done before under another event's id: a sender that began a new epoch sends again what it had sent."""
    before, new, seen = [], [], set(known)
    for todo in todos:
        key = (todo.event.type, todo.event.reference, todo.event.version)
        if key in seen:
            before.append(Done(todo.event.id, Outcome.KNOWN))
        else:
            new.append(todo)
            seen.add(key)
    return before, new


def follower_workers(settings: Settings, engine: Engine, stop: threading.Event, keys: DecryptionKeys) -> dict[str, Callable[[], None]]:
    """Make the workers of a house's followers, by name, ready to run each in a thread of its own."""
    followers = settings.house.followers if settings.house else ()
    made = [FollowerWorker(follower, engine, stop, keys) for follower in followers]
    return {worker.name: worker.run for worker in made}
