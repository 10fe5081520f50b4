"""Costs against the number of processes of a house that share a queue: two real brokers, PostgreSQL, a backlog at one post."""

from __future__ import annotations

import os

from deploy.lab.laboratory import Laboratory, laboratory
from tests.benchmarks.growth.curves import Curve
from tests.benchmarks.growth.measuring import Form, Series
from tests.benchmarks.ours import PATIENCE, POST, Bench, shared_cpu, tell

SIZES = (1, 2, 3, 4)


def by_processes(form: Form) -> list[Curve]:
    """Drain a backlog with one process and with more: what all processors together spend on a declaration."""
    series = Series()
    with laboratory("postgresql", timing=PATIENCE, tell=tell) as lab:
        bench = Bench(lab)
        lab.spawn_house(lab.af)
        bench.fill(1_000)
        post = lab.spawn_post(lab.tj, POST)
        bench.drain_all()
        for processes in SIZES:
            while sum(name.startswith("af-customs") for name in lab.daemons) < processes:
                lab.spawn(lab.af, "customs", "run", name=f"af-customs-{len(lab.daemons)}")
            post.terminate()
            bench.fill(form.drained)
            before = _used(lab)
            post = lab.spawn_post(lab.tj, POST)
            drained = bench.drain(form.drained, {})
            costs = {part: (cost - before[part]) / form.drained * 1e6 for part, cost in _used(lab).items()}
            series.add(processes, costs | {"seconds": drained.seconds / form.drained * 1e6})
        bench.close()
    against = f"processes of a house at one queue ({os.cpu_count()} cores)"
    units = {"seconds": "µs on the clock a declaration"}
    names = {"seconds": "time", "house": "house's processes", "postgresql": "PostgreSQL", "brokers": "both brokers"}
    found = series.points.items()
    return [Curve("processes", names[name], against, units.get(name, "µs a declaration"), tuple(at)) for name, at in found]


def _used(lab: Laboratory) -> dict[str, float]:
    houses = sum(daemon.cpu_seconds() for name, daemon in lab.daemons.items() if name.startswith("af-customs"))
    return {"house": houses} | shared_cpu(lab)
