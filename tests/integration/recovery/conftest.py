from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.recovery.world import Authorities, World, world_at


@pytest.fixture(scope="session")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    """Keys for all worlds."""
    return Authorities(tmp_path_factory.mktemp("authorities"))


@pytest.fixture
def world(tmp_path: Path, authorities: Authorities) -> Iterator[World]:
    """A post and a house."""
    with world_at(tmp_path, authorities) as made:
        yield made
