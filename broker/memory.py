"""A broker in memory, for integration teams' tests: lanes with `outbound` and `inbound`, bound queues, and federation between lanes.

It keeps `broker.ports` as RabbitMQ does (tests/contract runs one suite over both) and keeps nothing when the process ends.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from broker.ports import Delivery, Message, Published


@dataclass(slots=True)
class _Queued:
    message: Message
    redeliveries: int = 0


@dataclass(slots=True)
class _Queue:
    """A queue: what is ready, and who is told when something comes."""

    ready: deque[_Queued] = field(default_factory=deque)
    listeners: list[Callable[[], None]] = field(default_factory=list)


class MemoryExchange:
    """One virtual host in memory. Declare its queues, federate it with the partner's, and hand out `broker()`s to its users."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queues: dict[str, _Queue] = {}
        self._bindings: list[tuple[list[str], str]] = []
        self._downstream: list[MemoryExchange] = []
        self._cut = False
        self._away = False
        self._full = False
        self.alarm: str | None = None
        self._backlog: deque[Message] = deque()
        self.published = 0

    def declare(self, queue: str, *patterns: str) -> None:
        """Declare a queue and bind it to `inbound` with topic patterns (`*` one word, `#` any number)."""
        with self._changed:
            self._queues.setdefault(queue, _Queue())
            self._bindings += [(pattern.split("."), queue) for pattern in patterns]

    def federate(self, partner: MemoryExchange) -> None:
        """Let the partner's `inbound` take what is published to our `outbound`."""
        self._downstream.append(partner)

    def cut(self) -> None:
        """Cut the line to the partner: what is published waits, as in a federation queue."""
        with self._changed:
            self._cut = True

    def mend(self) -> None:
        """Mend the line; what waited crosses."""
        with self._changed:
            self._cut = False
            waiting, self._backlog = self._backlog, deque()
        for message in waiting:
            self._cross(message)

    def fail(self) -> None:
        """Let the broker be away: publishing is LOST and nothing comes in, until `recover`."""
        with self._changed:
            self._away = True

    def recover(self) -> None:
        """Let the broker be there again."""
        with self._changed:
            self._away = False
            self._changed.notify_all()

    def block(self, reason: str = "low on disk") -> None:
        """Raise an alarm: publishing is LOST, and brokers say that they are blocked, until `unblock`; consuming goes on."""
        self.alarm = reason

    def unblock(self) -> None:
        """End the alarm."""
        self.alarm = None

    def fill(self) -> None:
        """Let the queue for the partner be full: what is published is REFUSED, until `drain`."""
        self._full = True

    def drain(self) -> None:
        """Let it have room again."""
        self._full = False

    def broker(self) -> MemoryBroker:
        """Give a user's broker on this virtual host."""
        return MemoryBroker(self)

    def depth(self, queue: str) -> int:
        """How many messages are ready in a queue."""
        with self._changed:
            return len(self._queues[queue].ready)

    def publish(self, message: Message) -> Published:
        """Publish to `outbound`."""
        with self._changed:
            if self._away or self.alarm:
                return Published.LOST
            self.published += 1
            if self._full:
                return Published.REFUSED
            if not any(partner.routes(message.routing_key) for partner in self._downstream):
                return Published.RETURNED  # a federated exchange binds what its partner's queues are bound for, and nothing else
            if self._cut:
                self._backlog.append(message)
                return Published.CONFIRMED
        self._cross(message)
        return Published.CONFIRMED

    def _cross(self, message: Message) -> None:
        for partner in self._downstream:
            partner.deliver(message)

    def routes(self, routing_key: str) -> set[str]:
        """The queues of `inbound` that are bound for a routing key."""
        words = routing_key.split(".")
        return {queue for pattern, queue in self._bindings if _matches(pattern, words)}

    def deliver(self, message: Message) -> None:
        """Put a message into every queue of `inbound` that is bound for it."""
        names = self.routes(message.routing_key)
        with self._changed:
            listeners = [listener for name in names for listener in self._queues[name].listeners]
            for name in names:
                self._queues[name].ready.append(_Queued(message))
            self._changed.notify_all()
        for listener in listeners:
            listener()

    def listen(self, queue: str, listener: Callable[[], None]) -> None:
        """Have `listener` called whenever something comes into a queue."""
        with self._changed:
            self._queues[queue].listeners.append(listener)

    def take(self, queue: str, limit: int, wait_seconds: float, closed: Callable[[], bool]) -> list[_Queued]:
        """Take up to `limit` messages; wait for the first only."""
        end = time.monotonic() + wait_seconds
        with self._changed:
            while limit > 0 and not closed() and (self._away or not self._queues[queue].ready) and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._away or closed():
                return []
            ready = self._queues[queue].ready
            return [ready.popleft() for _ in range(min(limit, len(ready)))]

    def give_back(self, queue: str, queued: Iterable[_Queued]) -> None:
        """Put messages back at the head of a queue, in their order, one delivery older."""
        with self._changed:
            for each in reversed(list(queued)):
                self._queues[queue].ready.appendleft(_Queued(each.message, each.redeliveries + 1))
            self._changed.notify_all()
            listeners = list(self._queues[queue].listeners)
        for listener in listeners:
            listener()

    def wake(self) -> None:
        """Wake those who wait, so that they see that they were closed."""
        with self._changed:
            self._changed.notify_all()


class MemoryBroker:
    """A user's `broker.ports.Broker` on one virtual host in memory."""

    def __init__(self, exchange: MemoryExchange) -> None:
        self._exchange = exchange
        self._subscriptions: list[MemorySubscription] = []
        self._closed = False

    def publish(self, messages: Sequence[Message]) -> list[Future[Published]]:
        """Publish; each future has ended when this returns."""
        outcomes: list[Future[Published]] = []
        for message in messages:
            outcome: Future[Published] = Future()
            outcome.set_result(Published.LOST if self._closed else self._exchange.publish(message))
            outcomes.append(outcome)
        return outcomes

    def subscribe(self, queue: str, prefetch: int, on_arrival: Callable[[], None] | None = None) -> MemorySubscription:
        """Consume from a declared queue."""
        subscription = MemorySubscription(self._exchange, queue, prefetch)
        self._subscriptions.append(subscription)
        if on_arrival is not None:
            self._exchange.listen(queue, on_arrival)
        return subscription

    def connected(self) -> bool:
        """Whether it was not closed, and the exchange has no alarm."""
        return not self._closed and not self.blocked()

    def blocked(self) -> bool:
        """Whether the exchange has an alarm."""
        return self._exchange.alarm is not None

    def trouble(self) -> str | None:
        """What is wrong."""
        return f"the broker blocks publishers: {self._exchange.alarm}" if self.blocked() else None

    def renew(self) -> None:
        """Nothing to do: there is no connection."""

    def close(self) -> None:
        """Close; what was not acknowledged goes back."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.close()


class MemorySubscription:
    """Deliveries from one queue in memory, bounded by a prefetch."""

    def __init__(self, exchange: MemoryExchange, queue: str, prefetch: int) -> None:
        self._exchange = exchange
        self._queue = queue
        self._prefetch = prefetch
        self._lock = threading.Lock()
        self._held: dict[int, _Queued] = {}
        self._tags = 0
        self._closed = False

    def take(self, limit: int, wait_seconds: float) -> list[Delivery]:
        """Give up to `limit` deliveries, never more unacknowledged than the prefetch."""
        with self._lock:
            room = min(limit, self._prefetch - len(self._held))
        taken = self._exchange.take(self._queue, room, wait_seconds, lambda: self._closed)
        deliveries = []
        with self._lock:
            for each in taken:
                self._tags += 1
                self._held[self._tags] = each
                deliveries.append(Delivery(each.message, self._queue, each.redeliveries, self._tags))
        return deliveries

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Finish these."""
        with self._lock:
            for delivery in deliveries:
                if isinstance(delivery.tag, int):
                    self._held.pop(delivery.tag, None)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give these back."""
        with self._lock:
            held = [self._held.pop(delivery.tag, None) for delivery in deliveries if isinstance(delivery.tag, int)]
        self._exchange.give_back(self._queue, [each for each in held if each is not None])

    def close(self) -> None:
        """Stop; what was not acknowledged goes back."""
        self._closed = True
        with self._lock:
            held, self._held = list(self._held.values()), {}
        self._exchange.give_back(self._queue, held)
        self._exchange.wake()


def _matches(pattern: Sequence[str], words: Sequence[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_matches(pattern[1:], words[skip:]) for skip in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _matches(pattern[1:], words[1:])
