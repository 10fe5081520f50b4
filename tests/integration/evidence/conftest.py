"""The river, with the post's outbox and the house's database once on SQLite and once on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab.shared import PostgresAddress
from tests.integration.evidence.river import River


@pytest.fixture(params=["sqlite", "postgresql"])
def river(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[River]:
    """Two banks."""
    if request.param == "sqlite":
        made = River(tmp_path, f"sqlite:///{tmp_path}/outbox.sqlite", f"sqlite:///{tmp_path}/house.sqlite")
        yield made
        made.close()
        return
    postgres: PostgresAddress = request.getfixturevalue("postgres")
    with postgres.database() as outbox, postgres.database() as house:
        made = River(tmp_path, outbox, house)
        yield made
        made.close()
