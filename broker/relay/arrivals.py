"""What comes home to a unit's own queue: receipts become settlements, beacons their return, answers to manifests closings; CRLs go to the
trust store.

Opening and judging only; nothing is recorded or acknowledged here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from broker.bundle.open import Expected, OpenBundle, OpenEvent, open_message
from broker.outbox.closing_values import ManifestAnswered, Wish
from broker.outbox.values import BeaconReturned, ParkedControl, ReceivedReceipt, Settlement, Told
from broker.ports import Delivery, Message
from broker.revocation import take_crl
from broker.trust.anchors import TrustStore
from broker.trust.signing import unb64url
from schemas.content import validate
from schemas.control import Beacon, Crl, ManifestAnswer, ManifestRequest, Receipt, RecoveryAnswer
from schemas.errors import DistrustError, PanjError, Problem, cleaned
from schemas.event import digest_of
from schemas.names import Party, house_of

log = structlog.get_logger()

REDELIVERED_TOO_OFTEN = 5  # a message that this process died of several times is not opened again


@dataclass(slots=True)
class Arrived:
    """What a batch of control messages said."""

    settlements: list[Settlement] = field(default_factory=list)
    receipts: list[ReceivedReceipt] = field(default_factory=list)
    returned: list[BeaconReturned] = field(default_factory=list)
    parked: list[ParkedControl] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    answers: list[ManifestAnswered] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)


class Mailbox:
    """Opens what came to `party` through one lane. Everything in it is said by that lane's customs house, or is parked."""

    def __init__(self, lane: str, party: Party, environment: str, trust: TrustStore) -> None:
        self._lane = lane
        self._house = house_of(lane)
        self._trust = trust
        self._expected = Expected(lane, party, environment)

    def open(self, deliveries: Sequence[Delivery], now: datetime) -> Arrived:
        """Open them all; one that is bad costs nobody else."""
        arrived = Arrived()
        for delivery in deliveries:
            try:
                self._open(delivery, arrived, now)
            except PanjError as error:
                self._park(delivery.message, error.problems[0], arrived)
            except Exception as error:
                log.exception("bundle.surprised", lane=self._lane)
                self._park(delivery.message, Problem(code="opening-surprise", text=f"opening it failed: {type(error).__name__}"), arrived)
        return arrived

    def _open(self, delivery: Delivery, arrived: Arrived, now: datetime) -> None:
        if delivery.redeliveries >= REDELIVERED_TOO_OFTEN:
            raise DistrustError("control-redelivered", "it was delivered several times and never finished", value=delivery.redeliveries)
        bundle = open_message(delivery.message, self._trust, self._expected, now)
        if bundle.route.source != self._house:
            raise DistrustError("receipt-not-from-house", f"only {self._house.urn} answers here", value=bundle.route.source.urn)
        for unreadable in bundle.unreadable:
            self._park(delivery.message, unreadable.problem, arrived)
        for event in bundle.events:
            try:
                self._read(bundle, event, arrived, now)
            except PanjError as error:
                self._park(delivery.message, error.problems[0], arrived)

    def _read(self, bundle: OpenBundle, opened: OpenEvent, arrived: Arrived, now: datetime) -> None:
        event, house = opened.event, bundle.route.source.urn
        said = validate(event.type, event.data)
        if isinstance(said, Receipt):
            arrived.receipts.append(ReceivedReceipt(opened.digest, house, opened.raw, bundle.jws, event.time))
            arrived.settlements.extend(
                # A digest that is not canonical base64url is nobody's: it fits no row and is counted so.
                Settlement(answer.id, unb64url(answer.digest) or b"", house, answer.fate, answer.problems, answer.sealed, opened.digest)
                for answer in said.answers
            )
        elif isinstance(said, Beacon):
            arrived.returned.append(BeaconReturned(house, said.mark, said.returned_at, now, said.epoch, said.highest, said.epochs))
        elif isinstance(said, RecoveryAnswer):
            arrived.told.append(Told(house, said, ReceivedReceipt(opened.digest, house, opened.raw, bundle.jws)))
        elif isinstance(said, ManifestAnswer):
            arrived.answers.append(ManifestAnswered(house, said, opened.digest, now, bundle.jws, opened.raw))
        elif isinstance(said, ManifestRequest):
            arrived.wishes.append(Wish(house, f"asked by {house}: {cleaned(said.reason)}", now, said.everything))
        elif isinstance(said, Crl):
            take_crl(said, self._trust, self._lane, self._expected.receiver.country)
        else:
            log.info("control.ignored", type=event.type, source=event.source)

    def _park(self, message: Message, problem: Problem, arrived: Arrived) -> None:
        log.warning("bundle.parked", lane=self._lane, code=problem.code, problem=problem.text, field=problem.field)
        arrived.parked.append(ParkedControl(digest_of(message.body), self._lane, problem.code))
