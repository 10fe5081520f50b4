"""From deliveries to arrivals: every bundle opened on its own, what is not to be trusted parked. Nothing is looked up or loaded here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from broker.bundle.open import Expected, OpenBundle, OpenEvent, open_message
from broker.ports import Delivery, Subscription
from broker.trust.anchors import TrustStore
from consumers.evidence import EvidenceRow
from consumers.inbox import Place
from consumers.parked import Parking, parking_of_event, parking_of_message
from schemas.errors import DistrustError, Problem
from schemas.names import STREAM_TYPES

log = structlog.get_logger()

SUSPECT_REDELIVERIES = 3  # as often must a delivery have come back before it is opened one event at a time


@dataclass(frozen=True, slots=True, eq=False)
class InHand:
    """A delivery that this worker holds, with its lane and the subscription that acknowledges it."""

    delivery: Delivery
    lane: str
    subscription: Subscription

    @property
    def suspect(self) -> bool:
        """Whether its worker seems to have died of it, several times."""
        return self.delivery.redeliveries >= SUSPECT_REDELIVERIES


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """One event out of a trusted bundle, with its evidence."""

    opened: OpenEvent
    lane: str
    queue: str
    evidence: EvidenceRow

    @property
    def id(self) -> str:
        """The event's id."""
        return self.opened.event.id

    @property
    def place(self) -> Place:
        """Its place in its stream."""
        event = self.opened.event
        return (event.source, event.destination, event.type, event.epoch or "", event.sequence or 0)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a number of deliveries held."""

    arrivals: tuple[Arrival, ...]
    parkings: tuple[Parking, ...]


def open_deliveries(deliveries: Sequence[InHand], trust: TrustStore, expected: Mapping[str, Expected], now_utc: datetime) -> Opened:
    """Open each delivery against what its lane may bring; one that cannot be trusted or read is parked and costs the others nothing."""
    arrivals: list[Arrival] = []
    parkings: list[Parking] = []
    for one in deliveries:
        opened = open_delivery(one, trust, expected[one.lane], now_utc)
        arrivals.extend(opened.arrivals)
        parkings.extend(opened.parkings)
    return Opened(tuple(arrivals), tuple(parkings))


def open_delivery(one: InHand, trust: TrustStore, expected: Expected, now_utc: datetime) -> Opened:
    """Open one delivery."""
    message, queue = one.delivery.message, one.delivery.queue
    try:
        bundle = open_message(message, trust, expected, now_utc)
    except DistrustError as error:
        log.warning("bundle.parked", lane=one.lane, queue=queue, code=error.code, problem=str(error))
        return Opened((), (parking_of_message(message, one.lane, queue, error.problems[0]),))
    except Exception as error:
        log.exception("bundle.surprised", lane=one.lane, queue=queue)
        problem = Problem(code="opening-surprise", text=f"opening it failed unexpectedly: {type(error).__name__}")
        return Opened((), (parking_of_message(message, one.lane, queue, problem),))
    return _sorted(bundle, one, now_utc)


def evidence_of(bundle: OpenBundle, now_utc: datetime) -> EvidenceRow:
    """The signature of a bundle, to be kept with what came in it."""
    return EvidenceRow(hashlib.sha256(bundle.jws.encode()).digest(), bundle.jws, bundle.signatory, now_utc)


def _sorted(bundle: OpenBundle, one: InHand, now_utc: datetime) -> Opened:
    queue = one.delivery.queue
    evidence = evidence_of(bundle, now_utc)
    if bundle.route.type not in STREAM_TYPES:
        problem = Problem(code="type-misplaced", text="a control event has no place in a consumer's queue", value=bundle.route.type)
        return Opened((), (parking_of_message(one.delivery.message, one.lane, queue, problem),))
    parkings = tuple(
        parking_of_event(unreadable.raw, unreadable.digest, unreadable.problem, lane=one.lane, queue=queue, source=bundle.route.source.urn)
        for unreadable in bundle.unreadable
    )
    for parking in parkings:
        log.warning("event.parked", lane=one.lane, queue=queue, code=parking.problem.code, source=parking.claimed_source)
    return Opened(tuple(Arrival(opened, one.lane, queue, evidence) for opened in bundle.events), parkings)
