"""The house's control worker: beacons go home while the database answers, manifests are answered, CRLs are taken to the trust store.

Stream events: `worker`. What an answer to a manifest says: `closing`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog
from sqlalchemy import Engine, text

from broker.bundle.open import Expected, OpenBundle, OpenEvent, UnreadableEvent, open_message
from broker.bundle.pack import Route, control_event, pack
from broker.clocks import ClockWatch, watch_seconds
from broker.ports import Broker, Message, Subscription
from broker.revocation import take_crl
from broker.trust.anchors import TrustStore
from broker.trust.keys import Identity, Signer
from broker.trust.sealing import NO_KEYS, DecryptionKeys
from consumers import inbox, known_posts, parked, streams
from consumers.answers import LEGAL_BASIS, PURPOSE, receipts
from consumers.clock import Clock, HouseClock, now_utc
from consumers.closing import ClosingBook
from consumers.database import is_away
from consumers.delivering import Outgoing
from consumers.opening import InHand, evidence_of
from consumers.parked import Parking, parking_of_event, parking_of_message
from consumers.patience import patiently
from consumers.recovery import answer_recovery, recovery_message
from consumers.review.carrying import Duty
from consumers.review.doors import lane_gone
from consumers.withdrawals import take_withdrawals
from schemas.content import validate
from schemas.control import Beacon, Recovery
from schemas.errors import DistrustError, PanjError, Problem, UnavailableError
from schemas.event import digest_of, utc_text
from schemas.limits import BEACON_EPOCHS
from schemas.names import EventType, Party

log = structlog.get_logger()

PREFETCH = 20
IDLE_SECONDS = 0.5
LOOK_SECONDS = 1.0  # between two looks at what people ordered
UNCONFIRMED = 50  # beacons under way home


class ControlWorker:
    """Takes control events for the house from its own queue in every lane, in the thread that calls `run`."""

    def __init__(
        self,
        *,
        engine: Engine,
        trust: TrustStore,
        expected: Mapping[str, Expected],
        signer: Signer,
        brokers: Mapping[str, Broker],
        stop: threading.Event,
        clock: Clock = now_utc,
        tolerance_seconds: float = 300,
        backup_horizon_seconds: int = 30 * 86_400,
        keys: DecryptionKeys = NO_KEYS,
    ) -> None:
        self._keys = keys
        self._engine = engine
        self._trust = trust
        self._expected = expected
        self._signer = signer
        self._stop = stop
        self._clock = HouseClock.of(clock)
        self._watch = ClockWatch(watch_seconds(tolerance_seconds))
        self._arrived = threading.Event()
        self._brokers = brokers
        self._outgoing = Outgoing(brokers, self._arrived.set, _nothing)
        self.name = next(iter(expected.values())).receiver.unit
        self._subscriptions: dict[str, Subscription] = {}
        self._closings = ClosingBook(engine, self._environment(), backup_horizon_seconds, stop, self._clock)
        self._duty = Duty(engine, stop, self._clock, (self.name,))
        self._look_at = 0.0

    def run(self) -> None:
        """Work until `stop` is set."""
        if not self._subscriptions:
            self.open()
        try:
            while not self._stop.is_set():
                if not self.turn():
                    self._arrived.wait(IDLE_SECONDS)
            self._outgoing.settle()
        except UnavailableError as error:
            log.warning("worker.stopped_while_away", queue=self.name, problem=str(error))
        finally:
            for subscription in self._subscriptions.values():
                subscription.close()
            self._subscriptions = {}

    def open(self) -> None:
        """Begin to take from the house's own queue in every lane, with nothing in hand."""
        self._outgoing = Outgoing(self._brokers, self._arrived.set, _nothing, limit=UNCONFIRMED)
        self._subscriptions = {lane: broker.subscribe(self.name, PREFETCH, self._arrived.set) for lane, broker in self._brokers.items()}

    def turn(self) -> bool:
        """Do what is there; say whether there was anything to do."""
        self._arrived.clear()
        self._outgoing.settle()
        if self._outgoing.full or not self._clock.lets_sign(self._signer):
            return False
        found = self._look_after()
        for lane, subscription in self._subscriptions.items():
            for delivery in subscription.take(PREFETCH, 0):
                found = True
                one = InHand(delivery, lane, subscription)
                self._outgoing.send(self._take(one), [one])
        return found

    def _look_after(self) -> bool:
        """Carry out what people ordered about parked control messages."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + LOOK_SECONDS
        if not self._duty.calls():
            return False
        carried, replies = self._duty.carry_out(self._open_again)
        self._outgoing.send(replies, ())
        return carried > 0

    def _open_again(self, one: InHand, *, careful: bool) -> tuple[Problem | None, list[tuple[str, Message]]]:
        """The way in for a parked control message (`review.carrying.Door`); nobody else's code runs here, so it is never careful."""
        if one.lane not in self._expected:
            return lane_gone(one.lane), []
        bundle = self._open(one)
        return (bundle, []) if isinstance(bundle, Problem) else (None, self._take_opened(bundle, one))

    def _take(self, one: InHand) -> list[tuple[str, Message]]:
        bundle = self._open(one)
        if isinstance(bundle, Problem):
            self._park(parking_of_message(one.delivery.message, one.lane, one.delivery.queue, bundle))
            return []
        return self._take_opened(bundle, one)

    def _open(self, one: InHand) -> OpenBundle | Problem:
        try:
            return open_message(one.delivery.message, self._trust, self._expected[one.lane], self._clock())
        except DistrustError as error:
            return error.problems[0]
        except Exception as error:
            log.exception("bundle.surprised", lane=one.lane, queue=one.delivery.queue)
            return Problem(code="opening-surprise", text=f"opening it failed unexpectedly: {type(error).__name__}")

    def _take_opened(self, bundle: OpenBundle, one: InHand) -> list[tuple[str, Message]]:
        for unreadable in bundle.unreadable:
            self._park_event(unreadable, unreadable.problem, bundle, one)
        if bundle.route.type == EventType.WITHDRAWAL:
            return self._take_withdrawals(bundle, one)
        replies = []
        for opened in _worth_an_answer(bundle):
            try:
                replies.extend(self._answer(bundle, opened, one.lane))
            except Exception as error:  # one control event must not end the worker on which all beacons depend
                if is_away(error):
                    raise
                self._park_event(opened, _problem_of(error, one), bundle, one)
        return [(one.lane, reply) for reply in replies]

    def _take_withdrawals(self, bundle: OpenBundle, one: InHand) -> list[tuple[str, Message]]:
        """Take a bundle of tombstones in and answer for their events at once."""
        taken = take_withdrawals(bundle, evidence_of(bundle, self._clock()), self._engine, self._stop, self._clock)
        for opened, problem in taken.unfit:
            self._park_event(opened, problem, bundle, one)
        return receipts(taken.answers, bundle.route.destination, self._environment(), self._signer.identity, self._clock())

    def _answer(self, bundle: OpenBundle, opened: OpenEvent, lane: str) -> list[Message]:
        event = opened.event
        if event.type == EventType.BEACON:
            return self._return_beacon(validate(event.type, event.data), bundle.route)
        if event.type == EventType.CRL:
            take_crl(validate(event.type, event.data), self._trust, lane, self._expected[lane].receiver.country)
            return []
        if event.type == EventType.MANIFEST:
            return [self._closings.answer(bundle.route, opened, bundle.jws, self._signer.identity)]
        if event.type == EventType.RECOVERY:
            return self._tell_what_is_held(validate(event.type, event.data), event.id, bundle.route)
        log.info("control.ignored", type=event.type, source=event.source)
        return []

    def _tell_what_is_held(self, asked: Recovery, request: str, route: Route) -> list[Message]:
        """Tell a post that forgot the next page of its own events; while the database is away nothing, and it asks again."""
        try:
            with self._engine.connect().execution_options(reads=True) as connection, connection.begin():
                answer = answer_recovery(connection, route.source.urn, asked, request, self._keys)
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("recovery.kept", source=route.source.urn, reason="the house's database does not answer")
            return []
        log.info("recovery.answered", source=route.source.urn, events=len(answer.entries), left=answer.left)
        return [recovery_message(answer, route, self._signer.identity, self._environment(), self._clock())]

    def _return_beacon(self, beacon: Beacon, route: Route) -> list[Message]:
        """Send a beacon home with our clock's time; while the database is away none goes home, and so nothing is sent again for it."""
        found = look_for(self._engine, route.source, beacon, self._clock())
        if found is None:
            log.warning("beacon.kept", source=route.source.urn, mark=beacon.mark, reason="the house's database does not answer")
            return []
        self._clock.wrote()
        ahead = found.clock.seconds
        self._watch.see(route.source.urn, ahead, self._clock(), certain=ahead > 0)  # late by the line, a clock seems to be behind
        return [returned_beacon(beacon, route, self._signer.identity, self._environment(), self._clock(), found)]

    def _environment(self) -> str:
        return next(iter(self._expected.values())).environment

    def _park_event(self, event: OpenEvent | UnreadableEvent, problem: Problem, bundle: OpenBundle, one: InHand) -> None:
        source = bundle.route.source.urn
        self._park(parking_of_event(event.raw, event.digest, problem, lane=one.lane, queue=one.delivery.queue, source=source))

    def _park(self, parking: Parking) -> None:
        log.warning("bundle.parked", lane=parking.lane, queue=parking.queue, code=parking.problem.code, problem=parking.problem.text)

        def transact() -> None:
            with self._engine.begin() as connection:
                parked.park(connection, [parking], self._clock())

        patiently(transact, self._engine, self._stop)


def _nothing(_: Sequence[str]) -> None:
    """No control event leaves a held row to finish."""


def _problem_of(error: Exception, one: InHand) -> Problem:
    if isinstance(error, PanjError):
        return error.problems[0]
    log.exception("control.surprised", lane=one.lane, queue=one.delivery.queue)
    return Problem(code="opening-surprise", text=f"it failed unexpectedly: {type(error).__name__}")


def _worth_an_answer(bundle: OpenBundle) -> tuple[OpenEvent, ...]:
    """Of many beacons in one bundle the last one says all: nobody has us sign and send five hundred answers to one message."""
    return bundle.events[-1:] if bundle.route.type == EventType.BEACON else bundle.events


def returned_beacon(beacon: Beacon, route: Route, identity: Identity, environment: str, moment: datetime, found: Found) -> Message:
    """The message that takes a post's beacon home: its mark, when it was here by our clock, and what we hold of the post."""
    house, post = route.destination, route.source
    held = {} if beacon.epoch is None else {"epoch": beacon.epoch, "highest": found.highest, "epochs": found.epochs}
    raw = control_event(
        EventType.BEACON.value,
        house,
        post,
        environment=environment,
        purpose=PURPOSE,
        legal_basis=LEGAL_BASIS,
        subject=f"beacon {beacon.mark}",
        data={"mark": beacon.mark, "sent_at": utc_text(beacon.sent_at), "returned_at": utc_text(moment), **held},
        now=moment,
    )
    return pack(Route(house, post, EventType.BEACON.value), [raw], [digest_of(raw)], identity, moment)


class Found(NamedTuple):
    """What the database said when a beacon came: the highest sequence that it holds of its epoch, which epochs of the post it knows, the
    latest first, and how the post's clock stands.
    """

    highest: int
    epochs: list[str]
    clock: known_posts.PostClock


def look_for(engine: Engine, post: Party, beacon: Beacon, now_utc: datetime) -> Found | None:
    """Note a post's beacon; None where the database would not load now: it does not answer, or may not be written."""
    try:
        with engine.begin() as connection:  # on SQLite this takes the write lock
            if connection.dialect.name == "postgresql" and connection.execute(text("SHOW transaction_read_only")).scalar_one() != "off":
                return None
            highest = 0 if beacon.epoch is None else inbox.highest(connection, post.urn, beacon.epoch)
            epochs = streams.epochs_of(connection, post.urn, BEACON_EPOCHS)
            return Found(highest, epochs, known_posts.note(connection, post, beacon.sent_at, now_utc))
    except Exception as error:
        if not is_away(error):
            raise
        return None


def expectations(country: str, lanes: Sequence[str], environment: str) -> dict[str, Expected]:
    """What the customs house of `country` takes from each lane."""
    return {lane: Expected(lane, Party(country, "customs"), environment) for lane in lanes}
