"""The outbox: what this unit sends, durable until a signed receipt has settled it. Each method is one transaction.

Here is what changes it; what it can be asked stands in `questions`, the SQL of both in the modules beside it. When and what is sent, the
relay decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType

import structlog
from sqlalchemy import Engine

from broker.audit import Act, actor, append
from broker.outbox import (
    acceptance,
    closing_records,
    copying,
    hindrances,
    lives,
    parked,
    recording,
    recovering,
    restoring,
    skews,
    suspending,
    withdrawing,
)
from broker.outbox.archived import OutboxArchive
from broker.outbox.closing_values import Wish
from broker.outbox.closings import ClosingLedger
from broker.outbox.copy_lines import CopiedEvent
from broker.outbox.cursors import Cursors
from broker.outbox.engine import one_at_a_time, open_engine, writing
from broker.outbox.engine import reading as reading_transaction
from broker.outbox.leasing import Lease
from broker.outbox.migrations import upgrade
from broker.outbox.pruning import Pruning
from broker.outbox.questions import OutboxQuestions
from broker.outbox.requests import Requests
from broker.outbox.restoring import Restored
from broker.outbox.room import UNBOUNDED, Room
from broker.outbox.second_copy import CopyPlace, SecondCopy
from broker.outbox.tables import audit
from broker.outbox.telling import Tellings
from broker.outbox.values import (
    Acceptance,
    Draft,
    Life,
    Occurrences,
    Recorded,
    RecoveryState,
    Told,
    UnnumberedDraft,
    WithdrawalStep,
    WithdrawalWish,
    Withdrawn,
)
from broker.suspension import Suspension
from broker.trust.sealing import Recipient
from schemas.names import Party

log = structlog.get_logger()

Clock = Callable[[], datetime]
NOBODY: Mapping[str, Recipient] = MappingProxyType({})


def now_utc() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


class Outbox(OutboxQuestions):
    """One unit's outbox. Its methods may be called from any thread and from several processes; only one of them relays."""

    def __init__(self, engine: Engine, life: Life, clock: Clock, recipients: Mapping[str, Recipient], room: Room = UNBOUNDED) -> None:
        super().__init__(engine, life, clock)
        self._recipients = recipients
        self._room = room
        self._copy: SecondCopy | None = None

    @classmethod
    def open(
        cls,
        url: str,
        source: Party,
        environment: str,
        clock: Clock = now_utc,
        recipients: Mapping[str, Recipient] = NOBODY,
        room: Room = UNBOUNDED,
    ) -> Outbox:
        """Open the outbox of `source`, make it where there is none, and bring its tables up to date.

        What is accepted for one of `recipients` (by URN) is encrypted to it; how much is accepted is bounded by `room`.

        `url`: `sqlite:///<file>` or `postgresql+psycopg://…`. SettingsError `outbox-foreign` where it is another unit's or another
        environment's, `outbox-newer`, `outbox-url`; UnavailableError where the database does not answer.
        """
        engine = open_engine(url)
        try:
            upgrade(engine)
            with writing(engine) as connection:
                one_at_a_time(connection)
                life = lives.current_life(connection) or lives.begin_life(connection, source.urn, environment, clock())
            lives.refuse_foreign(life, source, environment)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, life, clock, recipients, room)

    def copy_to(self, place: CopyPlace, *, keeps: bool) -> None:
        """Copy every acceptance from now on. One process `keeps` the copy: it catches up what is missing, and removes what is settled."""
        self._copy = SecondCopy(place, partial(reading_transaction, self._engine), partial(writing, self._engine), self._clock, keeps=keeps)

    def close(self) -> None:
        """Finish the second copy, and close the connections to the database."""
        if self._copy is not None:
            self._copy.close()
        self._engine.dispose()

    @property
    def epoch(self) -> str:
        """The epoch of the current life, as this process knows it."""
        return self._life.epoch

    def begin_epoch(self) -> str:
        """Begin a new life: streams count from 1 again, under a new epoch. What is unsettled stays and is still sent."""
        with writing(self._engine) as connection:
            before = lives.current_life(connection) or self._life
            self._life = lives.begin_life(connection, before.source, before.environment, self._clock())
        log.warning("epoch.begun", source=self._life.source, epoch=self._life.epoch, before=before.epoch)
        return self._life.epoch

    def accept(self, drafts: Sequence[Draft | UnnumberedDraft]) -> list[Acceptance]:
        """Accept all drafts in one transaction; what is returned is on disk, in the order of `drafts`.

        All or nothing. ConflictError `version-conflict` where another content was accepted under the same reference and version, or
        where a draft without a version cannot be given one, and ContentError where a draft makes no event, name the draft in `field`
        (`drafts.3`). UnavailableError `clock-behind` where the clock stands before the last accepted event, `outbox-disk-low`,
        `outbox-unsettled` (see `room`), `outbox-full`, `outbox-busy`, `outbox-away`: nothing was accepted, try again;
        `outbox-restored` and `outbox-recovering`: nothing will be until `panj post recover` has ended.
        """
        if not drafts:
            return []
        with writing(self._engine) as connection:
            # On PostgreSQL this lock makes acceptors follow each other, so that numbers have no holes and positions rise with commits.
            self._life = lives.current_life(connection) or self._life
            accepted, rows = acceptance.accept(connection, self._life, drafts, self._clock(), self._recipients, self._room)
        return accepted if self._copy is None else self._copy.take(accepted, rows, self.copy_standing)

    def suspect(self, because: str) -> None:
        """Note durably that this outbox was set back, and why that is known: it accepts nothing until it has recovered."""
        with writing(self._engine) as connection:
            lives.suspect(connection, because, self._clock())

    def begin_recovery(self, houses: Sequence[str], *, everything: bool = False, reason: str = "") -> RecoveryState:
        """Begin a new life that accepts nothing until these houses (URN) have told what they hold; go on with one that has begun.

        `everything`: the outbox is not an older state but a new one, and knows nothing of what the houses may have settled.
        """
        with writing(self._engine) as connection:
            state = recovering.begin(connection, houses, self._clock(), everything=everything, reason=reason)
        self._life = state.life
        return state

    def restore(self, events: Sequence[CopiedEvent], houses: Sequence[str], *, everything: bool, reason: str) -> Restored:
        """Put in what a second copy holds and this outbox lacks, and begin to recover from these houses (URN), in one transaction.

        The events are this unit's own: who calls has seen to that. Done twice it puts nothing in twice.
        """
        with writing(self._engine) as connection:
            now = self._clock()
            state = recovering.begin(connection, houses, now, everything=everything, reason=reason)
            restored = restoring.restore(connection, state.life, events, now)
            detail = {"put_in": restored.put_in, "known": restored.known, "clashing": restored.clashing}
            append(connection, audit, Act(actor(), "outbox.restored", state.life.source, reason, detail), now)
        self._life = state.life
        log.warning("outbox.restored", source=self._life.source, epoch=self._life.epoch, **detail)
        return restored

    def recovery(self) -> RecoveryState:
        """How the outbox stands between being set back and accepting again; from then on this process knows the current life."""
        with reading_transaction(self._engine) as connection:
            state = recovering.state(connection)
        self._life = state.life
        return state

    def recipient(self, house: str) -> Recipient | None:
        """To whom what is accepted for a house (URN) is encrypted; None where it is not."""
        return self._recipients.get(house)

    def learn(self, told: Told) -> RecoveryState:
        """Keep what a house told; once that is all, learn it in the same transaction; once all houses have, accept again."""
        with writing(self._engine) as connection:
            return recovering.keep(connection, told, self._clock())

    def ask_again(self, house: str) -> bool:
        """See whether a house (URN) that told all before should be asked once more, for what was on its way then; if so, open that."""
        with writing(self._engine) as connection:
            return recovering.ask_again(connection, house, self._clock())

    def withdraw(self, wish: WithdrawalWish, actor: str, *, dry_run: bool = False) -> list[Withdrawn]:
        """Withdraw events that are not settled: from now on their tombstone is sent in their stead. Gives every event concerned.

        UsageError `withdraw-unknown` where there is none, ConflictError `withdraw-settled` where all are settled; nothing is done then,
        nor with `dry_run`.
        """
        with writing(self._engine) as connection:
            life = lives.current_life(connection) or self._life
            found = withdrawing.withdraw(connection, life, wish, actor, self._clock(), dry_run=dry_run)
            ids = {one.event_id for one in found if one.step is WithdrawalStep.WITHDRAWN and not dry_run}
            tombstones = copying.events_of(connection, ids) if self._copy is not None else []
        if tombstones and self._copy is not None:
            self._copy.append(tombstones)
        return found

    def record(self, occurrences: Occurrences) -> Recorded:
        """Record all that happened since the last turn, in one transaction."""
        now = self._clock()
        with writing(self._engine) as connection:
            for told in occurrences.told:
                recovering.keep(connection, told, now)  # it may send events again as new ones: the second copy must get those, too
            recording.record_relayed(connection, occurrences.relayed)
            recorded = recording.record_settlements(connection, occurrences.settlements, occurrences.receipts, occurrences.confirmed, now)
            measured = recording.record_beacons(connection, occurrences.sent, occurrences.returned)
            measured |= skews.record_by_receipts(connection, occurrences.receipts, occurrences.settlements, now)
            lives.look_for_set_back(connection, occurrences.returned, now)
            if occurrences.parked:
                parked.record_parked(connection, occurrences.parked, now)
            closing_records.record_wishes(connection, occurrences.wishes)
            closing_records.record_runs(connection, occurrences.runs)
            closing_records.record_manifests(connection, occurrences.manifests)
            waiting_again = closing_records.record_answers(connection, occurrences.answers, now)
        if occurrences.told and self._copy is not None:
            self._copy.look_again()
        closed = frozenset(one.destination for one in occurrences.answers)
        return replace(recorded, skews=measured, waiting_again=waiting_again, closed=closed)

    def ask_for_closings(self, wishes: Sequence[Wish], acts: Sequence[Act]) -> None:
        """Note that a person wants closings, and that in the audit trail; whoever relays this outbox sees it within a second."""
        with writing(self._engine) as connection:
            closing_records.record_wishes(connection, wishes)
            for act in acts:
                append(connection, audit, act, self._clock())

    @property
    def source(self) -> Party:
        """Whose outbox it is."""
        return Party.of_urn(self._life.source)

    @property
    def lease(self) -> Lease:
        """Who relays this outbox."""
        return Lease(self._engine, self._clock)

    @property
    def pruning(self) -> Pruning:
        """What of this outbox may leave it for the archive."""
        return Pruning(self._engine, self.source, self._clock)

    @property
    def requests(self) -> Requests:
        """The idempotency keys that it remembers."""
        return Requests(self._engine, self._clock)

    @property
    def archive(self) -> OutboxArchive:
        """What of this outbox is in the archive."""
        return OutboxArchive(self._engine, self.source)

    @property
    def cursors(self) -> Cursors:
        """How far tables and views of national databases were read."""
        return Cursors(self._engine, self._clock)

    @property
    def tellings(self) -> Tellings:
        """What is to be told back to the national system."""
        return Tellings(self._engine, self._clock)

    @property
    def closings(self) -> ClosingLedger:
        """What this outbox knows of its closings."""
        return ClosingLedger(self._engine, self._clock)

    def note(self, act: Act) -> None:
        """Write an act that changes nothing here, but that is to be known, into the audit trail."""
        with writing(self._engine) as connection:
            append(connection, audit, act, self._clock())

    def note_hindrances(self, found: Mapping[tuple[str, str], str]) -> None:
        """Note what keeps the relay from sending now, by destination and code, in words."""
        with writing(self._engine) as connection:
            hindrances.note(connection, found, self._clock())

    def suspend(self, begun: Suspension) -> None:
        """Hold back from now on what it covers; what is in flight already cannot be called back."""
        with writing(self._engine) as connection:
            suspending.begin(connection, begun)

    def end_suspension(self, suspension_id: str, actor: str, reason: str) -> bool:
        """Let go what it held back; False where no such suspension is in force here."""
        with writing(self._engine) as connection:
            return suspending.end(connection, suspension_id, actor, reason, self._clock())
