"""A lane (one virtual host) of RabbitMQ: a connection for publishing and another for consuming, because an alarm blocks publishers
and acknowledgements must go on (RabbitMQ guide "Memory and Disk Alarms").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future

from broker.amqp.consuming import Consuming, QueueSubscription
from broker.amqp.publishing import CONFIRM_SECONDS, Publishing
from broker.amqp.target import ConnectionTarget, target_of
from broker.ports import Message, Published
from broker.settings.model import KeyPair, Settings
from schemas.names import Party


class RabbitLane:
    """One virtual host of RabbitMQ. Connects by itself, for ever; making one never waits."""

    def __init__(self, target: ConnectionTarget, *, confirm_seconds: float = CONFIRM_SECONDS) -> None:
        self._target = target
        self._publishing = Publishing(target, confirm_seconds)
        self._consuming: Consuming | None = None

    def publish(self, messages: Sequence[Message]) -> list[Future[Published]]:
        """Publish to `outbound`, mandatory and persistent; each future ends with a `Published`."""
        return self._publishing.publish(messages)

    def subscribe(self, queue: str, prefetch: int, on_arrival: Callable[[], None] | None = None) -> QueueSubscription:
        """Consume from `queue`; called again, on the same connection. Not to be called from two threads at once the first time."""
        if self._consuming is None:
            self._consuming = Consuming(self._target)
        return self._consuming.subscribe(queue, prefetch, on_arrival)

    def connected(self) -> bool:
        """Whether a message would go out now."""
        return self._publishing.ready

    def blocked(self) -> bool:
        """Whether the broker blocks publishers: an alarm of its memory or disk (RabbitMQ guide "Memory and Disk Alarms")."""
        return self._publishing.blocked

    def trouble(self) -> str | None:
        """What is wrong with this lane, in the broker's words where there are some; None where all is well."""
        return self._publishing.trouble or (self._consuming.trouble if self._consuming else None)

    def renew(self) -> None:
        """Connect anew with the pair as it is on disk now, each connection once what is in hand on it is finished. Returns at once."""
        self._publishing.renew()
        if self._consuming is not None:
            self._consuming.renew()

    def close(self) -> None:
        """Close both connections; what is unconfirmed ends LOST, what is unacknowledged is redelivered later."""
        if self._consuming is not None:
            self._consuming.close()
        self._publishing.close()


def connect(settings: Settings, lane: str, unit: Party, pair: KeyPair) -> RabbitLane:
    """Connect one of our units to a lane of our own broker, by mutual TLS; SettingsError where its files cannot be used."""
    target = target_of(settings, lane, unit, pair)
    target.parameters("check")  # files that cannot be used are told now, and not at each attempt in a log
    return RabbitLane(target)


def connect_to(target: ConnectionTarget, *, confirm_seconds: float = CONFIRM_SECONDS) -> RabbitLane:
    """Connect to any broker, such as a test's own."""
    return RabbitLane(target, confirm_seconds=confirm_seconds)
