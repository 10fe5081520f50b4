"""How costs are measured: processor time, not the clock on the wall, so that a machine that others share tells the same."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
from sqlalchemy import Engine, text

ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Form:
    """How far a run goes: the largest backlog (and settled rows) and inbox, rounds at each size, and the backlog that processes drain."""

    backlog: int = 1_000_000
    inbox: int = 1_000_000
    rounds: int = ROUNDS
    drained: int = 20_000


@dataclass(slots=True)
class Tally:
    """Costs gathered by name, round by round, at one size."""

    costs: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str, count: int = 1) -> Iterator[None]:
        """Measure what is done inside: microseconds of this process for each of `count`."""
        gc.collect()  # else a round pays for the garbage of the one before
        began = time.process_time()
        yield
        self.add(name, (time.process_time() - began) / count * 1e6)

    def add(self, name: str, cost: float) -> None:
        """Add one round's cost."""
        self.costs.setdefault(name, []).append(cost)

    def medians(self) -> dict[str, float]:
        """The median of each."""
        return {name: statistics.median(costs) for name, costs in self.costs.items()}


@dataclass(slots=True)
class Series:
    """Medians by name and size."""

    points: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def add(self, size: int, medians: dict[str, float]) -> None:
        """Add what was measured at one size."""
        for name, cost in medians.items():
            self.points.setdefault(name, []).append((size, cost))
        tell(f"  {size:>10,}  " + "  ".join(f"{name} {cost:,.1f}" for name, cost in medians.items()))


def tell(words: str) -> None:
    """Say how far it is."""
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def processor_seconds(pids: Callable[[], list[int]]) -> float:
    """What these processes used of a processor so far. The kernel tells it in steps of 10 ms: measure many rounds at once."""
    total = 0.0
    for pid in pids():
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def backend_pid(engine: Engine) -> int:
    """The PostgreSQL process behind the engine's idle connection."""
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
