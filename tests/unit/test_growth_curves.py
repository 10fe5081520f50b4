"""What the benchmark of growth concludes from points: flat, in proportion, and bending only at the end."""

from __future__ import annotations

import pytest

from tests.benchmarks.growth.curves import REASONS, Curve
from tests.benchmarks.growth.post import sizes


def curve(*costs: float, family: str = "backlog", name: str = "accept") -> Curve:
    return Curve(family, name, "rows", "µs", tuple(zip(sizes(1_000, 10 ** (2 + len(costs))), costs, strict=True)))


def test_a_flat_curve_has_no_exponent_and_does_not_bend() -> None:
    flat = curve(40, 41, 40, 41)
    assert flat.slope == pytest.approx(0, abs=0.02)
    assert not flat.bends
    assert "why" not in flat.document()


def test_a_cost_in_proportion_to_size_has_the_exponent_1_and_says_why() -> None:
    status = curve(1, 10, 100, 1_000, name="status")
    assert status.slope == pytest.approx(1)
    assert status.bends
    assert status.document()["why"] == REASONS["backlog", "status"]


def test_only_the_upper_half_of_the_sizes_makes_the_exponent() -> None:
    assert curve(40, 40, 80, 160).slope == pytest.approx(0.301, abs=0.001)
