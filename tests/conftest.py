"""Real brokers and databases for all tests: one private node of each for the whole run, a virtual host and a database for each test.

With pytest-xdist the controlling process owns the nodes and the workers ask it. Where a server is not installed its tests are skipped
on a laptop, with the reason, and fail in CI (the variable CI is set there).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from xdist.scheduler import LoadScopeScheduling

from deploy.lab import postgresql, rabbitmq
from deploy.lab.shared import Nodes, NodesElsewhere, NodesHere, PostgresAddress, RabbitAddress

_ADDRESS = "PANJ_TEST_NODES"
_NODES = pytest.StashKey[Nodes]()


def pytest_configure(config: pytest.Config) -> None:
    """Own the nodes, or know who does. Nothing is started before the first test asks."""
    if hasattr(config, "workerinput"):
        config.stash[_NODES] = NodesElsewhere(os.environ[_ADDRESS])
    else:
        here = NodesHere()
        os.environ[_ADDRESS] = here.address
        config.stash[_NODES] = here


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what was started."""
    nodes = config.stash.get(_NODES, None)
    if isinstance(nodes, NodesHere):
        nodes.close()


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Commands called within this process set how logs are written: undone, so that other tests find their events."""
    yield
    structlog.reset_defaults()


class ByPlace(LoadScopeScheduling):  # type: ignore[misc]  # xdist does not export its types
    """Keeps together what shares nodes: all acceptance tests, each folder of integration tests; the rest goes file by file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        parts = file.split("/")
        if parts[:2] == ["tests", "acceptance"]:
            return "tests/acceptance"
        if parts[:2] == ["tests", "integration"] and len(parts) > 3:
            return "/".join(parts[:3])
        return file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByPlace:
    """Use it whatever --dist says: with pytest 9.2 xdist 3.8 no longer sees its own groups (a node's id cannot be set any more)."""
    return ByPlace(config, log)


def need(what: str, installed: Callable[[], bool]) -> None:
    """Skip the test on a laptop that lacks a server; in CI that is a failure."""
    if installed():
        return
    reason = f'{what} is not installed; "make packages" installs it'
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def rabbitmq_installed() -> None:
    """For tests that start RabbitMQ nodes of their own."""
    need("RabbitMQ", rabbitmq.installed)


@pytest.fixture(scope="session")
def postgresql_installed() -> None:
    """For tests that start PostgreSQL nodes of their own."""
    need("PostgreSQL", postgresql.installed)


@pytest.fixture(scope="session")
def rabbit_node(request: pytest.FixtureRequest, rabbitmq_installed: None) -> RabbitAddress:
    """The broker that all tests share: passwords, no TLS."""
    return request.config.stash[_NODES].rabbit()


@pytest.fixture
def virtual_host(rabbit_node: RabbitAddress) -> Iterator[str]:
    """A virtual host of the shared broker, for this test alone."""
    with rabbit_node.virtual_host() as name:
        yield name


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest, postgresql_installed: None) -> PostgresAddress:
    """The PostgreSQL server that all tests share."""
    return request.config.stash[_NODES].postgres()


@pytest.fixture
def postgres_url(postgres: PostgresAddress) -> Iterator[str]:
    """The SQLAlchemy URL of an empty PostgreSQL database, for this test alone."""
    with postgres.database() as url:
        yield url
