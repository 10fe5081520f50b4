"""Curves as pictures: a PNG for each family, both axes logarithmic, so that what is flat looks flat."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from tests.benchmarks.growth.curves import Curve


def draw(curves: Sequence[Curve], directory: Path) -> list[Path]:
    """Draw the curves of each family and unit, one under another; give the files."""
    directory.mkdir(parents=True, exist_ok=True)
    return [_picture(name, list(family), directory) for name, family in groupby(curves, key=lambda curve: curve.family)]


def _picture(name: str, curves: Sequence[Curve], directory: Path) -> Path:
    units = list(dict.fromkeys(curve.unit for curve in curves))
    figure, axes = plt.subplots(len(units), 1, figsize=(7, 2.6 * len(units)), squeeze=False, sharex=True, layout="constrained")
    for unit, axis in zip(units, axes[:, 0], strict=True):
        for curve in curves:
            if curve.unit == unit:
                axis.loglog(*zip(*curve.points, strict=True), marker="o", linestyle="--" if curve.bends else "-", label=curve.name)
        axis.set_ylabel(unit)
        axis.set_ylim(bottom=max(axis.get_ylim()[0] / 3, 1e-3), top=axis.get_ylim()[1] * 3)
        axis.grid(visible=True, which="major", alpha=0.3)
        axis.legend(fontsize="small")
    axes[-1, 0].set_xlabel(curves[0].against)
    path = directory / f"{name}.png"
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return path
