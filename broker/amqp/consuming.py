"""Consuming: deliveries come in with the connection's thread and are taken by others; acknowledgements go back many at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pika
from pika.channel import Channel
from pika.frame import Method
from pika.spec import Basic, BasicProperties

from broker.amqp.connection import ChannelKeeper, Connection
from broker.amqp.reading import read_message, read_redeliveries
from broker.amqp.target import ConnectionTarget
from broker.ports import Delivery


@dataclass(frozen=True, slots=True)
class _Tag:
    """A delivery tag and the life of the channel that it belongs to: tags of an earlier life mean nothing any more."""

    life: int
    number: int


class Consuming:
    """The consuming half of a lane: one connection, one channel per subscription."""

    def __init__(self, target: ConnectionTarget) -> None:
        self._lock = threading.Lock()
        self._subscriptions: list[QueueSubscription] = []
        self._standing: pika.SelectConnection | None = None
        self._connection = Connection(target, "consuming", self)

    def subscribe(self, queue: str, prefetch: int, on_arrival: Callable[[], None] | None) -> QueueSubscription:
        """Consume from `queue`, on this connection and on every later one."""
        subscription = QueueSubscription(queue, prefetch, on_arrival, self._connection.call, self._forget)
        with self._lock:
            self._subscriptions.append(subscription)
        self._connection.call(partial(self._start, subscription))
        return subscription

    @property
    def trouble(self) -> str | None:
        """Why nothing comes in, in the broker's words where there are some."""
        with self._lock:
            channels = [subscription.trouble for subscription in self._subscriptions]
        return self._connection.trouble or next((trouble for trouble in channels if trouble), None)

    def renew(self) -> None:
        """Connect anew once all that was delivered is acknowledged; what is not by then is delivered again."""
        self._connection.renew()

    def close(self) -> None:
        """Close; what was not acknowledged goes back to its queue."""
        self._connection.close()

    def opened(self, connection: pika.SelectConnection) -> None:
        """The connection stands."""
        self._standing = connection
        with self._lock:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.start(connection)

    def rest(self) -> None:
        """Take no more deliveries."""
        with self._lock:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.rest()

    def resting(self) -> bool:
        """Whether all deliveries are acknowledged."""
        with self._lock:
            return all(subscription.resting for subscription in self._subscriptions)

    def closed(self) -> None:
        """The connection is gone: the broker delivers again what was not acknowledged."""
        self._standing = None
        with self._lock:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.stop()

    def _start(self, subscription: QueueSubscription) -> None:
        if self._standing is not None:
            subscription.start(self._standing)

    def _forget(self, subscription: QueueSubscription) -> None:
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)


class QueueSubscription:
    """One queue's deliveries. `take`, `ack`, `release` and `close` may be called from any thread."""

    def __init__(
        self,
        queue: str,
        prefetch: int,
        on_arrival: Callable[[], None] | None,
        call: Callable[[Callable[[], None]], bool],
        forget: Callable[[QueueSubscription], None],
    ) -> None:
        self._queue = queue
        self._prefetch = prefetch
        self._on_arrival = on_arrival
        self._call = call
        self._forget = forget
        self._arrived: deque[Delivery] = deque()
        self._some = threading.Condition()
        self._closed = False
        # From here on only the connection's thread touches these.
        self._life = 0
        self._channel: Channel | None = None
        self._consumer = ""
        self._unacknowledged: deque[int] = deque()
        self._finished: set[int] = set()
        self._keeper = ChannelKeeper(f"consuming {queue}", self._channel_opened, self._channel_closed)

    def take(self, limit: int, wait_seconds: float) -> list[Delivery]:
        """Give up to `limit` deliveries that are there; wait for the first one only."""
        end = time.monotonic() + wait_seconds
        with self._some:
            while not self._arrived and not self._closed and (left := end - time.monotonic()) > 0:
                self._some.wait(left)
            return [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Finish these deliveries."""
        tags = [delivery.tag for delivery in deliveries]
        self._call(partial(self._ack, tags))

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give these deliveries back to the queue."""
        tags = [delivery.tag for delivery in deliveries]
        self._call(partial(self._release, tags))

    def close(self) -> None:
        """Stop taking; what was not acknowledged goes back to the queue."""
        with self._some:
            self._closed = True
            self._arrived.clear()
            self._some.notify_all()
        self._forget(self)
        self._call(self._close_channel)

    @property
    def trouble(self) -> str | None:
        """Why nothing comes in."""
        return self._keeper.trouble

    def start(self, connection: pika.SelectConnection) -> None:
        """Open the channel on a fresh connection."""
        if not self._closed:
            self._keeper.start(connection)

    def stop(self) -> None:
        """The connection is gone."""
        self._keeper.stop()
        self._abandon()

    def rest(self) -> None:
        """Have the broker deliver no more."""
        if self._channel is not None and self._channel.is_open and self._consumer:
            self._channel.basic_cancel(self._consumer, callback=lambda _: None)

    @property
    def resting(self) -> bool:
        """Whether all that was delivered is acknowledged."""
        return not self._unacknowledged

    def _channel_opened(self, channel: Channel) -> None:
        self._life += 1
        self._channel = channel
        channel.add_on_cancel_callback(lambda _: self._cancelled(channel))
        # Prefetch per consumer: quorum queues know no global one (RabbitMQ guide "Quorum Queues", feature matrix).
        channel.basic_qos(prefetch_count=self._prefetch, callback=lambda _: self._consume(channel))

    def _consume(self, channel: Channel) -> None:
        self._consumer = channel.basic_consume(self._queue, partial(self._delivered, self._life), callback=self._consuming)

    def _consuming(self, _: Method[Basic.ConsumeOk]) -> None:
        self._keeper.works()

    def _cancelled(self, channel: Channel) -> None:
        # The queue was deleted, or its leader went away: the channel stays open and nothing comes any more.
        if channel.is_open:
            channel.close()
        self._abandon()
        self._keeper.again("consumer cancelled by the broker: the queue was deleted or moved")

    def _channel_closed(self, _: bool) -> None:
        self._abandon()

    def _abandon(self) -> None:
        self._channel = None
        self._consumer = ""
        self._unacknowledged.clear()
        self._finished.clear()
        with self._some:
            self._arrived.clear()  # they will be delivered again; taken ones are in someone's hands and their acks are forgotten

    def _delivered(self, life: int, _: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        if life != self._life:
            return
        number = method.delivery_tag
        self._unacknowledged.append(number)
        message = read_message(method.routing_key, body, properties)
        delivery = Delivery(message, self._queue, read_redeliveries(method, properties), _Tag(life, number))
        with self._some:
            self._arrived.append(delivery)
            self._some.notify()
        if self._on_arrival is not None:
            self._on_arrival()

    def _ack(self, tags: Sequence[object]) -> None:
        channel = self._channel
        if channel is None or not channel.is_open:
            return
        numbers = [tag.number for tag in tags if isinstance(tag, _Tag) and tag.life == self._life]
        self._finished.update(numbers)
        last = 0
        while self._unacknowledged and self._unacknowledged[0] in self._finished:
            last = self._unacknowledged.popleft()
            self._finished.discard(last)
        if last:
            channel.basic_ack(last, multiple=True)
        for number in numbers:
            if number > last and number in self._finished:
                channel.basic_ack(number)
                self._finished.discard(number)
                self._unacknowledged.remove(number)

    def _release(self, tags: Sequence[object]) -> None:
        channel = self._channel
        if channel is None or not channel.is_open:
            return
        for tag in tags:
            if isinstance(tag, _Tag) and tag.life == self._life and tag.number in self._unacknowledged:
                self._unacknowledged.remove(tag.number)
                channel.basic_nack(tag.number, requeue=True)

    def _close_channel(self) -> None:
        self._keeper.stop()
        if self._channel is not None and self._channel.is_open:
            self._channel.close()
        self._abandon()
