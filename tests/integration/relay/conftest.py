"""The outbox on PostgreSQL, for the tests that run on SQLite in tests/unit/outbox."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker.outbox.store import Outbox
from tests.unit.outbox.drafts import POST, HandClock


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def outbox(url: str, clock: HandClock) -> Iterator[Outbox]:
    opened = Outbox.open(url, POST, "test", clock)
    yield opened
    opened.close()
