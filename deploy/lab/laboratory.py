"""The laboratory: two administrations on this machine, their brokers federated over mutual TLS through a line that can be cut, and their
daemons as processes of their own. Everything listens on loopback, under one directory, and ends with it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from broker.topology.apply import apply_topology
from deploy.lab.administrations import AFGHAN, TAJIK, Administration, Timing
from deploy.lab.postgresql import PostgresNode
from deploy.lab.processes import PANJ, Daemon
from deploy.lab.proxy import LineProxy
from deploy.lab.rabbitmq import RabbitNode, TlsFiles

Database = Literal["sqlite", "postgresql"]


def _silent(_: str) -> None:
    pass


class Laboratory:
    """Two administrations, `tj` and `af`, with everything between them. Made by `laboratory`, which also ends it."""

    def __init__(self, directory: Path, database: Database, timing: Timing, tell: Callable[[str], None], encrypted: bool) -> None:
        self.directory = directory
        self._encrypted = encrypted
        self.timing = timing
        self.daemons: dict[str, Daemon] = {}
        self._database = database
        self._tell = tell
        tell("keys and certificates of two authorities")
        self.tj = Administration(TAJIK, directory / "tj")
        self.af = Administration(AFGHAN, directory / "af")
        self.tj.befriend(self.af)
        self.af.befriend(self.tj)
        self.nodes = {side.plan.country: self._node(side) for side in self.sides}
        self.postgres = PostgresNode(directory / "postgresql") if database == "postgresql" else None
        self.lines: dict[str, LineProxy] = {}

    @property
    def sides(self) -> tuple[Administration, Administration]:
        """Both administrations."""
        return self.tj, self.af

    def partner_of(self, side: Administration) -> Administration:
        """The other one."""
        return self.af if side is self.tj else self.tj

    def _node(self, side: Administration) -> RabbitNode:
        pair = side.broker_pair
        tls = TlsFiles(ca=side.authority.anchor, certificate=pair.certificate, key=pair.key)
        return RabbitNode(self.directory / "broker" / side.plan.country, side.plan.country, tls, side.management_password)

    def start(self) -> None:
        """Start brokers and databases side by side, mend the line, write settings, and apply the topologies."""
        self._tell("two brokers" + (" and PostgreSQL" if self.postgres else ""))
        with ThreadPoolExecutor() as together:
            starts = [together.submit(node.start) for node in self.nodes.values()]
            if self.postgres:
                starts.append(together.submit(self.postgres.start))
            for each in starts:
                each.result()
        self._tell("the line between them, and both topologies")
        for side in self.sides:
            self.lines[side.plan.country] = LineProxy("127.0.0.1", self.nodes[side.plan.country].amqps_port)
        with ThreadPoolExecutor() as together:
            list(together.map(self._settle_in, self.sides))

    def _settle_in(self, side: Administration) -> None:
        country, partner = side.plan.country, self.partner_of(side).plan.country
        node = self.nodes[country]
        side.write_settings(
            amqps_port=node.amqps_port,
            management_url=node.management_url,
            database=self._database_url(side),
            partner=partner,
            partner_port=self.lines[partner].port,
            timing=self.timing,
            encrypted=self._encrypted,
        )
        apply_topology(side.settings)

    def _database_url(self, side: Administration) -> str:
        if self.postgres is None:
            return "sqlite:///var/house.sqlite"
        name = f"customs_{side.plan.country}"
        self.postgres.create_database(name)
        return self.postgres.url_without_password(name, side.directory / "secrets" / "postgresql")

    def spawn(self, side: Administration, *arguments: str, name: str, through: Sequence[str] = (PANJ,)) -> Daemon:
        """Start `panj <arguments> --config …` of one side; its log lies in `log/<name>.log`. `through`: see `Daemon`."""
        log = self.directory / "log" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        daemon = Daemon([*arguments, "--config", str(side.config)], log, through=through)
        self.daemons[name] = daemon
        return daemon

    def spawn_all(self) -> None:
        """Start both customs houses and all posts."""
        self._tell("two customs houses and four border posts")
        for side in self.sides:
            self.spawn_house(side)
            for post in side.plan.posts:
                self.spawn_post(side, post)

    def spawn_house(self, side: Administration) -> Daemon:
        """Start one side's customs house."""
        return self.spawn(side, "customs", "run", name=f"{side.plan.country}-customs")

    def spawn_post(self, side: Administration, post: str) -> Daemon:
        """Start one border post."""
        return self.spawn(side, "post", "run", "--post", post, name=f"{side.plan.country}-{post}")

    def cut(self) -> None:
        """Cut the line, both ways."""
        for line in self.lines.values():
            line.cut()

    def mend(self) -> None:
        """Mend the line."""
        for line in self.lines.values():
            line.mend()

    def bytes_over_the_line(self) -> int:
        """All bytes that crossed since the start, both ways, TLS included."""
        return sum(line.bytes_there + line.bytes_back for line in self.lines.values())

    def close(self) -> None:
        """End every process that was started here."""
        with ThreadPoolExecutor() as together:
            list(together.map(lambda daemon: daemon.terminate(10), self.daemons.values()))
        for line in self.lines.values():
            line.close()
        with ThreadPoolExecutor() as together:
            list(together.map(lambda node: node.stop(), self.nodes.values()))
            if self.postgres:
                together.submit(self.postgres.stop).result()


@contextmanager
def laboratory(
    database: Database = "sqlite",
    *,
    timing: Timing | None = None,
    tell: Callable[[str], None] = _silent,
    keep: Path | None = None,
    encrypted: bool = False,
) -> Iterator[Laboratory]:
    """Give a started laboratory in a directory of its own, and end and remove it; with `keep` the directory stays there for looking.

    `encrypted`: what crosses is encrypted end to end.
    """
    directory = Path(tempfile.mkdtemp(prefix="panj-"))
    directory.chmod(0o711)  # PostgreSQL runs as another user and must reach its own folder; every other folder below is closed by itself
    lab: Laboratory | None = None
    try:
        lab = Laboratory(directory, database, timing or Timing(), tell, encrypted)
        lab.start()
        yield lab
    finally:
        if lab is not None:
            lab.close()
        if keep is not None:
            shutil.move(directory, keep)
        else:
            shutil.rmtree(directory, ignore_errors=True)
