"""A PostgreSQL of its own for the national databases: a view is read up to the oldest transaction that is open on the whole server, and
whoever shares it with other tests waits for theirs.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab.postgresql import PostgresNode


@pytest.fixture(scope="package")
def national_server(postgresql_installed: None) -> Iterator[PostgresNode]:
    """The server."""
    with tempfile.TemporaryDirectory(prefix="panj-national-") as directory:
        Path(directory).chmod(0o711)
        node = PostgresNode(Path(directory) / "postgresql")
        node.start()
        yield node
        node.stop()


@pytest.fixture
def postgres_url(national_server: PostgresNode) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database, for this test alone."""
    name = f"t_{secrets.token_hex(6)}"
    yield national_server.create_database(name)
    national_server.drop_database(name)
