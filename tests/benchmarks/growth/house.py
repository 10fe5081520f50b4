"""The house against its inbox: taking in, status, beacons, closing, pruning. A private PostgreSQL with fsync on; deliveries from memory."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, select

from broker.settings.model import ConsumerSettings
from consumers import answers, inbox, migrations
from consumers.closing import lines_of
from consumers.closing_tables import closing_stream
from consumers.database import open_engine
from consumers.holes import observe_holes, take_stock
from consumers.opening import InHand
from consumers.operations import observe_fates
from consumers.pipeline import Pipeline
from consumers.registry import load_consumer
from consumers.retention import Retention
from consumers.review.observing import observe_held, observe_parked
from consumers.tables import inbox as inbox_table
from deploy.lab.postgresql import PostgresNode
from schemas.closing import Line, block_digest, digest_text
from schemas.event import utc_text
from schemas.names import STREAM_TYPES, EventType
from tests.benchmarks.growth.curves import Curve
from tests.benchmarks.growth.filling import Filler
from tests.benchmarks.growth.measuring import Form, Series, backend_pid, processor_seconds
from tests.benchmarks.growth.post import DECLARATION, sizes
from tests.integration.consumers.desk import ControlDesk
from tests.integration.consumers.frontier import CROSSING, EXPORT, HOUSE, Frontier, Post, crossing, declaration

BATCH = 500
BLOCKS = 2
RARE = 10  # events of another type that each post sent once
POSTS = ("panji-poyon", "ishkoshim", "langar", "tem")
_LEAST_SECONDS = 0.4  # of processor time behind one figure: the kernel counts another process's in steps of 10 ms
_MOST_TIMES = 200


@dataclass(slots=True)
class Costs:
    """What work costs this process and the PostgreSQL process that serves it, together."""

    engine: Engine
    backend: int

    def of(self, work: Callable[[], object], per: int = 1, times: int | None = None) -> float:
        """Do it as often as it takes to be measured (or `times`), and give microseconds for each of `per`."""
        work()
        began, done = self._used(), 0
        while done < (times or _MOST_TIMES) and (times or self._used() - began < _LEAST_SECONDS):
            work()
            done += 1
        return (self._used() - began) / done / per * 1e6

    def _used(self) -> float:
        return time.process_time() + processor_seconds(lambda: [self.backend])


class HouseGround:
    """An empty house with its database, and four posts that send to it."""

    def __init__(self, directory: Path, engine: Engine) -> None:
        self.engine = engine
        self.directory = directory
        self.frontier = Frontier(directory)
        self.posts = [self.frontier.new_post(name) for name in POSTS]
        consumer = load_consumer(ConsumerSettings(queue="record", types=tuple(STREAM_TYPES), handler="consumers.loaders.record"))
        self.pipeline = Pipeline(consumer, engine, self.frontier.trust, self.frontier.expected, threading.Event())
        self.costs = Costs(engine, backend_pid(engine))
        self._numbers = count(1)

    def declarations(self, number: int, items: int = 3) -> list[dict[str, Any]]:
        """So many new declarations."""
        return [declaration(f"n{each}", items=items) for each in islice(self._numbers, number)]

    def bundle(self, post: Post, number: int, items: int = 3) -> InHand:
        """One delivery of new events from this post."""
        return self.frontier.delivery(post.bundle([post.event(data) for data in self.declarations(number, items)]))

    def crossings(self, post: Post, number: int) -> InHand:
        """One delivery of crossing events: a small stream beside the large one."""
        data = [crossing(f"x{each}", "arrived", "n1") for each in islice(self._numbers, number)]
        return self.frontier.delivery(post.bundle([post.event(each, CROSSING) for each in data], CROSSING))

    def take_in(self, deliveries: Sequence[InHand]) -> None:
        """Everything that the house does with deliveries, but receiving and publishing."""
        told = self.pipeline.process(deliveries)
        assert all(answer.fate.value == "LOADED" for answer in told), {answer.problems for answer in told}
        answers.receipts(told, HOUSE, "test", self.frontier.house_identity, datetime.now(UTC))

    def cost_of_taking_in(self, rounds: Sequence[Sequence[InHand]], per: int) -> float:
        """Microseconds for each of the `per` declarations (or items) of one round."""
        waiting = iter(rounds)
        return self.costs.of(lambda: self.take_in(next(waiting)), per, times=len(rounds) - 1)


@contextmanager
def house_ground() -> Iterator[HouseGround]:
    """A house on a PostgreSQL of its own, removed at the end. What runs in parallel would escape measuring, so nothing does."""
    with tempfile.TemporaryDirectory(prefix="panj-growth-") as folder:
        directory = Path(folder)
        directory.chmod(0o711)
        node = PostgresNode(directory / "postgresql")
        node.start()
        try:
            engine = open_engine(node.create_database("customs"))
            with engine.begin() as connection:
                connection.exec_driver_sql("ALTER DATABASE customs SET max_parallel_workers_per_gather = 0")
            engine.dispose()
            migrations.make_ready(engine)
            engine.dispose()
            yield HouseGround(directory, engine)
            engine.dispose()
        finally:
            node.stop()


def by_inbox(form: Form) -> list[Curve]:
    """Everything that a house does while it keeps so many events."""
    series = Series()
    with house_ground() as here:
        here.take_in([here.bundle(here.frontier.new_post("tem"), 500)])
        here.take_in([here.crossings(post, RARE) for post in here.posts])
        with here.engine.connect() as connection:
            template = connection.execute(select(inbox_table.c.event_id).limit(1)).scalar_one()
        filler = Filler(here.engine, template, here.posts)
        filled = 0
        for size in sizes(10_000, form.inbox):
            filler.fill(filled + 1, size)
            filled = size
            series.add(size, _measure(here, form))
    units = {"status": "µs a look", "holes": "µs a look", "beacon": "µs a beacon"}
    against = "rows in the inbox"
    return [Curve("inbox", name, against, units.get(name, DECLARATION), tuple(points)) for name, points in series.points.items()]


def _measure(here: HouseGround, form: Form) -> dict[str, float]:
    last = {post.party.urn: post.sequences[EXPORT] for post in here.posts}
    batches = [[here.bundle(here.posts[number % len(here.posts)], BATCH)] for number in range(2 * form.rounds + 1)]
    costs = {"take in": here.cost_of_taking_in(batches, BATCH)}
    lone = [[here.bundle(here.posts[0], 1)] for _ in range(40)]
    costs["take in, alone"] = here.cost_of_taking_in(lone, 1)
    costs["closing"] = _closing(here, last[here.posts[1].party.urn])
    _agree(here)
    costs["status"] = here.costs.of(lambda: _look(here, holes=False))
    costs["holes"] = here.costs.of(lambda: _look(here, holes=True))
    costs["beacon"] = here.costs.of(lambda: _beacon(here))
    costs["prune"] = _prune(here)
    return costs


def _look(here: HouseGround, *, holes: bool) -> None:
    now = datetime.now(UTC)
    with here.engine.connect().execution_options(reads=True) as connection:
        stocks = take_stock(connection)
        if holes:
            list(observe_holes(stocks, HOUSE.unit))
        else:
            list(observe_fates(connection, HOUSE.unit, stocks))
            list(observe_held(connection, HOUSE.unit, now))
            list(observe_parked(connection, HOUSE.unit))


def _beacon(here: HouseGround) -> None:
    with here.engine.connect().execution_options(reads=True) as connection:
        for post in here.posts:
            assert inbox.highest(connection, post.party.urn, post.epoch) == post.sequences[EXPORT]


def _closing(here: HouseGround, last: int) -> float:
    """Compare the last whole blocks of a stream with a manifest that says the same: microseconds a declaration."""
    post = here.posts[1]
    first = max(1, (last // 1_000 - BLOCKS) * 1_000 + 1)
    spans = [(start, start + 999) for start in range(first, first + BLOCKS * 1_000, 1_000) if start + 999 <= last]
    with here.engine.connect() as connection:
        query = lines_of(post.party.urn, HOUSE.urn, EXPORT, post.epoch, spans[0][0], spans[-1][1])
        lines = [Line(sequence, event_id, bytes(digest)) for sequence, event_id, digest in connection.execute(query)]
    blocks = [
        {"first": start, "last": end, "digest": digest_text(block_digest(line for line in lines if start <= line.sequence <= end))}
        for start, end in spans
    ]
    desk = ControlDesk(here.engine, here.frontier, post)
    number = 0

    def close() -> None:
        nonlocal number
        number += 1
        stream = {"type": EXPORT, "epoch": post.epoch, "last": spans[-1][1], "blocks": blocks}
        said = {"number": int(time.time_ns() // 1_000_000), "closed_at": utc_text(datetime.now(UTC)), "streams": [stream]}
        desk.say(EventType.MANIFEST, said)
        (home,) = desk.heard()
        assert home.event.data["agreed"]

    return here.costs.of(close, len(lines))


def _agree(here: HouseGround) -> None:
    """Write down that each post has closed its account, as it does each day, and let a batch of each come since."""
    with here.engine.begin() as connection:
        connection.execute(delete(closing_stream))
        for post in here.posts:
            row = {"source": post.party.urn, "epoch": post.epoch, "number": 1, "first": 1}
            for kind, last in ((EXPORT, post.sequences[EXPORT]), (CROSSING, RARE)):
                connection.execute(closing_stream.insert(), row | {"type": kind, "last": last})
    here.take_in([here.bundle(post, BATCH) for post in here.posts])


def _prune(here: HouseGround) -> float:
    retention = Retention(here.engine, HOUSE, lambda: datetime.now(UTC) + timedelta(days=1))
    blocks = iter(retention.blocks(1) for _ in range(4))

    def prune() -> None:
        (block, *_) = next(blocks)
        assert retention.archive(block, here.directory / "archive") is not None

    return here.costs.of(prune, 1_000, times=3)
