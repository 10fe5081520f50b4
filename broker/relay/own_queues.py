"""A unit's own queue in every lane: what comes is taken, opened and gathered, and acknowledged only once what it said is written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from broker.outbox.values import Occurrences
from broker.ports import Broker, Delivery, Subscription
from broker.relay.arrivals import Mailbox
from broker.relay.recovering import Recoveries
from broker.settings.model import Settings
from broker.trust.anchors import TrustStore
from schemas.names import Party

PREFETCH = 50  # control messages in hand: a receipt holds up to 500 answers


class OwnQueues:
    """The queues of `party`, by lane. `subscriptions` is empty while nobody listens."""

    def __init__(self, settings: Settings, party: Party, trust: TrustStore, brokers: Mapping[str, Broker]) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self._unit = party.unit
        self._brokers = brokers
        self._mailboxes = {lane: Mailbox(lane, party, settings.environment, trust) for lane in brokers}
        self._to_acknowledge: list[tuple[Subscription, Sequence[Delivery]]] = []

    def listen(self, wake: Callable[[], None]) -> None:
        """Begin to listen; `wake` is called when something comes."""
        self._to_acknowledge = []
        self.subscriptions = {country: broker.subscribe(self._unit, PREFETCH, wake) for country, broker in self._brokers.items()}

    def close(self) -> None:
        """Stop listening; what was not acknowledged comes again."""
        for subscription in self.subscriptions.values():
            subscription.close()
        self.subscriptions = {}

    def take(self, country: str, pending: Occurrences, recoveries: Recoveries, now: datetime) -> None:
        """Gather what came home through one lane."""
        subscription = self.subscriptions[country]
        deliveries = subscription.take(PREFETCH, 0)
        if not deliveries:
            return
        arrived = self._mailboxes[country].open(deliveries, now)
        pending.settlements.extend(arrived.settlements)
        pending.receipts.extend(arrived.receipts)
        pending.returned.extend(arrived.returned)
        pending.parked.extend(arrived.parked)
        pending.told.extend(recoveries.read(country, arrived.told))
        pending.answers.extend(arrived.answers)
        pending.wishes.extend(arrived.wishes)
        self._to_acknowledge.append((subscription, deliveries))

    def acknowledge(self) -> bool:
        """Acknowledge what was taken: all that it said is written down. Gives whether there was anything."""
        acknowledge, self._to_acknowledge = self._to_acknowledge, []
        for subscription, deliveries in acknowledge:
            subscription.ack(deliveries)
        return bool(acknowledge)
