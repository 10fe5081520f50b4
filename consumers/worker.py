"""One consumer's worker: takes what is there from its queue in every lane, up to a batch, and never waits for more."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence

import structlog

from broker.bundle.lines import claimed_bytes
from broker.ports import Broker, Subscription
from broker.trust.keys import Signer
from consumers import held
from consumers.answers import Answered, receipts
from consumers.clock import Clock, HouseClock, now_utc
from consumers.delivering import Outgoing
from consumers.opening import InHand
from consumers.patience import patiently
from consumers.pipeline import Pipeline
from consumers.retrying import resume, try_again
from consumers.review.carrying import Duty
from consumers.review.doors import ConsumerDoor
from consumers.suspects import take_in_carefully
from schemas.errors import UnavailableError
from schemas.limits import BUNDLE_EVENTS, UNPACKED_BYTES
from schemas.names import Party

log = structlog.get_logger()

PREFETCH = 100  # messages: enough for the broker to be ahead of a batch, little enough to hold whole bundles in memory
BATCH_BYTES = UNPACKED_BYTES  # of bodies, unpacked: in memory JSON may need thirty times as much, and 20 kB may unpack to the whole limit
IDLE_SECONDS = 0.5  # how long an idle worker sleeps unless a delivery or a confirm wakes it
LOOK_SECONDS = 1.0  # between two looks at what is held and what people ordered: one small query each
LAST_CONFIRMS_SECONDS = 4.0  # how long a stopping worker waits for its last receipts' confirms


class Worker:
    """A consumer at work, over all lanes, in the thread that calls `run`."""

    def __init__(
        self,
        pipeline: Pipeline,
        house: Party,
        environment: str,
        signer: Signer,
        brokers: Mapping[str, Broker],
        clock: Clock = now_utc,
    ) -> None:
        self._pipeline = pipeline
        self._house = house
        self._environment = environment
        self._signer = signer
        self._clock = HouseClock.of(clock)
        self._arrived = threading.Event()
        self._queue = f"{house.unit}.{pipeline.consumer.queue}"
        self._brokers = brokers
        self._outgoing = Outgoing(brokers, self._arrived.set, self._finish)
        self._subscriptions: dict[str, Subscription] = {}
        self._waiting: deque[InHand] = deque()
        self._look_at = 0.0
        self._resuming = False
        self._duty = Duty(pipeline.engine, pipeline.stop, pipeline.clock, (pipeline.consumer.queue, self._queue))
        self._door = ConsumerDoor(pipeline)

    @property
    def name(self) -> str:
        """The queue's name, for logs and threads."""
        return self._queue

    def run(self) -> None:
        """Work until the pipeline's `stop` is set; the batch in hand is finished, what was only taken goes back to its queue."""
        stop = self._pipeline.stop
        if not self._subscriptions:
            self.open()
        try:
            while not stop.is_set():
                if not self.turn():
                    self._arrived.wait(IDLE_SECONDS)
            self._await_last_confirms()
        except UnavailableError as error:
            log.warning("worker.stopped_while_away", queue=self._queue, problem=str(error))  # not acked: it all comes again
        finally:
            for subscription in self._subscriptions.values():
                subscription.close()
            self._subscriptions = {}

    def open(self) -> None:
        """Begin to take from the queue in every lane, with nothing in hand: also after a fault, when what was in hand comes again."""
        self._outgoing = Outgoing(self._brokers, self._arrived.set, self._finish)
        self._waiting.clear()
        self._subscriptions = {lane: broker.subscribe(self._queue, PREFETCH, self._arrived.set) for lane, broker in self._brokers.items()}

    def turn(self) -> bool:
        """Do one batch of what is there; say whether there was anything to do."""
        self._arrived.clear()
        self._outgoing.settle()
        if self._outgoing.full or not self._clock.lets_sign(self._signer):
            return False
        looked = self._look_after()
        if self._resuming:
            return True  # what a suspension had held goes before what comes now, so that versions keep their order
        batch = self._next_batch()
        if not batch:
            return looked
        careful = [one for one in batch if one.suspect]
        usual = [one for one in batch if not one.suspect]
        if usual:
            self._answer(self._pipeline.process(usual), usual)
        for one in careful:
            self._answer(take_in_carefully(self._pipeline, one), [one])
        self._clock.wrote()
        return True

    def _next_batch(self) -> list[InHand]:
        """What is there, up to the batch size in events and `BATCH_BYTES`: a whole number of bundles, at least one."""
        for lane, subscription in self._subscriptions.items():
            room = max(1, PREFETCH - len(self._waiting))
            if len(self._waiting) < PREFETCH:
                self._waiting.extend(InHand(delivery, lane, subscription) for delivery in subscription.take(room, 0))
        batch: list[InHand] = []
        events = unpacked = 0
        while self._waiting:
            events += _claimed_events(self._waiting[0])
            unpacked += claimed_bytes(self._waiting[0].delivery.message)
            if batch and (events > self._pipeline.consumer.batch_size or unpacked > BATCH_BYTES):
                break
            batch.append(self._waiting.popleft())
        return batch

    def _answer(self, answers: Sequence[Answered], deliveries: Sequence[InHand]) -> None:
        made = receipts(answers, self._house, self._environment, self._signer.identity, self._pipeline.clock())
        self._outgoing.send(made, deliveries)

    def _look_after(self) -> bool:
        """Try held events whose time has come, and carry out what people ordered; a part of it, while deliveries go on between."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._resuming = False
        if not self._duty.calls(self._pipeline.consumer.queue):
            return False
        carried, answers = self._duty.carry_out(self._door)
        resumed, retried = resume(self._pipeline), try_again(self._pipeline)
        answers = [*answers, *resumed.answers, *retried.answers]
        made = receipts(answers, self._house, self._environment, self._signer.identity, self._pipeline.clock())
        if made:
            self._outgoing.send(made, (), [*resumed.finished_ids, *retried.finished_ids])
        self._resuming = bool(resumed.tried)
        if not (carried or resumed.tried or retried.tried):
            return False
        self._look_at = 0.0  # there may be more
        return True

    def _finish(self, event_ids: Sequence[str]) -> None:
        def transact() -> None:
            with self._pipeline.engine.begin() as connection:
                held.finish(connection, event_ids, self._pipeline.clock())

        patiently(transact, self._pipeline.engine, self._pipeline.stop)

    def _await_last_confirms(self) -> None:
        until = time.monotonic() + LAST_CONFIRMS_SECONDS
        while not self._outgoing.empty and time.monotonic() < until:
            self._arrived.clear()
            self._outgoing.settle()
            if not self._outgoing.empty:
                self._arrived.wait(0.2)


def _claimed_events(one: InHand) -> int:
    """How many events a delivery says to hold; only to measure a batch, so a lie costs nothing but a smaller one."""
    claimed = one.delivery.message.headers.get("events")
    return min(max(claimed, 1), BUNDLE_EVENTS) if isinstance(claimed, int) else 1
