"""Closing the accounts, step by step within the relay's turns: a reconciliation begins, a manifest is drafted and leaves, its answer comes.

What is decided stands in `closing_decisions`, what an answer changes in `broker.outbox.closing_records`. Everything that matters is in the
outbox: a process that dies in between is followed by one that goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from broker.outbox.closing_values import Account, ManifestSent, Outstanding, Wish
from broker.outbox.store import Outbox
from broker.outbox.values import BeaconReturned, BeaconSent, Occurrences, Recorded
from broker.ports import Broker, Message, Published
from broker.relay.closing_decisions import StreamPlan, begin, may_state, plan, reason_to_begin, repeats, set_back
from broker.relay.lane import Lane
from broker.relay.writing import ControlWriter
from broker.trust.signing import b64url
from schemas.closing import block_digest, gaps
from schemas.control import Manifest, ManifestBlock, ManifestStream
from schemas.event import digest_of
from schemas.limits import MANIFEST_ABSENT
from schemas.names import EventType

log = structlog.get_logger()

LOOK = timedelta(seconds=1)  # how soon what another process asked for is seen
DRAFT_SECONDS = 0.05  # how much of one turn drafting a manifest may take
MARKS = 100  # beacons on their way of which it is remembered what the house had answered when they left


class ClosingTiming(NamedTuple):
    """How often accounts are closed, and how long an unanswered manifest is waited for at first."""

    every_seconds: float
    grace_seconds: float


@dataclass(slots=True)
class _Draft:
    """A manifest in the making: the blocks of each stream that are computed so far."""

    number: int
    plans: list[StreamPlan]
    blocks: dict[int, list[ManifestBlock]] = field(default_factory=dict)
    absent: int = 0

    def next_block(self) -> tuple[int, tuple[int, int]] | None:
        """The next block to compute: its stream's place in `plans`, and its first and last sequence; None when all are."""
        for at, stream in enumerate(self.plans):
            done = len(self.blocks.get(at, ()))
            if done < len(stream.blocks):
                return at, stream.blocks[done]
        return None

    def take(self, at: int, block: ManifestBlock) -> bool:
        """Add a computed block; False where the manifest has no room for all that it does not know: it ends before it."""
        if self.absent + len(block.absent) > MANIFEST_ABSENT:
            return False
        self.absent += len(block.absent)
        self.blocks.setdefault(at, []).append(block)
        return True

    def streams(self) -> Iterator[ManifestStream]:
        """What the manifest says."""
        for at, each in enumerate(self.plans):
            blocks = tuple(self.blocks.get(at, ()))
            last = blocks[-1].last if blocks else each.before
            if last > 0:
                yield ManifestStream(type=EventType(each.name.type), epoch=each.name.epoch, last=last, blocks=blocks)


class LaneClosing:
    """The account with one customs house, as the relay's thread sees it."""

    def __init__(self, destination: str, outbox: Outbox, timing: ClosingTiming, writer: ControlWriter) -> None:
        self.destination = destination
        self._outbox = outbox
        self._ledger = outbox.closings
        self._timing = timing
        self._writer = writer
        self._begun_utc = self._ledger.first_begun_utc()
        self._account = Account(destination)
        self._outstanding: Outstanding | None = None
        self._looked_at: datetime | None = None
        self._draft: _Draft | None = None
        self._leaving: Message | None = None
        self._left: Future[Published] | None = None
        self._epoch = outbox.epoch
        self._answered_highest = outbox.closings.highest_answered(destination, self._epoch)
        self._at_mark: dict[int, int] = {}
        self._noticed: int | None = None

    def prepare(self, now: datetime, lane: Lane, pending: Occurrences) -> None:
        """Do the next small step, and put what it decides to what is recorded at the end of the turn."""
        self._leaving = None  # what was not recorded does not leave
        self._tell_unroutable()
        if self._draft is not None:
            self._go_on_drafting(now, lane, pending)
            return
        if self._looked_at is not None and abs(now - self._looked_at) < LOOK:
            return
        self._looked_at = now
        self._account = self._ledger.account(self.destination)
        if not self._account.under_way:
            self._begin(now, pending)
            return
        self._outstanding = self._ledger.outstanding(self.destination, self._account.number + 1)
        if self._outstanding is not None and self._outstanding.answered_at_utc is None:
            self._repeat(self._outstanding, now, lane, pending)
        else:
            self._begin_draft(now)

    def _begin(self, now: datetime, pending: Occurrences) -> None:
        why = reason_to_begin(self._account, self._begun_utc, now, self._timing.every_seconds)
        if why is None:
            return
        known = self._ledger.known(self.destination, self._account.horizon_seconds)
        wish = self._account.wish  # it may have come after this turn had begun: what answers it begins after it
        run = begin(self._account, *why, known, max(now, wish.asked_at_utc) if wish else now)
        if run is None:
            self._begun_utc = now  # there is nothing to close yet: a period later it is looked at again
            return
        pending.runs.append(run)
        self._looked_at = None

    def _begin_draft(self, now: datetime) -> None:
        answered = self._ledger.answered(self.destination)
        healing_since = self._outstanding.answered_at_utc if self._outstanding else None
        if may_state(self._account.streams, answered, healing_since, now):
            self._draft = _Draft(self._account.number + 1, plan(self._account.streams, answered))

    def _go_on_drafting(self, now: datetime, lane: Lane, pending: Occurrences) -> None:
        draft, end = self._draft, time.monotonic() + DRAFT_SECONDS
        if draft is None or not lane.connected:
            return
        while (left := draft.next_block()) is not None:
            at, (first, last) = left
            lines = self._ledger.block(self.destination, draft.plans[at].name, first, last)
            absent = gaps(first, last, (line.sequence for line in lines))
            if not draft.take(at, ManifestBlock(first=first, last=last, digest=b64url(block_digest(lines)), absent=absent)):
                break
            if time.monotonic() >= end:
                return
        self._draft = None
        raw = self._writer.write(EventType.MANIFEST, self.destination, f"closing {draft.number}", self._manifest(draft, now), now)
        compared = sum(len(blocks) for blocks in draft.blocks.values())
        self._send(
            ManifestSent(self.destination, draft.number, digest_of(raw), lane.beacon.sent_mark, now, compared, False, "", raw), pending
        )

    def _manifest(self, draft: _Draft, now: datetime) -> Manifest:
        previous = self._account.answer_digest
        return Manifest(
            number=draft.number,
            previous=None if previous is None else b64url(previous),
            closed_at=now,
            streams=tuple(draft.streams()),
            audit_head=self._ledger.audit_head(),
        )

    def _repeat(self, known: Outstanding, now: datetime, lane: Lane, pending: Occurrences) -> None:
        if lane.connected and repeats(known, lane.beacon.returned_mark, now, self._timing.grace_seconds):
            mark = lane.beacon.sent_mark
            self._send(ManifestSent(self.destination, known.number, known.digest, mark, now, known.compared, True, "", known.raw), pending)

    def _send(self, sent: ManifestSent, pending: Occurrences) -> None:
        self._leaving = self._writer.sign(EventType.MANIFEST, self.destination, sent.raw, sent.sent_at_utc)
        pending.manifests.append(replace(sent, jws=str(self._leaving.headers["jws"])))
        log.info("closing.stated", destination=self.destination, number=sent.number, blocks=sent.compared, again=sent.again)

    def publish(self, broker: Broker) -> None:
        """Publish the manifest that was just recorded. How that ends is not awaited: only its answer counts."""
        if self._leaving is not None:
            (self._left,) = broker.publish([self._leaving])
            self._leaving = None

    def _tell_unroutable(self) -> None:
        if self._left is not None and self._left.done():
            if self._left.result() is Published.RETURNED:
                advice = 'the house over there takes no manifests: run "panj topology check" here, and have it applied there'
                log.warning("closing.unroutable", destination=self.destination, advice=advice)
            self._left = None

    def recorded(self, recorded: Recorded, sent: Iterable[BeaconSent], returned: Iterable[BeaconReturned], lane: Lane) -> Wish | None:
        """Learn from what was just recorded; gives the wish for a closing where a beacon tells that the house was set back."""
        if self.destination in recorded.waiting_again:
            lane.wait_again(recorded.waiting_again[self.destination])
        if self.destination in recorded.closed:
            self._looked_at = None
        if self._epoch != self._outbox.epoch:
            self._epoch, self._answered_highest, self._at_mark = self._outbox.epoch, 0, {}
        self._answered_highest = max(self._answered_highest, recorded.highest.get((self.destination, self._epoch), 0))
        wish = None
        for home in returned:
            if home.destination == self.destination and home.epoch == self._epoch:
                wish = self._notice(home) or wish
        for beacon in sent:
            if beacon.destination == self.destination:
                self._at_mark[beacon.mark] = self._answered_highest
                self._at_mark.pop(beacon.mark - MARKS, None)
        return wish

    def _notice(self, home: BeaconReturned) -> Wish | None:
        before = self._at_mark.pop(home.mark, None)
        if not set_back(home.highest, before) or home.highest == self._noticed or self._account.under_way:
            return None  # what is under way heals it already; where it does not, the next beacon tells again
        self._noticed = home.highest
        log.warning("closing.house_set_back", destination=self.destination, highest=home.highest, answered=before)
        return Wish(self.destination, f"the house holds sequences up to {home.highest}, and had answered {before}", home.returned_at_utc)


class Closings:
    """The accounts of all lanes, for the relay: each of its turns calls `prepare`, then, once that is recorded, `recorded`, `publish`."""

    def __init__(self, outbox: Outbox, timing: ClosingTiming, writer: ControlWriter) -> None:
        self._outbox = outbox
        self._timing = timing
        self._writer = writer
        self._lanes: dict[str, LaneClosing] = {}
        self._wishes: list[Wish] = []

    def begin(self, lanes: Mapping[str, Lane]) -> None:
        """Know nothing but what the outbox says."""
        self._wishes = []
        self._lanes = {country: LaneClosing(lane.destination, self._outbox, self._timing, self._writer) for country, lane in lanes.items()}

    def prepare(self, now: datetime, lanes: Mapping[str, Lane], pending: Occurrences) -> None:
        """Put to `pending` what is to be recorded about closings in this turn."""
        pending.wishes.extend(self._wishes)
        self._wishes = []
        pending.runs.clear()
        pending.manifests.clear()
        for country, closing in self._lanes.items():
            closing.prepare(now, lanes[country], pending)

    def recorded(
        self, recorded: Recorded, sent: Iterable[BeaconSent], returned: Iterable[BeaconReturned], lanes: Mapping[str, Lane]
    ) -> None:
        """Learn from what was just recorded."""
        for country, closing in self._lanes.items():
            wish = closing.recorded(recorded, sent, returned, lanes[country])
            if wish is not None:
                self._wishes.append(wish)

    def publish(self, brokers: Mapping[str, Broker]) -> None:
        """Publish the manifests that were recorded."""
        for country, closing in self._lanes.items():
            closing.publish(brokers[country])
