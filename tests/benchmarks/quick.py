"""`make bench-quick`: the whole path on one machine, measured: rate out of a backlog, latency of a trickle, bytes on the line, memory.

Real parts: two brokers federated over mutual TLS, PostgreSQL with fsync on, every bundle signed and verified, receipts settled. Prints a
table, and as its last line one JSON object. It asserts nothing: it measures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, func, select

from broker.outbox.store import Outbox
from broker.outbox.tables import outbox
from deploy.lab.administrations import Timing
from deploy.lab.laboratory import Laboratory, laboratory
from deploy.lab.processes import Process
from producers.formats.reading import ReadDeclaration
from producers.intake import Accepted, Intake
from schemas.examples import varied

POST, OFFICE = "panji-poyon", "PNJ"
BATCH = 500
WARM_UP = 2_000
PATIENCE = Timing(beacon_seconds=10, resend_grace_seconds=30, reconnect_delay_seconds=5)  # as exchange.toml has them by default
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of one daemon while the backlog drains, in MB: early (after the first tenth), at most, and at the end."""

    early: float
    most: float
    end: float

    @property
    def drift(self) -> float:
        """How far the largest later value strays from the early one, as a share of it."""
        return self.most / self.early - 1


@dataclass(frozen=True, slots=True)
class Result:
    """The last line."""

    declarations_per_second: float
    receipt_p50_ms: float
    receipt_p99_ms: float
    bytes_per_declaration: float
    bytes_per_lone_declaration: float
    accept_per_second: float
    backlog: int
    trickle_per_second: float
    post_cpu_us: float
    house_cpu_us: float
    brokers_cpu_us: float
    post_rss_mb: float
    post_rss_drift: float
    house_rss_mb: float
    house_rss_drift: float


class Bench:
    """One laboratory with one post (tj) and one house (af), and the measurements on it."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        settings = lab.tj.settings
        party = settings.post_party(POST)
        post = settings.posts[POST]
        self.outbox = Outbox.open(post.outbox, party, settings.environment)
        self.intake = Intake(settings, party, self.outbox)
        self._reader = create_engine(post.outbox, connect_args={"timeout": 30})
        self._seed = 0

    def fill(self, count: int) -> float:
        """Accept `count` varied declarations through intake, and give the seconds that took (making them is not counted)."""
        self._seed += 1
        seconds = 0.0
        for batch in _batches(_reads(count, self._seed), BATCH):
            begun = time.perf_counter()
            outcomes = self.intake.accept(batch)
            if not all(isinstance(outcome, Accepted) for outcome in outcomes):
                raise SystemExit("an example was rejected: nothing measured on it would be true")
            seconds += time.perf_counter() - begun
        return seconds

    def settled(self) -> int:
        """How many outbox rows are finished."""
        with self._reader.connect() as connection:
            return connection.scalar(select(func.count()).select_from(outbox).where(outbox.c.settled_at_utc.is_not(None))) or 0

    def drain(self, count: int, watched: dict[str, Process]) -> tuple[float, dict[str, list[int]]]:
        """Wait until `count` more rows are settled; the seconds from the first of them to the last, and each daemon's memory on the way."""
        memory: dict[str, list[int]] = {name: [] for name in watched}
        before = self.settled()
        reported = time.monotonic()
        while True:
            done = self.settled() - before
            for name, process in watched.items():
                memory[name].append(process.rss_bytes())
            if done >= count:
                break
            if time.monotonic() - reported > 10:
                reported = time.monotonic()
                console.print(f"  {done:,} of {count:,}")
            time.sleep(0.25)
        return self._span(count), memory

    def _span(self, count: int) -> float:
        with self._reader.connect() as connection:
            newest = select(outbox.c.relayed_at_utc, outbox.c.settled_at_utc).order_by(outbox.c.position.desc()).limit(count).subquery()
            first, last = connection.execute(select(func.min(newest.c.relayed_at_utc), func.max(newest.c.settled_at_utc))).one()
        return float((last - first).total_seconds())

    def trickle(self, per_second: float, seconds: float) -> list[float]:
        """Accept one declaration at a time at an even pace; milliseconds from acceptance to settled receipt, sorted."""
        count = int(per_second * seconds)
        self._seed += 1
        reads = list(_reads(count, self._seed))
        begun = time.monotonic()
        for index, read in enumerate(reads):
            time.sleep(max(0.0, begun + index / per_second - time.monotonic()))
            self.intake.accept([read])
        self.drain_all()
        with self._reader.connect() as connection:
            query = select(outbox.c.accepted_at_utc, outbox.c.settled_at_utc).order_by(outbox.c.position.desc()).limit(count)
            return sorted((settled - accepted).total_seconds() * 1e3 for accepted, settled in connection.execute(query))

    def drain_all(self) -> None:
        """Wait until nothing is unsettled."""
        with self._reader.connect() as connection:
            total = connection.scalar(select(func.count()).select_from(outbox)) or 0
        while self.settled() < total:
            time.sleep(0.05)

    def cpu(self) -> dict[str, float]:
        """CPU seconds used so far by the post, the house and both brokers."""
        brokers = sum(node.cpu_seconds() for node in self.lab.nodes.values())
        return {
            "post": self.lab.daemons[f"tj-{POST}"].cpu_seconds(),
            "house": self.lab.daemons["af-customs"].cpu_seconds(),
            "brokers": brokers,
        }


def _reads(count: int, seed: int) -> Iterator[ReadDeclaration]:
    for event_type, data in varied("tj", OFFICE, count, seed):
        yield ReadDeclaration(event_type, data)


def _batches(reads: Iterable[ReadDeclaration], size: int) -> Iterator[list[ReadDeclaration]]:
    iterator = iter(reads)
    while batch := list(islice(iterator, size)):
        yield batch


def _memory(samples: list[int]) -> Memory:
    later = samples[len(samples) // 10 :] or samples
    return Memory(later[0] / 1e6, max(later) / 1e6, later[-1] / 1e6)


def _tell(text: str) -> None:
    console.print(text, style="cyan")


def measure(backlog: int, trickle_seconds: float, keep: Path | None, *, encrypted: bool = False) -> Result:
    """Run it all once."""
    with laboratory("postgresql", timing=PATIENCE, tell=_tell, keep=keep, encrypted=encrypted) as lab:
        bench = Bench(lab)
        house = lab.spawn_house(lab.af)
        bench.fill(WARM_UP)
        post = lab.spawn_post(lab.tj, POST)
        bench.drain_all()
        console.print(f"latency at {100}/s for {trickle_seconds:.0f} s", style="cyan")
        lone_before = lab.bytes_over_the_line()
        latencies = bench.trickle(100, trickle_seconds)
        lone_bytes = (lab.bytes_over_the_line() - lone_before) / len(latencies)
        console.print(f"a backlog of {backlog:,}: the post is stopped while it is accepted", style="cyan")
        post.terminate()
        accept_seconds = bench.fill(backlog)
        before, line_before = bench.cpu(), lab.bytes_over_the_line()
        post = lab.spawn_post(lab.tj, POST)
        before["post"] = 0.0
        seconds, memory = bench.drain(backlog, {"post": post, "house": house})
        after = bench.cpu()
        line = (lab.bytes_over_the_line() - line_before) / backlog
        kept = {name: _memory(samples) for name, samples in memory.items()}
    return Result(
        declarations_per_second=round(backlog / seconds, 1),
        receipt_p50_ms=round(latencies[len(latencies) // 2], 1),
        receipt_p99_ms=round(latencies[int(len(latencies) * 0.99)], 1),
        bytes_per_declaration=round(line, 1),
        bytes_per_lone_declaration=round(lone_bytes, 1),
        accept_per_second=round(backlog / accept_seconds, 1),
        backlog=backlog,
        trickle_per_second=100,
        **{f"{name}_cpu_us": round((after[name] - before[name]) / backlog * 1e6, 1) for name in after},
        **{f"{name}_rss_mb": round(each.end, 1) for name, each in kept.items()},
        **{f"{name}_rss_drift": round(each.drift, 3) for name, each in kept.items()},
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backlog", type=int, default=100_000, help="declarations in the backlog (default: %(default)s)")
    parser.add_argument("--trickle-seconds", type=float, default=20, help="seconds at 100 declarations a second (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="keep databases and logs in this new directory")
    parser.add_argument("--encrypted", action="store_true", help="encrypt everything to the receiving house, end to end")
    wanted = parser.parse_args()
    result = asdict(measure(wanted.backlog, wanted.trickle_seconds, wanted.keep, encrypted=wanted.encrypted))
    table = Table(
        title=f"{datetime.now(UTC):%Y-%m-%d} · {os.cpu_count()} cores · {platform.machine()} · Python {platform.python_version()}"
    )
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in result.items():
        table.add_row(name, f"{value:,}")
    console.print(table)
    print(json.dumps(result))  # noqa: T201  the last line is the result


if __name__ == "__main__":
    main()
