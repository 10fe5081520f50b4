"""Asking a customs house, after the outbox was set back or replaced, what it holds of ours: page by page, until it has told all.

What is kept and learned of it stands in `broker.outbox.recovering`; a relay that begins anew goes on from there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from broker.bundle.recovered import new_reply_key, with_names
from broker.outbox.store import Outbox
from broker.outbox.values import RecoveryState, Told
from broker.ports import Broker, Published
from broker.relay.lane import Lane
from broker.relay.writing import ControlWriter
from schemas.control import Recovery
from schemas.names import EventType

log = structlog.get_logger()

FIRST_WAIT_SECONDS = 5.0  # how long the first answer is waited for before it is asked again
LONGEST_WAIT_SECONDS = 60.0
LOOK_SECONDS = 1.0  # how soon it is seen that the outbox was set back, or that a recovery was begun
LOOK_AGAIN = timedelta(minutes=10)  # until a house that has told all is asked for what was on its way then; doubled with every time
LOOK_AGAIN_CAP = timedelta(days=1)


def ask_wait_seconds(asked: int) -> float:
    """How long an answer is waited for when it was asked so often in vain: 5, 10, 20 … seconds, never more than a minute."""
    return min(FIRST_WAIT_SECONDS * 2.0 ** min(max(asked - 1, 0), 16), LONGEST_WAIT_SECONDS)


class LaneRecovery:
    """What is asked of one customs house, as the relay's thread sees it."""

    def __init__(self, destination: str, outbox: Outbox, writer: ControlWriter) -> None:
        self.destination = destination
        self._outbox = outbox
        self._writer = writer
        self._open = False
        self._holds = False
        self._requests: dict[str, bytes | None] = {}  # what was asked, by the event's id, and the key under which names come back
        self._asked = 0
        self._asked_at: datetime | None = None
        self._answered = False
        self._looked_again_at: datetime | None = None
        self._look_again = LOOK_AGAIN
        self._leaving: Future[Published] | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing of a stream may leave to this house yet: its answer may show that a place is taken over there."""
        return self._holds

    def stand(self, state: RecoveryState) -> None:
        """See how the outbox stands now."""
        is_open = self.destination in state.waiting_for
        if is_open and not self._open:
            self._requests, self._asked, self._asked_at = {}, 0, None
        self._open = is_open
        self._answered = not is_open and any(house.destination == self.destination for house in state.houses)
        self._holds = is_open and state.life.recovering

    def ask(self, lane: Lane, broker: Broker, now: datetime) -> None:
        """Ask for the next page where that is due; how publishing ends is not awaited, only the answer counts."""
        self._tell_unroutable()
        if not self._open or lane.unconfirmed or not broker.connected():
            return
        wait = timedelta(seconds=ask_wait_seconds(self._asked))
        if self._asked_at is not None and abs(now - self._asked_at) < wait:
            return
        self._ask(broker, now)
        self._asked, self._asked_at = self._asked + 1, now
        log.info("recovery.asked", destination=self.destination, times=self._asked)

    def _ask(self, broker: Broker, now: datetime) -> None:
        recipient = self._outbox.recipient(self.destination)
        key, sealed = (None, None) if recipient is None else new_reply_key(recipient)
        known = tuple(self._outbox.heads(self.destination))
        asked = Recovery(known=known, reply=sealed)
        raw = self._writer.write(EventType.RECOVERY, self.destination, f"beyond {len(known)} heads", asked, now)
        self._requests[json.loads(raw)["id"]] = key
        (self._leaving,) = broker.publish([self._writer.sign(EventType.RECOVERY, self.destination, raw, now)])

    def read(self, told: Told) -> Told | None:
        """The page, if it answers a question of ours (one to an older process may begin elsewhere), with the names that it tells sealed."""
        if told.destination != self.destination or told.answer.request not in self._requests:
            return None
        return replace(told, answer=with_names(told.answer, self._requests[told.answer.request]))

    def told(self) -> None:
        """A page is kept: ask for the next one at once."""
        self._asked, self._asked_at = 0, None

    def should_look_again(self, now: datetime) -> bool:
        """Whether it is time to see if this house should be asked once more, after it had told all."""
        if not self._answered:
            return False
        if self._looked_again_at is None:
            self._looked_again_at = now
        if abs(now - self._looked_again_at) < self._look_again:
            return False
        self._looked_again_at, self._look_again = now, min(self._look_again * 2, LOOK_AGAIN_CAP)
        return True

    def _tell_unroutable(self) -> None:
        if self._leaving is not None and self._leaving.done():
            if self._leaving.result() is Published.RETURNED:
                advice = 'the house over there takes no recoveries: run "panj topology check" here, and have it applied there'
                log.warning("recovery.unroutable", destination=self.destination, advice=advice)
            self._leaving = None


class Recoveries:
    """What is asked of all customs houses, by lane; each second it is seen whether the outbox was set back, or has recovered."""

    def __init__(self, outbox: Outbox, writer: ControlWriter) -> None:
        self.seen_at = 0.0
        self._outbox = outbox
        self._writer = writer
        self._lanes: dict[str, LaneRecovery] = {}

    def begin(self, destinations: Mapping[str, str]) -> None:
        """Know nothing but what the outbox says. `destinations`: each lane's house (URN)."""
        self._lanes = {country: LaneRecovery(house, self._outbox, self._writer) for country, house in destinations.items()}

    def of(self, country: str) -> LaneRecovery:
        """One lane's."""
        return self._lanes[country]

    def look(self, now: datetime) -> None:
        """See how the outbox stands, if that was not seen for a second."""
        if time.monotonic() - self.seen_at >= LOOK_SECONDS:
            self.see(now)

    def see(self, now: datetime) -> None:
        """See whether the outbox was set back, and which houses are to be asked; `panj post recover` may have begun it elsewhere."""
        self.seen_at = time.monotonic()
        for recovery in self._lanes.values():
            if recovery.should_look_again(now):
                self._outbox.ask_again(recovery.destination)
        state = self._outbox.recovery()
        for recovery in self._lanes.values():
            recovery.stand(state)

    def read(self, country: str, told: Iterable[Told]) -> Iterator[Told]:
        """Those of these pages that answer what this lane asked."""
        pages = map(self._lanes[country].read, told)
        return (page for page in pages if page is not None)

    def kept(self, houses: Collection[str], now: datetime) -> list[str]:
        """Pages of these houses are kept: ask for the next ones. Gives their lanes, whose rows may have changed where all was told."""
        if not houses:
            return []
        self.see(now)
        lanes = [country for country, recovery in self._lanes.items() if recovery.destination in houses]
        for country in lanes:
            self._lanes[country].told()
        return lanes
