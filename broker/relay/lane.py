"""One destination as the relay sees it: what is in flight there, what leaves next, its beacon. What is decided stands in `decisions`.

Used by the relay's thread only; everything here is rebuilt from the outbox when the process begins again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic

import structlog

from broker.outbox.store import Outbox
from broker.outbox.values import BeaconReturned, BeaconSent, BeaconState, OutboxRow, Relayed, Types
from broker.ports import Broker, Message, Published
from broker.relay.decisions import (
    Bundle,
    BundleLimits,
    Credit,
    ResendDecision,
    beacon_due,
    credit,
    cut_bundles,
    due_for_resend,
    fresh_share,
    fresh_since,
    is_cut_off,
    is_morsel,
)
from broker.relay.outage import Outages
from broker.settings.model import RelaySettings
from broker.suspension import NOTHING, Holdback
from schemas.names import EventType

log = structlog.get_logger()

OUTSTANDING = 4  # bundles published and not yet confirmed: while so many are, what waits gathers
OUTSTANDING_AGAIN = 2  # of them, bundles sent again: fresh events keep going
RECORD_AFTER = timedelta(seconds=1)  # a confirm is recorded where no receipt has come so soon, which says the same
LOOK_FOR_RESENDS = timedelta(seconds=1)
LOOK_SECONDS = 1.0  # between two looks for what people did: withdrawals
TOMBSTONE = EventType.WITHDRAWAL.value

Sign = Callable[[Bundle], Message]


@dataclass(frozen=True, slots=True)
class _Outstanding:
    """A bundle handed to the broker and not confirmed; `again`: it was relayed before."""

    bundle: Bundle
    mark: int
    again: bool
    future: Future[Published]


class Lane:
    """What leaves for one customs house, through one broker."""

    def __init__(
        self, destination: str, broker: Broker, outbox: Outbox, settings: RelaySettings, limits: BundleLimits, wake: Callable[[], None]
    ) -> None:
        self.destination = destination
        self._broker = broker
        self._outbox = outbox
        self._settings = settings
        self._limits = limits
        self._wake = wake
        self._window = Credit(settings.window_events, settings.window_bytes)
        self._flying: dict[int, int] = {}
        self._flying_bytes = 0
        self._outstanding: list[_Outstanding] = []
        self._confirmed: list[Relayed] = []  # not recorded yet
        self._gathered_to = 0  # every waiting row up to this position is outstanding, or of a type with an outage
        self._more_waits = False  # whether more waited at the last look than the credit let go
        self._behind: bool | None = None  # whether old rows wait: then those accepted lately leave beside them; None: not known yet
        self._outages = Outages(destination)
        self._looked_for_resends_at: datetime | None = None
        self._looked_at = float("-inf")
        self._holdback = NOTHING
        self.beacon = BeaconState(destination)

    def begin(self) -> None:
        """Learn from the outbox what is in flight and how the beacon stands; again where rows have changed under it.

        What is confirmed and not recorded is forgotten: it leaves again.
        """
        self._confirmed = []
        self._flying, self._flying_bytes, self._gathered_to, self._behind = {}, 0, 0, None
        for row in self._outbox.relayed(self.destination):
            if row.answered_fate is None:
                self._fly(row.position, row.size_bytes)
        self.beacon = next((one for one in self._outbox.beacons() if one.destination == self.destination), self.beacon)

    @property
    def unconfirmed(self) -> bool:
        """Whether the broker has still to confirm something."""
        return bool(self._outstanding)

    def hold_back(self, holdback: Holdback) -> None:
        """Let nothing of this leave from now on, and what was held back before and is not any more."""
        if holdback == self._holdback:
            return
        event = log.info if holdback == NOTHING else log.warning
        name = "outflow.resumed" if holdback == NOTHING else "outflow.suspended"
        event(name, destination=self.destination, everything=holdback.everything, types=sorted(holdback.types))
        self._holdback = holdback
        self._gathered_to = 0

    def hindrances(self) -> dict[str, str]:
        """What keeps this destination's bundles from leaving now, by code of the catalogue, in words."""
        if self._broker.connected():
            return self._outages.reasons()
        code = "broker-blocked" if self._broker.blocked() else "broker-away"
        return {code: self._broker.trouble() or "no connection to our own broker"}

    @property
    def connected(self) -> bool:
        """Whether our broker takes what is published."""
        return self._broker.connected()

    @property
    def in_flight(self) -> Credit:
        """Events and bytes published and not answered."""
        return Credit(len(self._flying), self._flying_bytes)

    def collect(self, now: datetime, *, at_once: bool = False) -> list[Relayed]:
        """Take up how publishing ended: what is to be recorded of what was confirmed is returned; what failed waits to be tried again.

        What left for the first time is recorded once it is not answered within `RECORD_AFTER`, or `at_once`: until then it is
        among `confirmed`. Were this process to die before, it would leave a second time, which harms nothing.
        """
        relayed = []
        still = []
        for one in self._outstanding:
            if not one.future.done():
                still.append(one)
                continue
            positions = tuple(row.position for row in one.bundle.rows)
            how = one.future.result()
            if how is Published.CONFIRMED:
                bundle = Relayed(positions, one.mark, now, one.bundle.type == TOMBSTONE)
                if one.again or bundle.tombstones:
                    relayed.append(bundle)
                else:
                    self._confirmed.append(bundle)
                if self._outages.succeeded(one.bundle.type):
                    self._gathered_to = 0
            else:
                self._failed(one, positions, how)
        self._outstanding = still
        at_once = at_once or bool(self._outages.types)  # a try after an outage looks for what has not left, and only the outbox tells
        due = [one for one in self._confirmed if at_once or abs(now - one.relayed_at_utc) >= RECORD_AFTER]
        self._confirmed = [one for one in self._confirmed if one not in due]
        return [*relayed, *due]

    @property
    def confirmed(self) -> list[Relayed]:
        """Bundles that were confirmed of late, and are not recorded."""
        return self._confirmed

    def _failed(self, one: _Outstanding, positions: Sequence[int], how: Published) -> None:
        self._outages.failed(one.bundle.type, how, len(positions), monotonic())
        if not one.again:
            self.land(positions)
            self._gathered_to = min(self._gathered_to, positions[0] - 1)

    def land(self, positions: Iterable[int]) -> None:
        """These are answered, or did not leave: they free their credit."""
        for position in positions:
            self._flying_bytes -= self._flying.pop(position, 0)
        if self._confirmed:
            self._confirmed = [one for one in self._confirmed if not self._flying.keys().isdisjoint(one.positions)]

    def _fly(self, position: int, size: int) -> None:
        self._flying_bytes += size - self._flying.get(position, 0)
        self._flying[position] = size

    def wait_again(self, position: int) -> None:
        """Rows from this position on wait again, though what came after them has left."""
        self._gathered_to = min(self._gathered_to, position - 1)

    def due_beacon(self, now: datetime) -> BeaconSent | None:
        """The next beacon, if it leaves now: to be recorded first and published then."""
        due = beacon_due(self.beacon, now, unsettled=bool(self._flying), beacon_seconds=self._settings.beacon_seconds)
        if not due or not self._broker.connected():
            return None
        return BeaconSent(self.destination, self.beacon.sent_mark + 1, now)

    def beacon_sent(self, sent: BeaconSent) -> None:
        """The beacon is recorded: what leaves from now on leaves after it."""
        self.beacon = replace(self.beacon, sent_mark=sent.mark, sent_at_utc=sent.sent_at_utc)

    def beacon_returned(self, home: BeaconReturned) -> None:
        """A beacon of this destination came home and is recorded."""
        if self.beacon.returned_mark < home.mark <= self.beacon.sent_mark:
            self.beacon = replace(self.beacon, returned_mark=home.mark, returned_at_utc=home.returned_at_utc)
            self._looked_for_resends_at = None

    def send_beacon(self, message: Message) -> None:
        """Publish a beacon. How that ends is not awaited: only its return counts."""
        self._broker.publish([message])

    def send(self, sign: Sign, now: datetime) -> None:
        """Publish what may leave now: what is due again, what waits within the credit, and a try of what was not taken."""
        room = OUTSTANDING - len(self._outstanding)
        if room <= 0 or not self._broker.connected():
            return
        at = monotonic()
        if at - self._looked_at >= LOOK_SECONDS and TOMBSTONE not in self._outages.types:
            self._looked_at = at
            self._send_tombstones(sign)
        if self._holdback.everything:
            return
        self._send_again(sign, now)
        for event_type in self._outages.due(at):
            if event_type == TOMBSTONE:
                self._send_tombstones(sign, trying=True)
            elif event_type not in self._holdback.types:
                self._send_waiting(sign, now, 1, Types(only=event_type))
        types = Types(without=self._outages.types | self._holdback.types)
        if self._is_behind(now, types) and OUTSTANDING - len(self._outstanding) > 1:
            self._send_newest(sign, now, types)
        room = OUTSTANDING - len(self._outstanding)
        if room > 0:
            self._send_waiting(sign, now, room, types)

    def _is_behind(self, now: datetime, types: Types) -> bool:
        if self._behind is None:
            oldest = self._outbox.waiting(self.destination, 1, 1, 0, types)
            self._behind = bool(oldest) and oldest[0].accepted_at_utc < fresh_since(now)
        return self._behind

    def _send_newest(self, sign: Sign, now: datetime, types: Types) -> None:
        """Let what was accepted lately pass a backlog, a bundle at a time."""
        left = credit(self._window, self.in_flight)
        if left.spent:
            return
        share = fresh_share(left)
        events, size = min(share.events, self._limits.events), min(share.bytes, self._limits.bytes)
        rows = self._outbox.waiting_since(self.destination, fresh_since(now), events, size, self._gathered_to, types)
        if self._waits_for_credit(rows, share):
            return
        self._publish(self._bundles_of(rows)[:1], sign, again=False)

    def _bundles_of(self, rows: Sequence[OutboxRow]) -> list[Bundle]:
        """Cut rows that wait into bundles, without those that have left, which may not be recorded yet."""
        left = self._on_their_way().union(*(one.positions for one in self._confirmed))
        return cut_bundles([row for row in rows if row.position not in left], self._limits)

    def _waits_for_credit(self, rows: Sequence[OutboxRow], left: Credit) -> bool:
        return bool(self._flying) and is_morsel(_sum(rows), left, self._window, self._limits)

    def _send_waiting(self, sign: Sign, now: datetime, bundles: int, types: Types) -> None:
        left = credit(self._window, self.in_flight)
        if left.spent:
            return
        trying = types.only is not None
        if self._more_waits and not trying and self._flying and is_morsel(left, left, self._window, self._limits):
            return  # what would be read is known to be too little
        after = 0 if trying else self._gathered_to
        events, size = min(left.events, bundles * self._limits.events), min(left.bytes, bundles * self._limits.bytes)
        # Asked before the rows: what is accepted in between must not be passed over.
        newest = self._outbox.newest_waiting(self.destination) if types.without else 0
        rows = self._outbox.waiting(self.destination, events, size, after, types)
        if not trying:
            self._more_waits = bool(rows) and is_cut_off(_sum(rows), Credit(events, size))
            self._behind = bool(rows) and rows[0].accepted_at_utc < fresh_since(now)
        if not rows:
            if types.only is not None:
                self._outages.succeeded(types.only)
            self._gathered_to = max(self._gathered_to, newest)  # all of it is of the types left out: not to be gone through every turn
            return
        if not trying and self._waits_for_credit(rows, left):
            return
        cut = self._bundles_of(rows)
        self._publish(cut, sign, again=False)
        if types.only is None:
            self._gathered_to = rows[-1].position
        elif cut:
            self._outages.trying(types.only)

    def _send_tombstones(self, sign: Sign, *, trying: bool = False) -> None:
        """Send a bundle of withdrawals. An event may be in flight already: then its credit is spent, and its tombstone needs none."""
        rows = self._outbox.tombstones(self.destination, self._limits.events)
        if not rows and trying:
            self._outages.succeeded(TOMBSTONE)
        left, on_their_way = credit(self._window, self.in_flight), self._on_their_way()
        chosen = []
        for row in rows:
            in_flight = row.position in self._flying
            if row.position in on_their_way or (left.spent and not in_flight):
                continue
            chosen.append(row)
            if not in_flight:
                left = Credit(left.events - 1, left.bytes - row.size_bytes)
        self._publish(cut_bundles(chosen, self._limits)[:1], sign, again=False)
        if chosen and trying:
            self._outages.trying(TOMBSTONE)

    def _send_again(self, sign: Sign, now: datetime) -> None:
        looked = self._looked_for_resends_at
        if self.beacon.returned_mark == 0 or (looked and abs(now - looked) < LOOK_FOR_RESENDS):
            return
        room = OUTSTANDING_AGAIN - sum(one.again for one in self._outstanding)
        if room <= 0:
            return
        self._looked_for_resends_at = now
        rows = self._due_again(now, room * self._limits.events, room * self._limits.bytes)
        if rows:
            log.info("bundle.resent", destination=self.destination, events=len(rows), beacon=self.beacon.returned_mark)
            self._publish(cut_bundles(rows, self._limits), sign, again=True)

    def _due_again(self, now: datetime, limit_events: int, limit_bytes: int) -> list[OutboxRow]:
        grace = self._settings.resend_grace_seconds
        on_their_way = self._on_their_way()
        positions: list[int] = []
        total = 0
        for row in self._outbox.relayed(self.destination, now - timedelta(seconds=grace)):
            if row.position in on_their_way or due_for_resend(row, self.beacon.returned_mark, now, grace) is not ResendDecision.DUE:
                continue
            if len(positions) >= limit_events or (positions and total + row.size_bytes > limit_bytes):
                break
            positions.append(row.position)
            total += row.size_bytes
        if not positions:
            return []
        left_out = self._outages.types | self._holdback.types
        return [row for row in self._outbox.rows_at(positions) if row.type not in left_out]

    def _publish(self, bundles: Sequence[Bundle], sign: Sign, *, again: bool) -> None:
        """Sign all before any leaves, so that trouble with the key leaves nothing half done."""
        messages = [sign(bundle) for bundle in bundles]
        if not messages:
            return
        for bundle, future in zip(bundles, self._broker.publish(messages), strict=True):
            if not again:
                for row in bundle.rows:
                    self._fly(row.position, row.size_bytes)
            self._outstanding.append(_Outstanding(bundle, self.beacon.sent_mark, again, future))
            future.add_done_callback(lambda _: self._wake())

    def _on_their_way(self) -> frozenset[int]:
        """What the broker has not confirmed yet."""
        return frozenset(row.position for one in self._outstanding for row in one.bundle.rows)


def _sum(rows: Sequence[OutboxRow]) -> Credit:
    return Credit(len(rows), sum(row.size_bytes for row in rows))
