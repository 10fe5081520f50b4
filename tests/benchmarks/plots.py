"""The figures of `compare` as one page: rates, CPU, latency, and our profile against the limit."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.profile_round import Stage
from tests.benchmarks.report import NAMES, PARTS, Figures
from tests.benchmarks.rounds import OURS

COLOURS = {"post": "#4c78a8", "house": "#f58518", "brokers": "#54a24b", "postgresql": "#b279a2"}
SHOWN = 16  # the largest stages; the others together


def draw(figures: Figures, directory: Path) -> list[Path]:
    """Write `bench.png` and `bench.svg`."""
    mpl.rcParams["svg.hashsalt"] = "panj"  # the same figures give the same file
    page = Figure(figsize=(14, 10), layout="constrained")
    axes = page.subplots(2, 2)
    _rates(axes[0][0], figures)
    _cpu(axes[0][1], figures)
    _latency(axes[1][0], figures)
    _profile(axes[1][1], figures.profile)
    paths = [directory / f"bench.{kind}" for kind in ("png", "svg")]
    for path in paths:
        page.savefig(path, dpi=110)
    return paths


def _rates(axes: Axes, figures: Figures) -> None:
    comparison = figures.comparison
    names = list(NAMES)
    heights = [comparison.per_second(name) for name in names]
    axes.bar([NAMES[name] for name in names], heights, color=["#4c78a8", "#bab0ac", "#bab0ac"])
    for index, name in enumerate(names):
        rates = [each.per_second for each in comparison.of(name)]
        axes.plot([index] * len(rates), rates, "k_", markersize=18)
        axes.annotate(f"{heights[index]:,.0f}", (index, max(rates)), textcoords="offset points", xytext=(0, 6), ha="center")
    axes.axhline(figures.limit.per_second, color="#e45756", linestyle="--")
    axes.annotate(f"the limit: {figures.limit.per_second:,.0f}", (len(names) - 0.5, figures.limit.per_second), ha="right", va="bottom")
    axes.set_yscale("log")
    axes.set_ylabel("declarations a second, out of a backlog")
    axes.set_title("median of the rounds, and each round")


def _cpu(axes: Axes, figures: Figures) -> None:
    limit = {part: sum(each.us for each in figures.limit.primitives if each.counted and each.where == part) for part in PARTS}
    costs = {NAMES[name]: figures.comparison.cpu_us(name) for name in NAMES} | {"the limit": limit}
    for title, cost in costs.items():
        ends = list(accumulate(cost.get(part, 0.0) for part in PARTS))
        for part, end in zip(PARTS, ends, strict=True):
            width = cost.get(part, 0.0)
            axes.barh(title, width, left=end - width, color=COLOURS[part], label=part if title == "the limit" else None)
        axes.annotate(f" {ends[-1]:,.0f}", (ends[-1], title), va="center")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.legend(loc="lower right")
    axes.set_xlabel("CPU µs per declaration")
    axes.set_title("what one declaration costs")


def _latency(axes: Axes, figures: Figures) -> None:
    count = len(figures.latencies)
    axes.plot(figures.latencies, [(index + 1) / count for index in range(count)], color=COLOURS["post"])
    for share, style in ((0.5, ":"), (0.99, "--")):
        axes.axvline(figures.latency_ms(share), color="#888888", linestyle=style)
        axes.annotate(f" p{share * 100:.0f}: {figures.latency_ms(share):.1f} ms", (figures.latency_ms(share), 0.02))
    axes.set_xlim(0, figures.latency_ms(0.99) * 1.25)
    axes.set_xlabel("ms from acceptance to settled receipt")
    axes.set_ylabel("share of the declarations")
    axes.set_title(f"{NAMES[OURS]} at {figures.per_second:g} declarations a second")


def _profile(axes: Axes, stages: list[Stage]) -> None:
    on_the_way = sorted((stage for stage in stages if stage.part in COLOURS), key=lambda stage: -stage.us)
    shown, rest = on_the_way[:SHOWN], on_the_way[SHOWN:]
    for stage in shown:
        axes.barh(f"{stage.part}: {stage.name}", stage.us, color=COLOURS[stage.part])
    axes.barh(f"{len(rest)} more", sum(stage.us for stage in rest), color="#bab0ac")
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("CPU µs per declaration")
    axes.set_title("where our microseconds go (profiled)")
