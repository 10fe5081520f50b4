"""One declaration's way through the customs house, in batches: open, sort out, validate, load with its inbox row, answer.

Everything about a number of arrivals is decided in one database transaction (`Pipeline.take_in`); acknowledging and sending the
answers is the worker's. The database's own trouble decides nothing: the same transaction is done again when it can.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog
from sqlalchemy import Connection, Engine

from broker.bundle.open import Expected
from broker.trust.anchors import TrustStore
from broker.trust.sealing import NO_KEYS, DecryptionKeys
from consumers import evidence, held, inbox, parked, streams, suspensions
from consumers.answers import Answered
from consumers.clock import Clock, now_utc
from consumers.context import Declined, ReceivedEvent
from consumers.database import is_away, is_repeated_key
from consumers.decisions import NOTHING_PRUNED, Conflict, Sorted, check, readable, sort_out
from consumers.handling import run_handler
from consumers.held import ToHold
from consumers.inbox import InboxRow, Known
from consumers.opening import Arrival, InHand, Opened, open_deliveries
from consumers.parked import Parking, parking_of_event
from consumers.patience import patiently
from consumers.purposes import unread
from consumers.registry import Consumer
from schemas.errors import ContentError, Problem, UnavailableError
from schemas.fates import Fate

log = structlog.get_logger()

SAME_KEY_ATTEMPTS = 5  # how often another process may be faster with the same events before they are taken in one by one


Within = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a consumer needs to take events in. Workers, held attempts and tests share it: all that changes is `noted`, which only spares
    the database a question (the streams that are written down already).
    """

    consumer: Consumer
    engine: Engine
    trust: TrustStore
    expected: Mapping[str, Expected]
    stop: threading.Event
    clock: Clock = now_utc
    keys: DecryptionKeys = NO_KEYS
    noted: set[streams.Stream] = field(default_factory=set)

    def process(self, deliveries: Sequence[InHand]) -> list[Answered]:
        """Take deliveries in, a transaction for each batch of the consumer's size; the answers are to be sent before acknowledging."""
        return self.take_in_opened(open_deliveries(deliveries, self.trust, self.expected, self.clock()))

    def take_in_opened(self, opened: Opened) -> list[Answered]:
        """Take in what deliveries held; as `process`."""
        if opened.parkings:
            self.take_in((), opened.parkings)  # apart from what is trusted: strangers' bytes cost nobody else a transaction
        answers: list[Answered] = []
        for part in _parts(opened.arrivals, self.consumer.batch_size):
            answers.extend(self.take_in(part))
        return answers

    def take_in(self, arrivals: Sequence[Arrival], parkings: Sequence[Parking] = (), within: Within | None = None) -> list[Answered]:
        """Decide about these arrivals in one transaction, with `within` in it; waits for the database as long as it takes.

        UnavailableError once `stop` is set while the database is away: nothing was decided then.
        """
        for _ in range(SAME_KEY_ATTEMPTS):
            try:
                return patiently(lambda: self._transact(arrivals, parkings, within), self.engine, self.stop)
            except Exception as error:  # what breaks the transaction is found by halves; the daemon outlives it
                if is_away(error):
                    raise
                if not is_repeated_key(error):
                    log.exception("batch.surprised", queue=self.consumer.queue, events=len(arrivals))
                    break
                log.info("batch.overtaken", queue=self.consumer.queue, events=len(arrivals))
        if not arrivals:
            return []
        if len(arrivals) > 1:
            middle = len(arrivals) // 2
            return [*self.take_in(arrivals[:middle], parkings, within), *self.take_in(arrivals[middle:], (), within)]
        return self.take_in((), [*parkings, *(_unwritable(arrival) for arrival in arrivals)], within)

    def rehearse(self, arrivals: Sequence[Arrival]) -> tuple[list[Answered], tuple[Conflict, ...]]:
        """Say what taking these in would come to: the answers, and what contradicts. It is done and rolled back; nothing stays."""
        with self.engine.connect() as connection, connection.begin() as transaction:
            known, found, rows = self._decide(connection, arrivals)
            transaction.rollback()
        return _answers(known, found, rows), found.conflicts

    def _transact(self, arrivals: Sequence[Arrival], parkings: Sequence[Parking], within: Within | None) -> list[Answered]:
        with self.engine.begin() as connection:
            known, found, rows = self._decide(connection, arrivals)
            seen = {(row.place[0], row.place[2], row.place[3]) for row in rows}
            self._write(connection, found, rows, parkings)
            if not seen <= self.noted:
                streams.note(connection, seen - self.noted, self.clock())
            if within is not None:
                within(connection)
        self.noted.update(seen)
        self._report(found, rows)
        return _answers(known, found, rows)

    def _decide(self, connection: Connection, arrivals: Sequence[Arrival]) -> tuple[list[Known], Sorted, list[InboxRow]]:
        known = inbox.look_up(connection, [arrival.id for arrival in arrivals], (arrival.place for arrival in arrivals))
        # What the inbox does not know may be a pruned event that comes again: one look at a row or two per batch.
        strange = {arrival.place[3] for arrival in arrivals} if len(known) < len(arrivals) else set()
        found = sort_out(arrivals, known, streams.watermarks(connection, strange) if strange else NOTHING_PRUNED)
        return known, found, self._load(connection, found.fresh)

    def _load(self, connection: Connection, fresh: Sequence[Arrival]) -> list[InboxRow]:
        """Validate the fresh ones, run the handler over those that are sound, and give the inbox rows of all."""
        declined: dict[str, Declined] = {}
        sound: dict[str, ReceivedEvent] = {}
        reply_keys: dict[str, bytes] = {}
        suspended = suspensions.read(connection) if fresh else ()
        for arrival in fresh:
            try:
                said = readable(arrival.opened.event, self.keys)
                reply_keys[arrival.id] = said.reply_key
                sound[arrival.id] = check(arrival.opened, said, arrival.evidence.received_at_utc)
            except (ContentError, UnavailableError) as error:  # what is away is a decryption key: held until an operator adds it
                fate = Fate.REFUSED if isinstance(error, ContentError) else Fate.HELD
                declined[arrival.id] = Declined(fate, error.problems)
            covered_by = suspensions.covering(suspended, arrival.opened.event.source, arrival.opened.event.type)
            if covered_by is not None:  # then nothing is decided, a refusal neither
                declined[arrival.id] = Declined(Fate.HELD, (suspensions.PROBLEM,), suspension=covered_by)
        for event in sound.values():
            if event.id not in declined and (problem := unread(self.consumer.purposes, event.purpose)) is not None:
                declined[event.id] = Declined(Fate.HELD, (problem,))
        events = [event for event in sound.values() if event.id not in declined]
        events.sort(key=lambda event: (event.reference, event.version, event.id))
        declined.update(run_handler(connection, self.consumer, events))
        return [
            _inbox_row(arrival, sound.get(arrival.id), declined.get(arrival.id), reply_keys.get(arrival.id) or None) for arrival in fresh
        ]

    def _write(self, connection: Connection, found: Sorted, rows: Sequence[InboxRow], parkings: Sequence[Parking]) -> None:
        moment = self.clock()
        fresh = {arrival.evidence.bundle_digest: arrival.evidence for arrival in found.fresh}
        evidence.write_evidence(connection, fresh.values())
        inbox.write_rows(connection, rows, moment)
        held_now = [ToHold(row.event_id, row.problems[0], row.surprise, row.suspension) for row in rows if row.fate is Fate.HELD]
        held.hold(connection, self.consumer.queue, held_now, moment)
        inbox.count_duplicates(connection, (arrival.id for arrival in found.again))
        conflicts = [_parking_of_conflict(conflict.arrival, conflict.problem) for conflict in found.conflicts]
        parked.park(connection, [*parkings, *conflicts], moment)
        parked.close_loaded(connection, [arrival.id for arrival in (*found.fresh, *found.again)], moment)

    def _report(self, found: Sorted, rows: Sequence[InboxRow]) -> None:
        suspended = sum(row.suspension is not None for row in rows)
        if suspended:
            log.info("events.suspended", queue=self.consumer.queue, events=suspended)
        for row in rows:
            if row.fate is not Fate.LOADED and row.suspension is None:
                log.warning(f"event.{row.fate.value.lower()}", queue=self.consumer.queue, event_id=row.event_id, code=row.problems[0].code)
        for conflict in found.conflicts:
            log.warning("event.parked", queue=self.consumer.queue, event_id=conflict.arrival.id, code=conflict.problem.code)
        if rows or found.again:
            log.debug("batch.taken_in", queue=self.consumer.queue, events=len(rows), duplicates=len(found.again))


def _answers(known: Sequence[Known], found: Sorted, rows: Sequence[InboxRow]) -> list[Answered]:
    first = {row.event_id: _answered(row) for row in known} | {row.event_id: _answered(row) for row in rows}
    return [first[arrival.id] for arrival in (*found.fresh, *found.again)]


def _parts(arrivals: Sequence[Arrival], size: int) -> Iterator[Sequence[Arrival]]:
    for start in range(0, len(arrivals), size):
        yield arrivals[start : start + size]


def _answered(row: Known | InboxRow) -> Answered:
    return Answered(row.event_id, row.place[0], row.digest, row.fate, row.problems, row.reply_key)


def _inbox_row(arrival: Arrival, event: ReceivedEvent | None, declined: Declined | None, reply_key: bytes | None) -> InboxRow:
    return InboxRow(
        event_id=arrival.id,
        place=arrival.place,
        reference=arrival.opened.event.subject if event is None else event.reference,
        version=None if event is None else event.version,
        digest=arrival.opened.digest,
        fate=Fate.LOADED if declined is None else declined.fate,
        problems=() if declined is None else declined.problems,
        received_at_utc=arrival.evidence.received_at_utc,
        bundle_digest=arrival.evidence.bundle_digest,
        content=None if event is None else event.content,
        reply_key=reply_key,
        raw=arrival.opened.raw,
        purpose=arrival.opened.event.purpose,
        legal_basis=arrival.opened.event.legalbasis,
        surprise=None if declined is None else declined.surprise,
        suspension=None if declined is None else declined.suspension,
    )


def _parking_of_conflict(arrival: Arrival, problem: Problem) -> Parking:
    opened = arrival.opened
    parking = parking_of_event(
        opened.raw,
        opened.digest,
        problem,
        lane=arrival.lane,
        queue=arrival.queue,
        source=opened.event.source,
        claimed_ids=(arrival.id,),
    )
    return replace(parking, headers={"jws": arrival.evidence.jws})


def _unwritable(arrival: Arrival) -> Parking:
    problem = Problem(code="inbox-surprise", text="the event could not be taken in; the log says why")
    return _parking_of_conflict(arrival, problem)
