"""Both databases for the customs house's tests, and the small frontier whose post sends to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from broker.settings.model import ConsumerSettings
from consumers import migrations
from consumers.database import open_engine
from consumers.pipeline import Pipeline
from consumers.registry import Consumer, Handler, load_consumer
from consumers.review import progress
from schemas.names import STREAM_TYPES
from tests.integration.consumers import rules
from tests.integration.consumers.frontier import Frontier
from tests.integration.consumers.office import Office


@pytest.fixture(scope="session")
def frontier(tmp_path_factory: pytest.TempPathFactory) -> Frontier:
    """Authorities, a post, a house."""
    return Frontier(tmp_path_factory.mktemp("frontier"))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/house.sqlite"
    address: str = request.getfixturevalue("postgres_url")
    return address


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """A database with the house's tables."""
    engine = open_engine(url)
    migrations.make_ready(engine)
    yield engine
    engine.dispose()


class Hands:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        """The time now, and so much more."""
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Hands:
    """A clock that tests turn."""
    return Hands()


@pytest.fixture
def record() -> Consumer:
    """The loader of record."""
    return load_consumer(ConsumerSettings(queue="record", types=tuple(STREAM_TYPES), handler="consumers.loaders.record"))


PipelineOf = Callable[[Handler | None], Pipeline]


@pytest.fixture
def pipeline_of(engine: Engine, frontier: Frontier, record: Consumer, clock: Hands) -> PipelineOf:
    """Make the house's pipeline with a handler of the test's own, or with the record's."""

    def make(handler: Handler | None = None) -> Pipeline:
        consumer = record if handler is None else Consumer("record", record.types, 500, handler, __name__)
        return Pipeline(consumer, engine, frontier.trust, frontier.expected, threading.Event(), clock)

    return make


@pytest.fixture
def ruled(pipeline_of: PipelineOf) -> Pipeline:
    """The pipeline of a consumer that holds by a rule, and fails over what is cursed until the fault is mended."""
    rules.MENDED["fault"] = False
    return pipeline_of(rules.load_by_rules)


@pytest.fixture
def office(tmp_path: Path, url: str, frontier: Frontier, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Office:
    """The house's office; no house runs, and nobody waits long for one."""
    monkeypatch.setattr(progress, "HOUSE_SECONDS", 0.0)
    return Office(tmp_path, url, frontier, engine, monkeypatch)


@pytest.fixture
def pipeline(pipeline_of: PipelineOf) -> Pipeline:
    """The record's pipeline."""
    return pipeline_of(None)
