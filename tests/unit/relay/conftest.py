from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.relay.frontier import Frontier, frontier_at


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/outbox.sqlite"


@pytest.fixture
def frontier(tmp_path: Path, url: str) -> Iterator[Frontier]:
    with frontier_at(tmp_path, url) as found:
        yield found
