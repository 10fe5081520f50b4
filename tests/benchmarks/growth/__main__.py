"""`make bench-growth`: what one declaration costs against the size of everything around it, and where a curve bends upwards.

Processor time, medians of several rounds. Prints a table, draws each family as a PNG, and as its last line gives one JSON object: for each
curve its points, the exponent of cost against size over the upper half, and whether it bends. It asserts nothing: it measures.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from tests.benchmarks.growth import house, items, partners, plots, post, posts, processes, starting
from tests.benchmarks.growth.curves import Curve
from tests.benchmarks.growth.measuring import Form, tell

FAMILIES: dict[str, Callable[[Form], list[Curve]]] = {
    "backlog": post.backlog,
    "settled": post.settled,
    "start": starting.by_settled_rows,
    "inbox": house.by_inbox,
    "items": items.by_items,
    "posts": posts.by_posts,
    "partners": partners.by_partners,
    "processes": processes.by_processes,
}
USUAL = Form()
SHORT = Form(backlog=10_000, inbox=10_000, rounds=3, drained=4_000)
WIDTH = 160  # of the table, whatever stderr is
LONG = Form(inbox=10_000_000)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=FAMILIES, default=list(FAMILIES), help="these families alone")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--long", action="store_true", help="an inbox of ten million events: some 20 GB of disk, and 20 minutes more")
    form.add_argument("--short", action="store_true", help="small sizes: whether it runs at all")
    parser.add_argument("--out", type=Path, default=Path("build/growth"), help="where the pictures go (default: %(default)s)")
    wanted = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    curves = measure(wanted.only, LONG if wanted.long else SHORT if wanted.short else USUAL)
    drawn = plots.draw(curves, wanted.out)
    Console(stderr=True, width=WIDTH).print(table(curves))
    tell("drawn: " + ", ".join(map(str, drawn)))
    found: dict[str, dict[str, object]] = {}
    for curve in curves:
        found.setdefault(curve.family, {})[curve.name] = curve.document()
    print(json.dumps(found))  # noqa: T201  the last line is the result


def measure(families: Sequence[str], form: Form) -> list[Curve]:
    """Measure one family after the other."""
    curves: list[Curve] = []
    for name in families:
        tell(name)
        curves += FAMILIES[name](form)
    return curves


def table(curves: Sequence[Curve]) -> Table:
    """The curves for people: smallest and largest size, and how cost grew between them."""
    found = Table(title=f"{datetime.now(UTC):%Y-%m-%d} · {os.cpu_count()} cores", title_justify="left")
    for column in ("family", "what", "from", "to", "cost there", "and there", "unit", "ratio", "exponent", ""):
        found.add_column(column, justify="right" if column in {"from", "to", "cost there", "and there", "ratio", "exponent"} else "left")
    for curve in curves:
        (first, before), (last, after) = curve.points[0], curve.points[-1]
        sizes = (f"{first:,}", f"{last:,}", f"{before:,.1f}", f"{after:,.1f}")
        how = (f"{curve.ratio:.2f}", f"{curve.slope:.2f}", "bends upwards: " + (curve.why or "not explained") if curve.bends else "")
        found.add_row(curve.family, curve.name, *sizes, curve.unit, *how)
    return found


if __name__ == "__main__":
    main()
