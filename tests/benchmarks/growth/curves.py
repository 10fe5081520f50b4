"""A curve: cost against size, and whether it bends upwards. Pure; measuring stands beside it, drawing in `plots`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

BENDS_FROM = 1.5  # cost at the largest size over cost at the smallest

# Where the cost goes of those curves that are known to rise, by family and name.
REASONS = {
    ("backlog", "status"): "counts what waits in an index that holds nothing else: 0.1 µs a row, at a person's look, in no hot path",
    ("posts", "broker, one message"): "a quorum queue of each post's own: the same messages in more logs, with fewer of them at a time",
    ("posts", "broker's memory"): "a quorum queue in each lane for each post: half a megabyte a post, in proportion",
    ("posts", "broker, idle"): "the same queues keep their clocks: a tenth of a millisecond a second for each post",
    ("posts", "take in a batch of all"): "each stream's places are looked up apart, and each post gets a receipt signed for it",
    ("processes", "PostgreSQL"): "the processes share out what is there: smaller batches, each with its own statements and commit",
    ("processes", "house's processes"): "the processes share out what is there: smaller batches, and more processes than processors",
}


@dataclass(frozen=True, slots=True)
class Curve:
    """Cost in `unit` at each size."""

    family: str
    name: str
    against: str
    unit: str
    points: tuple[tuple[int, float], ...]

    @property
    def ratio(self) -> float:
        """Cost at the largest size over cost at the smallest."""
        return self.points[-1][1] / self.points[0][1] if self.points[0][1] > 0 else math.inf

    @property
    def bends(self) -> bool:
        """Whether it bends upwards."""
        return self.ratio > BENDS_FROM

    @property
    def why(self) -> str:
        """Why it bends upwards, where it does and that is known."""
        return REASONS.get((self.family, self.name), "") if self.bends else ""

    @property
    def slope(self) -> float:
        """The exponent of cost against size over the upper half of the sizes, on their logarithms: 0 is flat, 1 is in proportion."""
        return _slope(_upper_half(self.points))

    def document(self) -> dict[str, object]:
        """As it stands in the last line."""
        points = [[size, round(cost, 3)] for size, cost in self.points]
        told: dict[str, object] = {"unit": self.unit, "points": points, "slope": round(self.slope, 3), "ratio": round(self.ratio, 2)}
        return told | {"bends": self.bends} | ({"why": self.why} if self.why else {})


def _upper_half(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    logs = [(math.log(size), math.log(cost)) for size, cost in points if cost > 0]
    if not logs:
        return []
    middle = (logs[0][0] + logs[-1][0]) / 2
    upper = [point for point in logs if point[0] >= middle - 1e-9]
    return upper if len(upper) > 1 else logs[-2:]


def _slope(points: Sequence[tuple[float, float]]) -> float:
    if len(points) < 2:
        return 0.0
    x_mean = sum(x for x, _ in points) / len(points)
    y_mean = sum(y for _, y in points) / len(points)
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / sum((x - x_mean) ** 2 for x, _ in points)
