"""One worker over the broker in memory: what is acknowledged when, and that a confirm is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from broker.bundle.lines import claimed_bytes
from broker.bundle.open import Expected, open_message
from broker.memory import MemoryExchange
from broker.trust.anchors import TrustStore
from broker.trust.keys import Signer
from consumers.answers import Answered
from consumers.context import Batch, Context
from consumers.loaders.record import load_record
from consumers.opening import InHand
from consumers.pipeline import Pipeline
from consumers.worker import Worker
from schemas.control import Receipt
from schemas.limits import UNPACKED_BYTES
from tests.integration.consumers.conftest import Hands, PipelineOf
from tests.integration.consumers.frontier import HOUSE, Frontier, Post, declaration
from tests.integration.consumers.test_fates import load_unless_cursed

QUEUE = "af-customs.record"


@dataclass
class Lane:
    """The two ends of a lane: the house's broker and the post's."""

    here: MemoryExchange
    there: MemoryExchange
    frontier: Frontier
    post: Post

    def worker(self, pipeline: Pipeline) -> Worker:
        """A worker that has begun to take."""
        made = Worker(pipeline, HOUSE, "test", Signer(self.frontier.house_identity), {"tj": self.here.broker()})
        made.open()
        return made

    def send(self, *numbers: str, **changes: Any) -> None:
        """Let a bundle arrive."""
        self.here.deliver(self.post.bundle([self.post.event(declaration(number, **changes)) for number in numbers]))

    def answers(self) -> list[str]:
        """The fates in the receipts that came to the post."""
        trust = TrustStore({"af": self.frontier.afghan.anchor}, {})
        found: list[str] = []
        for delivery in self.there.broker().subscribe(self.post.party.unit, 100).take(100, 0):
            for opened in open_message(delivery.message, trust, Expected("af", self.post.party, "test"), datetime.now(UTC)).events:
                found += [answer.fate.value for answer in Receipt.model_validate(opened.event.data).answers]
        return found


@pytest.fixture
def lane(frontier: Frontier) -> Lane:
    """A lane with the record's queue at the house and the post's queue at the post."""
    here, there = MemoryExchange(), MemoryExchange()
    here.federate(there)
    here.declare(QUEUE, "af-customs.#")
    there.declare("tj-panji-poyon", "tj-panji-poyon.#")
    return Lane(here, there, frontier, frontier.post)


def unacknowledged(lane: Lane, worker: Worker) -> int:
    """How many deliveries come back when the worker dies."""
    worker._pipeline.stop.set()
    worker.run()
    return lane.here.depth(QUEUE)


def test_what_is_loaded_is_answered_and_then_acknowledged(lane: Lane, pipeline: Pipeline) -> None:
    worker = lane.worker(pipeline)
    lane.send("1", "2")
    lane.send("3")
    assert worker.turn()
    assert lane.answers() == ["LOADED"] * 3
    assert unacknowledged(lane, worker) == 0


def test_a_receipt_that_nobody_can_get_blocks_nothing(lane: Lane, pipeline: Pipeline) -> None:
    lane.post = lane.frontier.new_post("abandoned")
    worker = lane.worker(pipeline)
    lane.send("u1")
    assert worker.turn()
    assert unacknowledged(lane, worker) == 0


def test_nothing_is_acknowledged_before_its_receipt_is_confirmed(lane: Lane, pipeline_of: PipelineOf, engine: Engine) -> None:
    def load_while_the_broker_goes(batch: Batch, context: Context) -> None:
        load_record(batch, context)
        lane.here.fail()

    worker = lane.worker(pipeline_of(load_while_the_broker_goes))
    lane.send("n1")
    assert worker.turn()
    assert lane.answers() == []
    lane.here.recover()
    end = time.monotonic() + 10
    while not (found := lane.answers()):
        assert time.monotonic() < end
        worker.turn()
        threading.Event().wait(0.05)
    assert found == ["LOADED"]
    assert unacknowledged(lane, worker) == 0


def test_a_large_bundle_reaches_the_handler_in_its_own_batch_size(lane: Lane, pipeline_of: PipelineOf) -> None:
    sizes: list[int] = []

    def measure(batch: Batch, context: Context) -> None:
        sizes.append(len(batch))
        load_record(batch, context)

    pipeline = pipeline_of(measure)
    worker = lane.worker(replace(pipeline, consumer=replace(pipeline.consumer, batch_size=100)))
    lane.send(*(f"l{number}" for number in range(250)))
    assert worker.turn()
    assert sizes == [100, 100, 50]
    assert len(lane.answers()) == 250


def test_a_held_event_is_answered_twice_and_its_row_finished_by_the_confirm(
    lane: Lane, pipeline_of: PipelineOf, engine: Engine, clock: Hands
) -> None:
    worker = lane.worker(pipeline_of(load_unless_cursed))
    lane.send("f1", local_reference="cursed")
    worker.turn()
    assert lane.answers() == ["HELD"]
    clock.ahead += timedelta(minutes=2)
    healed = lane.worker(pipeline_of(None))
    assert healed.turn()
    assert lane.answers() == ["LOADED"]
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM held WHERE finished_at_utc IS NULL")).scalar_one() == 0


@dataclass(frozen=True)
class Watched(Pipeline):
    """A pipeline that remembers how many bodies' bytes it was given at once."""

    given: list[list[int]] = field(default_factory=list)

    def process(self, deliveries: Sequence[InHand]) -> list[Answered]:
        self.given.append([claimed_bytes(one.delivery.message) for one in deliveries])
        return super().process(deliveries)


def test_bundles_that_unpack_to_much_are_opened_one_by_one_however_few_events_they_hold(pipeline: Pipeline, lane: Lane) -> None:
    watched = Watched(**{each.name: getattr(pipeline, each.name) for each in fields(pipeline)})
    noise = {"noise": ["x" * 1_000] * 900}
    for _ in range(4):  # 10 MB each, of a few kilobytes on the line
        lane.here.deliver(lane.post.bundle([lane.post.event(declaration("big") | {"extensions": noise}) for _ in range(11)]))
    lane.send("small-1")
    lane.send("small-2")
    worker = lane.worker(watched)
    while worker.turn():
        pass
    assert [len(batch) for batch in watched.given] == [1, 1, 1, 3]
    assert all(sum(batch) <= UNPACKED_BYTES for batch in watched.given)
