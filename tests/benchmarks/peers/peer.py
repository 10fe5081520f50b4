"""One peer beside this project in a laboratory: its queues and database made, its processes started, a backlog sent and checked."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import create_engine

from broker.topology.derive import INBOUND
from broker.topology.management import ManagementApi
from consumers import migrations
from deploy.lab.laboratory import Laboratory
from deploy.lab.processes import Process
from tests.benchmarks.ours import LOOK_SECONDS, Cpu, Pace, shared_cpu
from tests.benchmarks.peers.checking import Wanted
from tests.benchmarks.peers.job import Peering, Tuning, Unit, key_of
from tests.benchmarks.peers.posts import Outbox, fill

PATIENCE_SECONDS = 60.0  # with nothing new settled


@dataclass(frozen=True, slots=True)
class Round:
    """One backlog of one of the three, gone: `cpu_us` per declaration of each part, bytes over the frontier per declaration."""

    name: str
    declarations: int
    per_second: float
    line_bytes: float
    cpu_us: dict[str, float]


def join(name: str, *units: Unit) -> None:
    """Give two units a quorum queue each beside their own, under the same policy, fed by each other over the same federation."""
    for unit, other in (units, reversed(units)):
        key = key_of(name, unit.party, other.party)
        with ManagementApi(unit.settings.broker.management) as api:
            api.put("queues", unit.lane, unit.queue, value={"durable": True, "arguments": {"x-queue-type": "quorum"}})
            api.post("bindings", unit.lane, "e", INBOUND, "q", unit.queue, value={"routing_key": key, "arguments": {}})
            own = rf"^{unit.party.unit}(\.[a-z0-9-]+)?$"
            api.put("permissions", unit.lane, unit.party.unit, value={"configure": "^$", "write": "^outbound$", "read": own})
        with ManagementApi(other.settings.broker.management) as api:
            deadline = time.monotonic() + PATIENCE_SECONDS
            # The link asks for what is bound here on the other broker, some time later; what is sent before comes back unrouted.
            while not any(binding["routing_key"] == key for binding in api.get("bindings", other.lane)):
                if time.monotonic() > deadline:
                    raise SystemExit(f"{name}: the federation does not take up the binding {key}")
                time.sleep(LOOK_SECONDS)


class Peer:
    """One of the peers. `name` is its module's: `faststream` or `pika`."""

    def __init__(self, lab: Laboratory, name: str, tuning: Tuning) -> None:
        self.lab, self.name, self.tuning = lab, name, tuning
        assert lab.postgres is not None
        self._directory = lab.directory / name
        self._directory.mkdir(mode=0o700)
        database = lab.postgres.create_database(name)
        engine = create_engine(database)
        migrations.make_ready(engine)
        engine.dispose()
        self._peering = Peering(
            name,
            str(lab.tj.config),
            str(lab.af.config),
            str(self._directory / "outbox.sqlite"),
            database.replace("+psycopg", "", 1),
            tuning,
        )
        join(name, self._peering.post, self._peering.house)

    def round(self, count: int, seed: int, *, twice: int = 0) -> Round:
        """Send `count` declarations of a seed out of a new outbox, wait until all are settled, check what stands in the database."""
        for old in self._directory.glob("outbox.sqlite*"):
            old.unlink()
        told = self._directory / "peering.json"
        peering = replace(self._peering, tuning=self.tuning, twice=twice)
        peering.write(told)
        fill(peering, count, seed)
        line_before = self.lab.bytes_over_the_line()
        processes = self._start(told)
        try:
            pace = self._drain(count, processes)
            seconds = self._outbox_seconds()
        finally:
            for process in processes:
                process.terminate(20)
        line_bytes = (self.lab.bytes_over_the_line() - line_before) / count
        wanted = Wanted.of(peering.post.settings, count, seed)
        wanted.check(self.name, peering.database, duplicates=count // twice if twice else None)
        return Round(self.name, count, count / seconds, line_bytes, pace.cpu_us())

    def _start(self, told: Path) -> list[Process]:
        """Start the house, wait until it consumes, start the post; gives both, the post first."""
        for old in self._directory.glob("*.ready*"):
            old.unlink()
        houses = [self._spawn("house", told, number) for number in range(self.tuning.processes)]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(list(self._directory.glob("*.ready*"))) < len(houses):
            if time.monotonic() > deadline or not all(each.running for each in houses):
                raise SystemExit(f"{self.name}: the house does not start: {houses[0].log_tail()}")
            time.sleep(LOOK_SECONDS)
        return [self._spawn("post", told), *houses]

    def _spawn(self, role: str, told: Path, number: int = 0) -> Process:
        module = f"tests.benchmarks.peers.{self.name}_peer"
        command = [sys.executable, "-m", module, role, str(told), str(number)]
        return Process(command, log=self._directory / f"{role}{number}.log", directory=Path.cwd())

    def _drain(self, count: int, processes: list[Process]) -> Pace:
        outbox, pace = Outbox(self._peering.outbox), Pace()
        left, moved = count, time.monotonic()
        while left:
            time.sleep(LOOK_SECONDS)
            begun, now = outbox.progress()
            if begun:
                pace.note(count - now, self._cpu(processes))
            if now < left:
                left, moved = now, time.monotonic()
            for process in processes:
                if not process.running or time.monotonic() - moved > PATIENCE_SECONDS:
                    raise SystemExit(f"{self.name}: {left} of {count} are not settled, and nothing moves: {process.log_tail()}")
        outbox.close()
        return pace

    def _outbox_seconds(self) -> float:
        outbox = Outbox(self._peering.outbox)
        try:
            return outbox.seconds()
        finally:
            outbox.close()

    def _cpu(self, processes: list[Process]) -> Cpu:
        post, *houses = processes
        return {"post": post.cpu_seconds(), "house": sum(each.cpu_seconds() for each in houses)} | shared_cpu(self.lab)
