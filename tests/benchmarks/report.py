"""What `compare` found, as tables for people and as one line of JSON for programs."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from tests.benchmarks.limit import Limit
from tests.benchmarks.ours import console
from tests.benchmarks.profile_round import Stage
from tests.benchmarks.rounds import OURS, Comparison

NAMES = {OURS: "this project", "faststream": "FastStream", "pika": "plain pika"}
PARTS = ("post", "house", "brokers", "postgresql")


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that was measured. `latencies`: sorted milliseconds at `per_second`."""

    comparison: Comparison
    limit: Limit
    profile: list[Stage]
    latencies: list[float]
    lone_bytes: float
    per_second: float
    encrypted: bool

    @property
    def share_of_limit(self) -> float:
        """Our rate as a share of what all cores could do."""
        return self.comparison.per_second(OURS) / self.limit.per_second

    @property
    def share_of_limit_by_cpu(self) -> float:
        """What the primitives cost as a share of what we cost: the same, had the machine nothing else to do and no core ever to wait."""
        return self.limit.us / sum(self.comparison.cpu_us(OURS).values())

    def latency_ms(self, share: float) -> float:
        """The latency that so large a share of the declarations did not pass."""
        return self.latencies[min(int(len(self.latencies) * share), len(self.latencies) - 1)]


def show(figures: Figures) -> None:
    """Print the tables."""
    console.print(_contenders(figures.comparison))
    console.print(_limit(figures.limit))
    console.print(_profile(figures.profile))
    table = Table(title="this project")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in last_line(figures).items():
        table.add_row(name, f"{value:,}" if isinstance(value, (int, float)) else str(value))
    console.print(table)


def _contenders(comparison: Comparison) -> Table:
    machine = f"{os.cpu_count()} cores · {platform.machine()} · Python {platform.python_version()}"
    table = Table(title=f"{datetime.now(UTC):%Y-%m-%d} · {machine} · {len(comparison.of(OURS))} rounds, medians")
    table.add_column("")
    for title in ("declarations/s", "lowest – highest", "times ours", *(f"{part} µs" for part in PARTS), "all µs", "bytes on the line"):
        table.add_column(title, justify="right")
    for name, title in NAMES.items():
        rates, cpu = sorted(each.per_second for each in comparison.of(name)), comparison.cpu_us(name)
        table.add_row(
            title,
            f"{comparison.per_second(name):,.0f}",
            f"{rates[0]:,.0f} – {rates[-1]:,.0f}",
            "" if name == OURS else f"{comparison.times(name):.1f}",
            *(f"{cpu.get(part, 0):,.0f}" for part in PARTS),
            f"{sum(cpu.values()):,.0f}",
            f"{comparison.line_bytes(name):,.0f}",
        )
    return table


def _limit(limit: Limit) -> Table:
    title = f"the limit: {limit.per_second:,.0f} declarations/s on {limit.cores} cores, {limit.us:.0f} µs of CPU each"
    table = Table(title=title)
    for column in ("where", "primitive", "µs per declaration"):
        table.add_column(column, justify="right" if column.startswith("µs") else "left")
    for each in limit.primitives:
        table.add_row(
            each.where, each.what + ("" if each.counted else " (not counted)"), f"{each.us:.2f}", style="" if each.counted else "dim"
        )
    return table


def _profile(stages: list[Stage]) -> Table:
    table = Table(title="where our microseconds go: CPU per declaration, without inner stages (profiled apart: a little more than above)")
    for column in ("part", "stage", "µs", "entered per declaration"):
        table.add_column(column, justify="left" if column in ("part", "stage") else "right")
    for stage in stages:
        table.add_row(stage.part, stage.name, f"{stage.us:.1f}", f"{stage.calls:.3f}" if stage.calls else "")
    return table


def last_line(figures: Figures) -> dict[str, Any]:
    """The result: first what the issue names, in its order, then more."""
    comparison = figures.comparison
    return {
        "declarations_per_second": round(comparison.per_second(OURS), 1),
        "times_faststream": round(comparison.times("faststream"), 2),
        "times_plain_pika": round(comparison.times("pika"), 2),
        "share_of_limit": round(figures.share_of_limit, 3),
        "bytes_per_declaration": round(comparison.line_bytes(OURS), 1),
        "receipt_p50_ms": round(figures.latency_ms(0.5), 1),
        "receipt_p99_ms": round(figures.latency_ms(0.99), 1),
        "bytes_per_lone_declaration": round(figures.lone_bytes, 1),
        "trickle_per_second": figures.per_second,
        "encrypted": figures.encrypted,
        "limit_per_second": round(figures.limit.per_second, 1),
        "share_of_limit_by_cpu": round(figures.share_of_limit_by_cpu, 3),
        "rounds": len(comparison.of(OURS)),
        "backlog": comparison.of(OURS)[0].declarations,
        "faststream_per_second": round(comparison.per_second("faststream"), 1),
        "plain_pika_per_second": round(comparison.per_second("pika"), 1),
        **{f"{part}_cpu_us": round(cost, 1) for part, cost in comparison.cpu_us(OURS).items()},
    }
