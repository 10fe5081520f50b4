"""Two administrations for the tests of this folder, once on each database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.lab.laboratory import laboratory
from tests.acceptance.world import World


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("sqlite", marks=pytest.mark.xdist_group("laboratory-sqlite")),
        pytest.param("postgresql", marks=pytest.mark.xdist_group("laboratory-postgresql")),
    ],
)
def world(request: pytest.FixtureRequest, rabbitmq_installed: None) -> Iterator[World]:
    if request.param == "postgresql":
        request.getfixturevalue("postgresql_installed")
    with laboratory(request.param) as lab:
        lab.spawn_all()
        yield World(lab)
