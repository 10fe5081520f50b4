"""The relay: from the outbox to the broker and back, in turns. Each turn takes what came home and what was confirmed, records all of it in
one transaction, acknowledges, and publishes what may leave. What may leave is decided in `decisions`, per destination in `lane`.

Nothing here waits for a bundle to fill: a lone event leaves at once, and while bundles are unconfirmed what waits gathers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

import structlog

from broker.clocks import ClockWatch, watch_seconds
from broker.outbox.leasing import new_holder
from broker.outbox.store import Clock, Outbox, now_utc
from broker.outbox.values import BeaconReturned, BeaconSent, EventFate, Occurrences, Recorded
from broker.ports import Broker, Message
from broker.relay.closing import Closings, ClosingTiming
from broker.relay.decisions import Bundle, bundle_limits
from broker.relay.fitness import Fitness
from broker.relay.hindrances import Hindrances
from broker.relay.lane import Lane
from broker.relay.own_queues import OwnQueues
from broker.relay.recovering import Recoveries
from broker.relay.tenure import LEASE_SECONDS, Tenure
from broker.relay.writing import ControlWriter, write_bundle
from broker.settings.model import Settings
from broker.suspension import holdback
from broker.trust.anchors import TrustStore
from broker.trust.keys import Identity
from schemas.errors import UnavailableError
from schemas.names import Party, house_of

log = structlog.get_logger()

IDLE_SECONDS = 0.2  # how soon a beacon that falls due is seen, and what another process accepted where no sign tells of it
ACTIVE_SECONDS = 0.02  # the same while there was something to do within the last second: where one event came, more come
PEEKS = 10  # in each such pause for the sign of what another process wrote
ACTIVE_FOR_SECONDS = 1.0
TROUBLE_SECONDS = 1.0  # between two turns while the outbox's database or our key is in trouble
LOOK_SECONDS = 1.0  # how soon it is seen what people hold back
FINISH_SECONDS = 3.0  # how long a relay that is told to stop waits for what is unconfirmed


class Relay:
    """Relays one outbox. `run` does it in the calling thread; the other methods may be called from any thread."""

    def __init__(
        self,
        settings: Settings,
        party: Party,
        outbox: Outbox,
        identity: Identity,
        trust: TrustStore,
        brokers: Mapping[str, Broker],
        *,
        clock: Clock = now_utc,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.identity = identity
        self._party = party
        self._environment = settings.environment
        self._outbox = outbox
        self._brokers = brokers
        self._clock = clock
        self._awake = threading.Event()
        self._settled = threading.Condition()
        self._tenure = Tenure(outbox, new_holder(), lease_seconds)
        self._queues = OwnQueues(settings, party, trust, brokers)
        self._settings = settings
        self._lanes: dict[str, Lane] = {}
        self._pending = Occurrences()
        self._trouble: str | None = None
        self._fitness = Fitness(outbox)
        self._clocks = ClockWatch(watch_seconds(settings.clock_tolerance_seconds))
        self._hindrances = Hindrances(outbox)
        self._active_at = 0.0
        self._last_write: object = None
        self._writer = ControlWriter(party, settings.environment, lambda: self.identity)
        self._recoveries = Recoveries(outbox, self._writer)
        timing = ClosingTiming(settings.closing.every_seconds, settings.relay.resend_grace_seconds)
        self._closings = Closings(outbox, timing, self._writer)
        self._suspensions_seen_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Relay until `stop` is set, then finish what is in hand, within seconds.

        UnavailableError `outbox-leased` where another process relays this outbox, `outbox-lease-lost` where one has taken over.
        """
        try:
            self.open()
            while not stop.is_set():
                self._awake.clear()
                if not self._turn_or_trouble():
                    stop.wait(TROUBLE_SECONDS)
                elif not stop.is_set():
                    self._pause()
            self._finish()
        finally:
            self.close()

    def _pause(self) -> None:
        """Wait until there is something to do, or there may be."""
        active = time.monotonic() - self._active_at < ACTIVE_FOR_SECONDS
        for _ in range(PEEKS):
            if self._awake.wait((ACTIVE_SECONDS if active else IDLE_SECONDS) / PEEKS) or self._outbox.last_write() != self._last_write:
                return

    def wake(self) -> None:
        """Have a turn now: something was accepted, came home or was confirmed."""
        self._awake.set()

    @property
    def holds(self) -> bool:
        """Whether this process is for certain the one that relays the outbox."""
        return self._tenure.holds

    def sign_with(self, identity: Identity) -> None:
        """Sign with a renewed pair from now on, and have the connections made anew with it."""
        self.identity = identity
        for broker in self._brokers.values():
            broker.renew()

    def quiet(self) -> bool:
        """Whether nothing waits and nothing is in flight; an event HELD over there is quiet."""
        return self._outbox.is_quiet()

    def wait_settled(self, event_ids: Sequence[str], timeout_seconds: float) -> list[EventFate]:
        """Wait until all these events are settled, or for so long; give what became of them so far."""
        end = time.monotonic() + timeout_seconds
        while True:
            with self._settled:
                fates = self._outbox.fate_of(event_ids)
                left = end - time.monotonic()
                if left <= 0 or (len(fates) == len(set(event_ids)) and all(fate.settled for fate in fates)):
                    return fates
                self._settled.wait(min(left, 1.0))

    def open(self) -> None:
        """Take the lease, know nothing but what the outbox says, and listen to the unit's own queue in every lane. `run` does it."""
        self._tenure.begin()
        self._hindrances.begin()
        self._pending = Occurrences()
        self._lanes = {}
        for country, broker in self._brokers.items():
            partner = self._settings.partners.get(country)
            limits = bundle_limits(partner.link.line_kbit_per_second if partner else None)
            lane = Lane(house_of(country).urn, broker, self._outbox, self._settings.relay, limits, self.wake)
            lane.begin()
            self._lanes[country] = lane
        self._recoveries.begin({country: lane.destination for country, lane in self._lanes.items()})
        self._closings.begin(self._lanes)
        self._queues.listen(self.wake)
        self._recoveries.see(self._clock())
        self._see_suspensions(self._clock())
        self._tell_orphans()
        self._fitness.begin(self._clock())
        log.info("relay.started", source=self._party.urn, holder=self._tenure.holder)

    def _tell_orphans(self) -> None:
        """What was accepted for a partner that exchange.toml does not name any more waits until it is named again: say so."""
        ours = {lane.destination for lane in self._lanes.values()}
        for depth in self._outbox.counts(but_not=ours):
            if depth.waiting + depth.in_flight:
                log.warning("destination.unknown", destination=depth.destination, waiting=depth.waiting, in_flight=depth.in_flight)

    def close(self) -> None:
        """Stop listening and give up the lease; what was not acknowledged comes again."""
        self._queues.close()
        self._tenure.end()

    def _turn_or_trouble(self) -> bool:
        """Have a turn; False where the outbox or our key is in trouble: told once, nothing lost, tried again."""
        try:
            self.turn()
        except UnavailableError as error:
            if error.code == "outbox-lease-lost":
                raise
            self._tell_trouble(error)
            with suppress(UnavailableError):  # where the outbox itself is the trouble, the log alone says so
                self._hindrances.look(self._lanes.values(), error)
            return False
        if self._trouble:
            log.info("relay.unhindered", source=self._party.urn, code=self._trouble)
            self._trouble = None
        return True

    def _tell_trouble(self, error: UnavailableError) -> None:
        if self._trouble != error.code:
            log.error("relay.hindered", source=self._party.urn, code=error.code, problem=str(error))
        self._trouble = error.code

    def turn(self) -> None:
        """One turn: take what happened, record it, acknowledge it, publish what may leave. `run` has them, tests may.

        UnavailableError where the outbox, the clock or our certificate is in trouble: nothing is lost, the next turn goes on.
        """
        self._tenure.keep()
        now = self._clock()
        self._take(now)
        hindrance = self._fitness.hindrance(self.identity, now)
        beacons = [beacon for lane in self._lanes.values() if (beacon := lane.due_beacon(now))] if hindrance is None else []
        if hindrance is None:
            self._closings.prepare(now, self._lanes, self._pending)
        self._record(beacons)
        self._last_write = self._outbox.last_write()  # before the outbox is asked what waits: what comes after that is not overlooked
        if hindrance is not None:
            raise hindrance
        if not self._tenure.holds:
            return
        self._closings.publish(self._brokers)
        self._recoveries.look(now)
        if time.monotonic() - self._suspensions_seen_at >= LOOK_SECONDS:
            self._see_suspensions(now)
        for country, lane in self._lanes.items():
            for beacon in beacons:
                if beacon.destination == lane.destination:
                    lane.send_beacon(self._writer.beacon(beacon, self._outbox.epoch))
            recovery = self._recoveries.of(country)
            if not recovery.holds:
                lane.send(self._sign, now)
            recovery.ask(lane, self._brokers[country], now)
        self._hindrances.look(self._lanes.values())

    def _see_suspensions(self, now: datetime) -> None:
        """Learn what people hold back, begun and ended from other processes; its time may also just be over."""
        suspensions = self._outbox.suspensions()
        for lane in self._lanes.values():
            lane.hold_back(holdback(suspensions, Party.of_urn(lane.destination), now))
        self._suspensions_seen_at = time.monotonic()

    def _take(self, now: datetime, *, at_once: bool = False) -> None:
        """Gather what came home and what was confirmed since the last turn; `at_once`: to record all of it now."""
        for country, lane in self._lanes.items():
            self._pending.relayed.extend(lane.collect(now, at_once=at_once))
            self._queues.take(country, self._pending, self._recoveries, now)
        self._pending.confirmed[:] = [bundle for lane in self._lanes.values() for bundle in lane.confirmed]

    def _record(self, beacons: Sequence[BeaconSent]) -> None:
        """Write it all down in one transaction, then acknowledge; where that fails, it stays pending."""
        pending = self._pending
        pending.sent[:] = beacons
        if pending:
            self._active_at = time.monotonic()
            self._apply(self._outbox.record(pending), beacons, pending.returned)
            for country in self._recoveries.kept({told.destination for told in pending.told}, self._clock()):
                self._lanes[country].begin()  # know the rows anew
        self._pending = Occurrences()
        self._queues.acknowledge()

    def _apply(self, recorded: Recorded, sent: Sequence[BeaconSent], returned: Sequence[BeaconReturned]) -> None:
        for lane in self._lanes.values():
            lane.land(recorded.settled.get(lane.destination, ()))
            lane.land(recorded.held.get(lane.destination, ()))
            for beacon in sent:
                if beacon.destination == lane.destination:
                    lane.beacon_sent(beacon)
            for home in returned:
                if home.destination == lane.destination:
                    lane.beacon_returned(home)
        for house, skew in recorded.skews.items():
            self._clocks.see(house, skew.at_least, self._clock())
        self._closings.recorded(recorded, sent, returned, self._lanes)
        if recorded.fates:
            log.info("receipt.settled", source=self._party.urn, **{fate.value.lower(): count for fate, count in recorded.fates.items()})
            with self._settled:
                self._settled.notify_all()

    def _finish(self) -> None:
        """Record what is still confirmed within a few seconds; what is not is sent again by the next one."""
        end = time.monotonic() + FINISH_SECONDS
        while True:
            self._awake.clear()
            try:
                self._take(self._clock(), at_once=True)
                self._record(())
            except UnavailableError as error:
                self._tell_trouble(error)
                break
            if not any(lane.unconfirmed for lane in self._lanes.values()) or time.monotonic() >= end:
                break
            self._awake.wait(IDLE_SECONDS)
        log.info("relay.stopped", source=self._party.urn)

    def _sign(self, bundle: Bundle) -> Message:
        message = write_bundle(bundle, self._party, self.identity, self._clock())
        size = len(message.body)
        log.info("bundle.relayed", destination=bundle.destination, type=bundle.type, events=len(bundle.rows), bytes=size)
        return message
