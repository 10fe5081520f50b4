"""One more backlog, with every stage of our daemons timed: which part of a declaration's microseconds goes where."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.ours import POST, tell
from tests.benchmarks.rounds import Ours
from tests.benchmarks.stages import INTAKE, Stages

THROUGH = "tests.benchmarks.stages"
ACCEPTED = 5_000


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of one part: CPU microseconds per declaration, without its inner stages, and how often it is entered per declaration."""

    part: str
    name: str
    us: float
    calls: float


def profile(ours: Ours, count: int, seed: int) -> list[Stage]:
    """Accept some declarations and drain a backlog, timed; the stages of acceptance, post, house, brokers and PostgreSQL."""
    lab, found = ours.lab, []
    timed = Stages(INTAKE)
    ours.bench.fill(ACCEPTED, seed)
    timed.remove()
    accepting = timed.cost()
    accepting.pop("elsewhere")  # this benchmark's own making of declarations
    found += _stages("accepting", accepting, ACCEPTED)
    ours.bench.fill(count - ACCEPTED, seed + 1)
    files = {name: lab.directory / f"stages-{name}.json" for name in ("house", "post")}
    lab.spawn(lab.af, "customs", "run", name="af-customs", through=(THROUGH, str(files["house"])))
    lab.spawn(lab.tj, "post", "run", "--post", POST, name=f"tj-{POST}", through=(THROUGH, str(files["post"])))
    drained = ours.bench.drain(count, {})
    ours.stop()
    for part, file in files.items():
        found += _stages(part, _read(file), count)
    return found + [Stage(part, "all of it", drained.cpu_us.get(part, 0.0), 0) for part in ("brokers", "postgresql")]


def _read(file: Path) -> dict[str, tuple[float, int]]:
    told = json.loads(file.read_text())
    if told["missing"]:
        tell(f"  not profiled, for there is no such function any more: {', '.join(told['missing'])}")
    return {name: (seconds, calls) for name, (seconds, calls) in told["cost"].items()}


def _stages(part: str, cost: dict[str, tuple[float, int]], count: int) -> list[Stage]:
    stages = [Stage(part, name, seconds / count * 1e6, calls / count) for name, (seconds, calls) in cost.items()]
    return sorted(stages, key=lambda stage: -stage.us)
