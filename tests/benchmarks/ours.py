"""This project under measurement: one post (tj) and one house (af) in a laboratory, a backlog or a trickle between them.

`Bench` is what `quick`, `compare` and `line` measure with; what they print is theirs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console
from sqlalchemy import create_engine, func, select, text

from broker.outbox.tables import RELAYED, WAITING, outbox
from deploy.lab.administrations import Timing
from deploy.lab.laboratory import Laboratory
from deploy.lab.processes import Process
from producers.formats.reading import ReadDeclaration
from producers.intake import Accepted, Intake
from producers.life import open_outbox
from schemas.examples import varied

POST, OFFICE = "panji-poyon", "PNJ"
BATCH = 500
PATIENCE = Timing(beacon_seconds=10, resend_grace_seconds=30, reconnect_delay_seconds=5)  # as exchange.toml has them by default
LOOK_SECONDS = 0.25
console = Console(stderr=True, width=None if sys.stderr.isatty() else 140)

Cpu = dict[str, float]  # CPU seconds used so far by each part


@dataclass(frozen=True, slots=True)
class Drained:
    """A backlog that went: seconds from the first relayed to the last settled, CPU microseconds per declaration of each part.

    The CPU is counted from the first look that saw work begun to the last, so that the start of a process is not in it.
    """

    seconds: float
    cpu_us: dict[str, float]
    memory: dict[str, list[int]]


class Pace:
    """Collects looks at how far a drain is and what CPU it cost so far, and gives the cost per declaration between two of them."""

    def __init__(self) -> None:
        self._looks: list[tuple[int, Cpu]] = []

    def note(self, done: int, cpu: Cpu) -> None:
        """Keep a look after work had begun, if it saw progress."""
        if not self._looks or done > self._looks[-1][0]:
            self._looks.append((done, cpu))

    def cpu_us(self) -> dict[str, float]:
        """CPU microseconds per declaration of each part; empty where all was done between two looks."""
        if len(self._looks) < 2:
            return {}
        (first, before), (last, after) = self._looks[0], self._looks[-1]
        return {part: (after[part] - before[part]) / (last - first) * 1e6 for part in after}


class Bench:
    """One laboratory with one post (tj) and one house (af), and the measurements on it."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        settings = lab.tj.settings
        self.outbox = open_outbox(settings, POST)
        self.intake = Intake(settings, settings.post_party(POST), self.outbox)
        self._reader = create_engine(settings.posts[POST].outbox, connect_args={"timeout": 30})
        self._seed = 0

    def fill(self, count: int, seed: int | None = None) -> float:
        """Accept `count` varied declarations through intake, and give the seconds that took (making them is not counted)."""
        self._seed = self._seed + 1 if seed is None else seed
        seconds = 0.0
        for batch in in_batches(reads(count, self._seed), BATCH):
            begun = time.perf_counter()
            outcomes = self.intake.accept(batch)
            if not all(isinstance(outcome, Accepted) for outcome in outcomes):
                raise SystemExit("an example was rejected: nothing measured on it would be true")
            seconds += time.perf_counter() - begun
        return seconds

    def unsettled(self) -> tuple[int, int]:
        """How many outbox rows wait, and how many were relayed and are not finished.

        By the partial indexes, so that looking costs next to nothing of what is measured.
        """
        with self._reader.connect() as connection:
            waiting, relayed = (select(func.count()).select_from(outbox).where(text(part)) for part in (WAITING, RELAYED))
            return connection.scalar(waiting) or 0, connection.scalar(relayed) or 0

    def drain(self, count: int, watched: dict[str, Process]) -> Drained:
        """Wait until all `count` rows that are unsettled now are settled."""
        memory: dict[str, list[int]] = {name: [] for name in watched}
        pace, reported = Pace(), time.monotonic()
        while True:
            waiting, relayed = self.unsettled()
            left = waiting + relayed
            if waiting < count:
                pace.note(count - left, self.cpu())
            for name, process in watched.items():
                memory[name].append(process.rss_bytes())
            if not left:
                break
            if time.monotonic() - reported > 10:
                reported = time.monotonic()
                console.print(f"  {count - left:,} of {count:,}")
            if not all(process.running for process in self.lab.daemons.values()):
                raise SystemExit("a daemon ended: nothing measured would be true; its log is in the laboratory's directory (--keep)")
            time.sleep(LOOK_SECONDS)
        return Drained(self._span(count), pace.cpu_us(), memory)

    def _span(self, count: int) -> float:
        with self._reader.connect() as connection:
            newest = select(outbox.c.relayed_at_utc, outbox.c.settled_at_utc).order_by(outbox.c.position.desc()).limit(count).subquery()
            first, last = connection.execute(select(func.min(newest.c.relayed_at_utc), func.max(newest.c.settled_at_utc))).one()
        return float((last - first).total_seconds())

    def trickle(self, per_second: float, seconds: float) -> list[float]:
        """Accept one declaration at a time at an even pace; milliseconds from acceptance to settled receipt, sorted."""
        count = int(per_second * seconds)
        self._seed += 1
        declarations = list(reads(count, self._seed))
        begun = time.monotonic()
        for index, read in enumerate(declarations):
            time.sleep(max(0.0, begun + index / per_second - time.monotonic()))
            self.intake.accept([read])
        self.drain_all()
        with self._reader.connect() as connection:
            query = select(outbox.c.accepted_at_utc, outbox.c.settled_at_utc).order_by(outbox.c.position.desc()).limit(count)
            return sorted((settled - accepted).total_seconds() * 1e3 for accepted, settled in connection.execute(query))

    def drain_all(self) -> None:
        """Wait until nothing is unsettled."""
        while any(self.unsettled()):
            time.sleep(0.05)

    def cpu(self) -> Cpu:
        """CPU seconds used so far by the post, the house, both brokers and PostgreSQL."""
        daemons = self.lab.daemons
        own = {"post": f"tj-{POST}", "house": "af-customs"}
        return {part: daemons[name].cpu_seconds() for part, name in own.items() if name in daemons} | shared_cpu(self.lab)

    def close(self) -> None:
        """Close the outbox."""
        self.outbox.close()
        self._reader.dispose()


def shared_cpu(lab: Laboratory) -> Cpu:
    """CPU seconds used so far by both brokers and PostgreSQL (its ended sessions included)."""
    brokers = sum(node.cpu_seconds() for node in lab.nodes.values())
    return {"brokers": brokers, "postgresql": _family_cpu(lab.postgres.pid) if lab.postgres else 0.0}


def _family_cpu(pid: int) -> float:
    """CPU seconds of a process, its children that ended, and its children that run."""
    seconds = 0.0
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for each, ended in ((pid, True), *((int(child), False) for child in children.read_text().split())):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        seconds += sum(int(field) for field in fields[11 : 15 if ended else 13]) / os.sysconf("SC_CLK_TCK")
    return seconds


def reads(count: int, seed: int) -> Iterator[ReadDeclaration]:
    """Give `count` varied declarations as a format would have read them."""
    for event_type, data in varied("tj", OFFICE, count, seed):
        yield ReadDeclaration(event_type, data)


def in_batches(declarations: Iterable[ReadDeclaration], size: int) -> Iterator[list[ReadDeclaration]]:
    """Give them in lists of `size`."""
    iterator = iter(declarations)
    while batch := list(islice(iterator, size)):
        yield batch


def tell(words: str) -> None:
    """Say what is going on, on stderr."""
    console.print(words, style="cyan")
