"""Asking a customs house, after the outbox was set back or replaced, what it holds of ours: page by page, until it has told all.

What is kept and learned of it stands in `broker.outbox.recovering`; a relay that begins anew goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta

import structlog

from broker.bundle.pack import Route, control_event, pack
from broker.outbox.store import Outbox
from broker.outbox.values import RecoveryState, Told
from broker.ports import Broker, Message, Published
from broker.relay.lane import Lane
from broker.trust.keys import Identity
from schemas.control import Recovery
from schemas.event import digest_of
from schemas.names import EventType, Party

log = structlog.get_logger()

FIRST_WAIT_SECONDS = 5.0  # how long the first answer is waited for before it is asked again
LONGEST_WAIT_SECONDS = 60.0
LOOK_AGAIN = timedelta(minutes=10)  # until a house that has told all is asked for what was on its way then; doubled with every time
LOOK_AGAIN_CAP = timedelta(days=1)

Sign = Callable[[Recovery, str, datetime], tuple[str, Message]]  # what is asked, of which house (URN), when: the event's id, and a message


def ask_wait_seconds(asked: int) -> float:
    """How long an answer is waited for when it was asked so often in vain: 5, 10, 20 … seconds, never more than a minute."""
    return min(FIRST_WAIT_SECONDS * 2.0 ** min(max(asked - 1, 0), 16), LONGEST_WAIT_SECONDS)


class LaneRecovery:
    """What is asked of one customs house, as the relay's thread sees it."""

    def __init__(self, destination: str, outbox: Outbox, sign: Sign) -> None:
        self.destination = destination
        self._outbox = outbox
        self._sign = sign
        self._open = False
        self._holds = False
        self._requests: set[str] = set()
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
            self._requests, self._asked, self._asked_at = set(), 0, None
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
        request, message = self._sign(Recovery(known=tuple(self._outbox.heads(self.destination))), self.destination, now)
        self._requests.add(request)
        self._asked, self._asked_at = self._asked + 1, now
        (self._leaving,) = broker.publish([message])
        log.info("recovery.asked", destination=self.destination, times=self._asked)

    def takes(self, told: Told) -> bool:
        """Whether this answers a question of ours: one to an older process may begin elsewhere."""
        return told.destination == self.destination and told.answer.request in self._requests

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


def sign_recovery(
    asked: Recovery, source: Party, destination: str, environment: str, identity: Identity, now: datetime
) -> tuple[str, Message]:
    """Give the event's id and the message that asks."""
    house = Party.of_urn(destination)
    raw = control_event(
        EventType.RECOVERY.value,
        source,
        house,
        environment=environment,
        subject=f"beyond {len(asked.known)} heads",
        data=asked,
        now=now,
    )
    message = pack(Route(source, house, EventType.RECOVERY.value), [raw], [digest_of(raw)], identity, now)
    return str(json.loads(raw)["id"]), message
