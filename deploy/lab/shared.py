"""One broker and one database for many test processes: started by the first who asks, owned and ended by one process.

The owner serves a Unix socket; others ask it with `NodesElsewhere`. Nobody keeps state on them: each test has a virtual host and a
database of its own.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any, Protocol

import httpx
import psycopg
from psycopg import sql

from deploy.lab.postgresql import PostgresNode
from deploy.lab.rabbitmq import ADMIN, RabbitNode
from schemas.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class RabbitAddress:
    """Where a shared broker is: its listener without TLS, its management API, and the administrator's password."""

    amqp_port: int
    management_url: str
    password: str
    user: str = ADMIN

    @contextmanager
    def virtual_host(self) -> Iterator[str]:
        """Give a new virtual host on which the administrator may do all, and remove it afterwards."""
        name = f"t-{secrets.token_hex(6)}"
        with httpx.Client(base_url=f"{self.management_url}/api", auth=(self.user, self.password), timeout=30, trust_env=False) as api:
            api.put(f"/vhosts/{name}").raise_for_status()
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            api.put(f"/permissions/{name}/{self.user}", json=everything).raise_for_status()
            yield name
            api.delete(f"/vhosts/{name}").raise_for_status()


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where a shared PostgreSQL is: the SQLAlchemy URL of its maintenance database."""

    maintenance_url: str

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the SQLAlchemy URL of a new, empty database, and drop it afterwards."""
        name = f"t_{secrets.token_hex(6)}"
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield self.maintenance_url.rpartition("/")[0] + f"/{name}"
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.maintenance_url.replace("+psycopg", "", 1), autocommit=True) as connection:
            connection.execute(statement)


class Nodes(Protocol):
    """Who can say where the shared nodes are. Both start a node that does not run yet; both raise `UnavailableError`."""

    def rabbit(self) -> RabbitAddress:
        """Where the broker is."""

    def postgres(self) -> PostgresAddress:
        """Where the database is."""


class NodesHere:
    """Owns the nodes, starts each when first asked for, and answers others over `address`, the path of a Unix socket."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="panj-tests-"))
        self._directory.chmod(0o711)  # PostgreSQL may run as another user and must reach its own folder below
        self._locks = {"rabbit": threading.Lock(), "postgres": threading.Lock()}
        self._rabbit: RabbitNode | None = None
        self._postgres: PostgresNode | None = None
        self._failed: dict[str, UnavailableError] = {}
        self.address = str(self._directory / "nodes.sock")
        self._listener = Listener(self.address, family="AF_UNIX")
        threading.Thread(target=self._serve, name="shared-nodes", daemon=True).start()

    def rabbit(self) -> RabbitAddress:
        """Where the broker is; starts it the first time."""
        with self._locks["rabbit"]:
            if self._rabbit is None:
                node = RabbitNode(self._directory / "rabbitmq", "tests", None, secrets.token_urlsafe(16), plain=True)
                self._start("rabbit", node)
                self._rabbit = node
            return RabbitAddress(self._rabbit.amqp_port, self._rabbit.management_url, self._rabbit.admin_password)

    def postgres(self) -> PostgresAddress:
        """Where the database is; starts it the first time."""
        with self._locks["postgres"]:
            if self._postgres is None:
                node = PostgresNode(self._directory / "postgresql")
                self._start("postgres", node)
                self._postgres = node
            return PostgresAddress(self._postgres.url("postgres"))

    def close(self) -> None:
        """End the nodes and remove their files. They are thrown away, so nothing waits for them to end in good order."""
        self._listener.close()
        for node in (self._rabbit, self._postgres):
            if node is not None:
                node.kill()
        if self._postgres:
            self._postgres.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _start(self, name: str, node: RabbitNode | PostgresNode) -> None:
        """Start a node once: where that failed, everyone who asks learns it at once."""
        if name in self._failed:
            raise self._failed[name]
        try:
            node.start()
        except UnavailableError as error:
            self._failed[name] = error
            raise

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        with connection:
            try:
                address = self.rabbit() if connection.recv_bytes() == b"rabbit" else self.postgres()
            except UnavailableError as error:
                answer = {"code": error.code, "text": str(error)}
            else:
                answer = asdict(address)
            connection.send_bytes(json.dumps(answer).encode())


class NodesElsewhere:
    """Asks the process that owns the nodes where they are."""

    def __init__(self, address: str) -> None:
        self._address = address

    def rabbit(self) -> RabbitAddress:
        """Where the broker is."""
        return RabbitAddress(**self._ask("rabbit"))

    def postgres(self) -> PostgresAddress:
        """Where the database is."""
        return PostgresAddress(**self._ask("postgres"))

    def _ask(self, name: str) -> dict[str, Any]:
        with Client(self._address, family="AF_UNIX") as connection:
            connection.send_bytes(name.encode())
            answer: dict[str, Any] = json.loads(connection.recv_bytes())
        if "code" in answer:
            raise UnavailableError(answer["code"], answer["text"])
        return answer
