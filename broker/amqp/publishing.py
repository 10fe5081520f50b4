"""Publishing with confirms: mandatory, persistent, many outstanding at once. A promise is kept per message, whatever ends it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import pika
import structlog
from pika.channel import Channel
from pika.frame import Method
from pika.spec import Basic, BasicProperties

from broker.amqp.connection import ChannelKeeper, Connection
from broker.amqp.target import ConnectionTarget
from broker.ports import Message, Published

log = structlog.get_logger()

EXCHANGE = "outbound"
OUTSTANDING = 1_000  # messages handed to the broker and not confirmed
OUTSTANDING_BYTES = 32 * 1024**2
CONFIRM_SECONDS = 60.0  # then a message counts as LOST: it is sent again by whoever keeps it
_PERSISTENT = 2


@dataclass(slots=True)
class _Promise:
    """A message, what its publisher waits for, and until when."""

    message: Message
    outcome: Future[Published]
    until: float
    returned: bool = False

    def end(self, how: Published) -> None:
        if not self.outcome.done():
            self.outcome.set_result(how)


class Publishing:
    """The publishing half of a lane: one connection, one channel in confirm mode."""

    def __init__(self, target: ConnectionTarget, confirm_seconds: float = CONFIRM_SECONDS) -> None:
        self._confirm_seconds = confirm_seconds
        self._lane = target.virtual_host
        self._lock = threading.Lock()
        self._waiting: deque[_Promise] = deque()
        self._closed = False
        # From here on only the connection's thread touches these.
        self._outstanding: OrderedDict[int, _Promise] = OrderedDict()
        self._outstanding_bytes = 0
        self._tag = 0
        self._channel: Channel | None = None
        self._keeper = ChannelKeeper("publishing", self._channel_opened, self._channel_closed)
        self._blocked: str | None = None
        self._resting = False
        self._connection = Connection(target, "publishing", self)

    def publish(self, messages: Sequence[Message]) -> list[Future[Published]]:
        """Hand messages over, in order; see `broker.ports.Broker.publish`."""
        until = time.monotonic() + self._confirm_seconds
        promises = [_Promise(message, Future(), until) for message in messages]
        with self._lock:
            closed = self._closed
            if not closed:
                self._waiting.extend(promises)
        if closed:
            for promise in promises:
                promise.end(Published.LOST)
        elif not self._connection.call(self._pump):
            self._expire_waiting()
        return [promise.outcome for promise in promises]

    @property
    def ready(self) -> bool:
        """Whether a message would go out now."""
        return self._connection.stands and self._channel is not None and not self.blocked

    @property
    def blocked(self) -> bool:
        """Whether the broker has told that it blocks us; it does so only once something was published."""
        return self._blocked is not None

    @property
    def trouble(self) -> str | None:
        """Why it would not, in the broker's words where there are some."""
        if self.blocked:
            return f"the broker blocks publishers: {self._blocked}"
        return self._connection.trouble or self._keeper.trouble

    def renew(self) -> None:
        """Connect anew once all that is outstanding is confirmed; what is published meanwhile waits for it."""
        self._connection.renew()

    def close(self) -> None:
        """Close; what is unconfirmed ends LOST."""
        with self._lock:
            self._closed = True
        self._connection.close()
        self._lose_all()

    def opened(self, connection: pika.SelectConnection) -> None:
        """The connection stands."""
        self._blocked = None
        self._resting = False
        connection.add_on_connection_blocked_callback(lambda _, frame: self._block(frame.method.reason))
        connection.add_on_connection_unblocked_callback(lambda *_: self._unblock())
        self._keeper.start(connection)
        self._tick(connection)

    def closed(self) -> None:
        """The connection is gone: what was outstanding may or may not be at the broker. What waits goes out on the next one."""
        self._keeper.stop()
        self._channel = None
        self._end_outstanding(Published.LOST)
        self._expire_waiting()

    def rest(self) -> None:
        """Hand nothing more to the broker."""
        self._resting = True

    def resting(self) -> bool:
        """Whether all that was handed over is confirmed."""
        return not self._outstanding

    def _block(self, reason: str) -> None:
        self._blocked = reason
        log.warning("publishing.blocked", lane=self._lane, reason=reason, advice="free memory or disk on the broker's machine")

    def _unblock(self) -> None:
        self._blocked = None
        log.info("publishing.unblocked", lane=self._lane)
        self._pump()

    def _tick(self, connection: pika.SelectConnection) -> None:
        if not connection.is_open:
            return
        self._expire_waiting()
        now = time.monotonic()
        for tag in [tag for tag, promise in self._outstanding.items() if promise.until < now]:
            self._finish(tag, Published.LOST)
        connection.ioloop.call_later(1.0, partial(self._tick, connection))

    def _channel_opened(self, channel: Channel) -> None:
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._confirmed, callback=lambda _: self._begin(channel))

    def _begin(self, channel: Channel) -> None:
        self._tag = 0  # confirms count a channel's messages from 1
        self._channel = channel
        self._pump()

    def _channel_closed(self, by_broker: bool) -> None:
        # The broker closes a channel for what was published on it: access refused, no such exchange.
        self._channel = None
        self._end_outstanding(Published.REFUSED if by_broker else Published.LOST)

    def _pump(self) -> None:
        channel = self._channel
        while channel is not None and channel.is_open and not self.blocked and not self._resting:
            if self._outstanding and (len(self._outstanding) >= OUTSTANDING or self._outstanding_bytes >= OUTSTANDING_BYTES):
                return
            with self._lock:
                if not self._waiting:
                    return
                promise = self._waiting.popleft()
            self._send(channel, promise)

    def _send(self, channel: Channel, promise: _Promise) -> None:
        message = promise.message
        self._tag += 1
        self._outstanding[self._tag] = promise
        self._outstanding_bytes += len(message.body)
        channel.basic_publish(
            EXCHANGE,
            message.routing_key,
            message.body,
            BasicProperties(
                content_type=message.content_type,
                content_encoding=message.content_encoding,
                headers=dict(message.headers),
                delivery_mode=_PERSISTENT,
                message_id=str(self._tag),  # so that a return finds its message; it means nothing to anyone else
            ),
            mandatory=True,
        )

    def _returned(self, _channel: Channel, _method: Basic.Return, properties: BasicProperties, _body: bytes) -> None:
        # An unroutable message is returned first and confirmed then (RabbitMQ guide "Consumer Acknowledgements and Publisher Confirms").
        promise = self._outstanding.get(int(properties.message_id))
        if promise is not None:
            promise.returned = True

    def _confirmed(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        self._keeper.works()
        tag = frame.method.delivery_tag
        how = Published.CONFIRMED if isinstance(frame.method, Basic.Ack) else Published.REFUSED
        if frame.method.multiple:
            while self._outstanding and (first := next(iter(self._outstanding))) <= tag:
                self._finish(first, how)
        else:
            self._finish(tag, how)
        self._pump()

    def _finish(self, tag: int, how: Published) -> None:
        promise = self._outstanding.pop(tag, None)
        if promise is None:
            return  # it had been given up as LOST
        self._outstanding_bytes -= len(promise.message.body)
        promise.end(Published.RETURNED if promise.returned and how is Published.CONFIRMED else how)

    def _end_outstanding(self, how: Published) -> None:
        for tag in list(self._outstanding):
            self._finish(tag, how)

    def _expire_waiting(self) -> None:
        now = time.monotonic()
        expired = []
        with self._lock:
            while self._waiting and self._waiting[0].until < now:
                expired.append(self._waiting.popleft())
        for promise in expired:
            promise.end(Published.LOST)

    def _lose_all(self) -> None:
        with self._lock:
            waiting, self._waiting = list(self._waiting), deque()
        for promise in waiting:
            promise.end(Published.LOST)
