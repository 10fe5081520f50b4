"""The database's own trouble is no event's fate: the house waits and goes on; and two processes load each event once."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from consumers import migrations
from consumers.answers import Answered
from consumers.context import Batch, Context
from consumers.database import open_engine
from consumers.loaders.record import load_record
from consumers.pipeline import Pipeline
from consumers.registry import Consumer
from deploy.lab.postgresql import PostgresNode
from schemas.errors import UnavailableError
from tests.integration.consumers.conftest import PipelineOf
from tests.integration.consumers.frontier import Frontier, declaration


@pytest.fixture
def mortal(postgresql_installed: None) -> Iterator[PostgresNode]:
    """A PostgreSQL node of the test's own, to be killed."""
    with tempfile.TemporaryDirectory(prefix="panj-customs-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        node = PostgresNode(Path(directory) / "postgresql")
        node.start()
        node.create_database("house")
        yield node
        node.stop()


def test_a_killed_database_pauses_the_house_and_the_same_batch_goes_on(mortal: PostgresNode, frontier: Frontier, record: Consumer) -> None:
    engine = open_engine(mortal.url("house"))
    migrations.make_ready(engine)
    killed = threading.Event()

    def kill_once(batch: Batch, context: Context) -> None:
        load_record(batch, context)
        if not killed.is_set():
            mortal.kill()
            killed.set()

    pipeline = Pipeline(replace(record, handler=kill_once), engine, frontier.trust, frontier.expected, threading.Event())
    raws = [frontier.post.event(declaration(f"k{number}")) for number in range(50)]
    answers: list[Answered] = []
    worker = threading.Thread(target=lambda: answers.extend(pipeline.process(frontier.deliveries(raws))))
    worker.start()
    assert killed.wait(20)
    worker.join(1)
    assert worker.is_alive()
    assert answers == []
    mortal.start()
    worker.join(30)
    assert [answer.fate.value for answer in answers] == ["LOADED"] * 50
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM declaration")).scalar_one() == 50
        assert connection.execute(text("SELECT count(*) FROM held")).scalar_one() == 0
    engine.dispose()


def test_a_house_that_is_stopped_while_it_waits_decides_nothing(frontier: Frontier, record: Consumer) -> None:
    stop = threading.Event()
    away = open_engine("postgresql+psycopg://nobody@127.0.0.1:1/nowhere")
    pipeline = Pipeline(record, away, frontier.trust, frontier.expected, stop)
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    with pytest.raises(UnavailableError, match="stopped while"):
        pipeline.process(frontier.deliveries([frontier.post.event(declaration("w"))]))


def test_an_event_that_another_process_takes_in_meanwhile_is_answered_with_its_fate(
    pipeline_of: PipelineOf, frontier: Frontier, engine: Engine
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("on SQLite one process waits for the other's whole transaction")
    raws = [frontier.post.event(declaration(f"z{number}")) for number in range(10)]
    deliveries = frontier.deliveries(raws)
    both = threading.Barrier(2, timeout=10)
    met = threading.local()

    def meet(batch: Batch, context: Context) -> None:
        if not getattr(met, "once", False):
            met.once = True
            both.wait()
        load_record(batch, context)

    told: list[list[Answered]] = []
    threads = [threading.Thread(target=lambda: told.append(pipeline_of(meet).process(deliveries))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [[answer.fate.value for answer in answers] for answers in told] == [["LOADED"] * 10] * 2
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM declaration")).scalar_one() == 10
        assert connection.execute(text("SELECT sum(duplicates) FROM inbox")).scalar_one() == 10


_PROCESS = """
import pickle, sys, threading
from pathlib import Path
from broker.settings.model import ConsumerSettings
from broker.trust.anchors import TrustStore
from consumers.control import expectations
from consumers.database import open_engine
from consumers.opening import InHand
from consumers.pipeline import Pipeline
from consumers.registry import load_consumer
from broker.ports import Delivery, Message
from schemas.names import STREAM_TYPES
url, anchor, bundles = sys.argv[1:]
consumer = load_consumer(ConsumerSettings(queue="record", types=tuple(STREAM_TYPES), handler="consumers.loaders.record"))
trust = TrustStore({"tj": Path(anchor)}, {})
pipeline = Pipeline(consumer, open_engine(url), trust, expectations("af", ["tj"], "test"), threading.Event())
told = 0
for values in pickle.loads(Path(bundles).read_bytes()):
    told += len(pipeline.process([InHand(Delivery(Message(*values), "af-customs.record", 0, None), "tj", None)]))
print(told)
"""


def test_two_processes_on_one_queue_load_each_event_once(url: str, frontier: Frontier, tmp_path: Path) -> None:
    import pickle  # noqa: PLC0415 - the test's own bytes, to another process

    engine = open_engine(url)
    migrations.make_ready(engine)
    raws = [frontier.post.event(declaration(f"p{number}")) for number in range(400)]
    messages = [one.delivery.message for one in frontier.deliveries(raws, size=20)]
    bundles = tmp_path / "bundles"
    values = [(one.routing_key, one.body, dict(one.headers), one.content_type, one.content_encoding) for one in messages]
    bundles.write_bytes(pickle.dumps(values))
    command = [sys.executable, "-c", _PROCESS, url, str(frontier.tajik.anchor), str(bundles)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [process.communicate(timeout=60) for process in running]
    assert [output.strip().splitlines()[-1] for output, _ in ended] == ["400", "400"], ended
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM declaration")).scalar_one() == 400
        assert connection.execute(text("SELECT count(*), sum(duplicates) FROM inbox")).one() == (400, 400)
    engine.dispose()
