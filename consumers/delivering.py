"""Answers on their way: receipts published, confirms awaited while the next batch is worked on, deliveries acknowledged after them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog

from broker.ports import Broker, Delivery, Message, Published, Subscription
from consumers.opening import InHand

log = structlog.get_logger()

AGAIN_SECONDS = 1.0  # between two attempts to publish what the broker did not confirm


@dataclass(slots=True)
class _Sending:
    lane: str
    message: Message
    future: Future[Published]
    again_at: float = 0.0


@dataclass(slots=True)
class _Batch:
    """What one batch left to be confirmed, and what to do then."""

    deliveries: Sequence[InHand]
    finished_ids: Sequence[str]
    sending: list[_Sending] = field(default_factory=list)


class Outgoing:
    """The answers of the last batches, at most `limit` of them unconfirmed. Used by one thread; `wake` is called from the I/O threads."""

    def __init__(
        self, brokers: Mapping[str, Broker], wake: Callable[[], None], finish: Callable[[Sequence[str]], None], limit: int = 8
    ) -> None:
        self._brokers = brokers
        self._wake = wake
        self._finish = finish
        self._limit = limit
        self._batches: list[_Batch] = []
        self._hindered: set[str] = set()  # lanes whose receipts the broker does not take for now

    @property
    def full(self) -> bool:
        """Whether so much is unconfirmed that no further batch may begin."""
        return len(self._batches) >= self._limit

    @property
    def empty(self) -> bool:
        """Whether everything is confirmed and acknowledged."""
        return not self._batches

    def send(self, messages: Sequence[tuple[str, Message]], deliveries: Sequence[InHand], finished_ids: Sequence[str] = ()) -> None:
        """Publish (lane, message) pairs; once all are confirmed, acknowledge the deliveries and finish the held rows of these ids."""
        batch = _Batch(deliveries, finished_ids)
        by_lane: dict[str, list[Message]] = defaultdict(list)
        for lane, message in messages:
            by_lane[lane].append(message)
        for lane, ours in by_lane.items():
            if lane not in self._brokers:
                log.warning("receipt.unroutable", lane=lane, reason="the settings name no such lane any more")
                continue
            for message, future in zip(ours, self._publish(lane, ours), strict=True):
                batch.sending.append(_Sending(lane, message, future))
        self._batches.append(batch)
        self.settle()

    def settle(self) -> None:
        """Take up confirms: acknowledge what is complete, publish again what the broker did not take."""
        for batch in list(self._batches):
            batch.sending = [sending for sending in batch.sending if not self._confirmed(sending)]
            if not batch.sending:
                self._batches.remove(batch)
                acknowledge(batch.deliveries)
                if batch.finished_ids:
                    self._finish(batch.finished_ids)

    def _confirmed(self, sending: _Sending) -> bool:
        if not sending.future.done():
            return False
        result = sending.future.result()
        if result is Published.CONFIRMED:
            if sending.lane in self._hindered:
                self._hindered.discard(sending.lane)
                log.info("receipt.unhindered", lane=sending.lane)
            return True
        if result is Published.RETURNED:
            # The post's queue is gone; its rows stay in its outbox and are answered when they come again.
            log.warning("receipt.unroutable", lane=sending.lane, routing_key=sending.message.routing_key)
            return True
        now = time.monotonic()
        if sending.again_at == 0.0:
            if sending.lane not in self._hindered:  # told once, however long it takes
                self._hindered.add(sending.lane)
                log.warning("receipt.unconfirmed", lane=sending.lane, result=result.value, reason=self._brokers[sending.lane].trouble())
            sending.again_at = now + AGAIN_SECONDS
        elif now >= sending.again_at:
            (sending.future,) = self._publish(sending.lane, [sending.message])
            sending.again_at = 0.0
        return False

    def _publish(self, lane: str, messages: Sequence[Message]) -> list[Future[Published]]:
        futures = self._brokers[lane].publish(messages)
        for future in futures:
            future.add_done_callback(lambda _: self._wake())
        return futures


def acknowledge(deliveries: Sequence[InHand]) -> None:
    """Acknowledge deliveries with the subscription that each came from."""
    by_subscription: dict[int, tuple[Subscription, list[Delivery]]] = {}
    for one in deliveries:
        by_subscription.setdefault(id(one.subscription), (one.subscription, []))[1].append(one.delivery)
    for subscription, ours in by_subscription.values():
        subscription.ack(ours)
