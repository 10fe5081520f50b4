"""Everything that the relay promises with an outbox on SQLite, on PostgreSQL too: the same tests, collected here with another `url`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.relay.frontier import Frontier, frontier_at
from tests.unit.relay.test_closing import *  # noqa: F403 - the tests themselves
from tests.unit.relay.test_relay import *  # noqa: F403 - the tests themselves
from tests.unit.relay.test_suspensions import *  # noqa: F403 - the tests themselves
from tests.unit.relay.test_withdrawals import *  # noqa: F403 - the tests themselves


@pytest.fixture
def frontier(tmp_path: Path, url: str) -> Iterator[Frontier]:
    with frontier_at(tmp_path, url) as found:
        yield found
