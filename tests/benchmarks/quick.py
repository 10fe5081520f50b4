"""`make bench-quick`: the whole path on one machine, measured: rate out of a backlog, latency of a trickle, bytes on the line, memory.

Real parts: two brokers federated over mutual TLS, PostgreSQL with fsync on, every bundle signed and verified, receipts settled. Prints a
table, and as its last line one JSON object. It asserts nothing: it measures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from deploy.lab.laboratory import laboratory
from tests.benchmarks.ours import PATIENCE, POST, Bench, console, tell

WARM_UP = 2_000


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
    postgresql_cpu_us: float
    post_rss_mb: float
    post_rss_drift: float
    house_rss_mb: float
    house_rss_drift: float


def _memory(samples: list[int]) -> Memory:
    later = samples[len(samples) // 10 :] or samples
    return Memory(later[0] / 1e6, max(later) / 1e6, later[-1] / 1e6)


def measure(backlog: int, per_second: float, trickle_seconds: float, keep: Path | None, *, encrypted: bool = False) -> Result:
    """Run it all once."""
    with laboratory("postgresql", timing=PATIENCE, tell=tell, keep=keep, encrypted=encrypted) as lab:
        bench = Bench(lab)
        house = lab.spawn_house(lab.af)
        bench.fill(WARM_UP)
        post = lab.spawn_post(lab.tj, POST)
        bench.drain_all()
        tell(f"latency at {per_second:g}/s for {trickle_seconds:.0f} s")
        lone_before = lab.bytes_over_the_line()
        latencies = bench.trickle(per_second, trickle_seconds)
        lone_bytes = (lab.bytes_over_the_line() - lone_before) / len(latencies)
        tell(f"a backlog of {backlog:,}: the post is stopped while it is accepted")
        post.terminate()
        accept_seconds = bench.fill(backlog)
        line_before = lab.bytes_over_the_line()
        post = lab.spawn_post(lab.tj, POST)
        drained = bench.drain(backlog, {"post": post, "house": house})
        line = (lab.bytes_over_the_line() - line_before) / backlog
        kept = {name: _memory(samples) for name, samples in drained.memory.items()}
    return Result(
        declarations_per_second=round(backlog / drained.seconds, 1),
        receipt_p50_ms=round(latencies[len(latencies) // 2], 1),
        receipt_p99_ms=round(latencies[int(len(latencies) * 0.99)], 1),
        bytes_per_declaration=round(line, 1),
        bytes_per_lone_declaration=round(lone_bytes, 1),
        accept_per_second=round(backlog / accept_seconds, 1),
        backlog=backlog,
        trickle_per_second=per_second,
        **{f"{name}_cpu_us": round(each, 1) for name, each in drained.cpu_us.items()},
        **{f"{name}_rss_mb": round(each.end, 1) for name, each in kept.items()},
        **{f"{name}_rss_drift": round(each.drift, 3) for name, each in kept.items()},
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backlog", type=int, default=100_000, help="declarations in the backlog (default: %(default)s)")
    parser.add_argument("--per-second", type=float, default=100, help="declarations a second of the trickle (default: %(default)s)")
    parser.add_argument("--trickle-seconds", type=float, default=20, help="how long it lasts (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="keep databases and logs in this new directory")
    parser.add_argument("--encrypted", action="store_true", help="encrypt everything to the receiving house, end to end")
    wanted = parser.parse_args()
    result = asdict(measure(wanted.backlog, wanted.per_second, wanted.trickle_seconds, wanted.keep, encrypted=wanted.encrypted))
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
