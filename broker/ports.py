"""The seam to the message broker: what the rest of Panj asks of it, in batches. `broker.amqp` is RabbitMQ, `broker.memory` a broker
in memory for integration teams' tests; one contract suite (tests/contract) runs over both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One AMQP message, a bundle as it travels. `headers` carry the signature (`jws`) and copies for routing and people."""

    routing_key: str
    body: bytes
    headers: Mapping[str, str | int]
    content_type: str
    content_encoding: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """A message taken from a queue and not yet acknowledged. `redeliveries`: how often it was delivered before (0 at first)."""

    message: Message
    queue: str
    redeliveries: int
    tag: object = field(repr=False)


class Published(Enum):
    """How a publish ended. Only CONFIRMED means that the broker holds the message on disk; the others are tried again."""

    CONFIRMED = "confirmed"
    RETURNED = "returned"  # no queue is bound for its routing key (`mandatory`)
    REFUSED = "refused"  # basic.nack, or the channel was closed for it
    LOST = "lost"  # the connection ended before the confirm


class Subscription(Protocol):
    """Deliveries from one queue, bounded by a prefetch; all methods may be called from any thread."""

    def take(self, limit: int, wait_seconds: float) -> list[Delivery]:
        """Give up to `limit` deliveries that are there; wait up to `wait_seconds` for the first one only."""

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Finish these deliveries. Those of a connection that is gone are silently forgotten: the broker redelivers them."""

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give these deliveries back to the queue, to be delivered again."""

    def close(self) -> None:
        """Stop taking; what was not acknowledged goes back to the queue."""


class Broker(Protocol):
    """One virtual host of a broker. Reconnects by itself, for ever; publishing and consuming use separate connections."""

    def publish(self, messages: Sequence[Message]) -> list[Future[Published]]:
        """Publish to `outbound`, mandatory and persistent; each future ends with a `Published`, never with an exception.

        While the broker is away or has blocked publishers (an alarm), futures stay open up to a bounded time and then end LOST.
        """

    def subscribe(self, queue: str, prefetch: int, on_arrival: Callable[[], None] | None = None) -> Subscription:
        """Consume from `queue`; `on_arrival` is called from the I/O thread when a delivery has come: it may only set a flag."""

    def connected(self) -> bool:
        """Whether publishing works at this moment, as far as this side knows."""

    def blocked(self) -> bool:
        """Whether the broker is there and takes nothing for now: an alarm of its memory or disk."""

    def trouble(self) -> str | None:
        """What is wrong, in the broker's words where there are some; None where all is well."""

    def renew(self) -> None:
        """Connect anew, with the key and certificate as they are on disk now, once what is in hand is finished. Returns at once.

        Nothing is lost; what was delivered and is not acknowledged within some seconds is delivered again.
        """

    def close(self) -> None:
        """Close the connections; what is unconfirmed ends LOST, what is unacknowledged is redelivered later."""
