from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.outbox.store import Outbox
from tests.unit.outbox.drafts import POST, HandClock


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/outbox.sqlite"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def outbox(url: str, clock: HandClock) -> Iterator[Outbox]:
    opened = Outbox.open(url, POST, "test", clock)
    yield opened
    opened.close()
