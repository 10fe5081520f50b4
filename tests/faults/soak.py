"""The soak: round after round of faults picked at random, under load, until its time is over. A seed picks the same ones again.

A round ends when all of its declarations are finished, so that what goes wrong is told with the few faults that led to it.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.faults.fault import Fault
from tests.faults.invariants import Account
from tests.faults.report import Row
from tests.faults.scene import Scene

FAULTS_A_ROUND = (1, 4)
PAUSE_SECONDS = (0.0, 3.0)

Strike = Callable[[Fault], tuple[Account, float]]


@dataclass(slots=True)
class Soak:
    """One soak: what was struck so far, and the sums."""

    seconds: float
    seed: int
    rounds: int = 0
    struck: Counter[str] = field(default_factory=Counter)

    def run(self, faults: Sequence[Fault], strike: Strike, row: Row) -> None:
        """Strike until the time is over or a round broke a promise; `strike` runs one fault and counts, as for any row."""
        chance = random.Random(self.seed)
        row.account = Account()
        row.recovery_seconds = 0.0
        end = time.monotonic() + self.seconds
        while time.monotonic() < end and row.account.whole:
            chosen = [chance.choice(faults) for _ in range(chance.randint(*FAULTS_A_ROUND))]
            pauses = [chance.uniform(*PAUSE_SECONDS) for _ in chosen]
            self._round(chosen, pauses, strike, row)

    def _round(self, chosen: Sequence[Fault], pauses: Sequence[float], strike: Strike, row: Row) -> None:
        names = ", then ".join(fault.name for fault in chosen)

        def run(scene: Scene) -> None:
            for fault, pause in zip(chosen, pauses, strict=True):
                scene.tell(f"soak, round {self.rounds + 1}: {names}; now {fault.name}")
                fault.run(scene)
                scene.go_on(pause)

        patience = max(fault.patience_seconds for fault in chosen)
        found, recovery = strike(Fault("soak", names, run, "", patience_seconds=patience))
        self.rounds += 1
        self.struck.update(fault.name for fault in chosen)
        assert row.account is not None
        row.account.add(found)
        row.recovery_seconds = max(row.recovery_seconds or 0.0, recovery)
        if not found.whole:
            row.failure = f"round {self.rounds} of seed {self.seed} broke a promise: {names}"

    @property
    def told(self) -> str:
        """What was done, in words."""
        return f"{self.rounds} rounds, {sum(self.struck.values())} faults of {len(self.struck)} kinds, seed {self.seed}"


def row_of(seconds: float, seed: int) -> Row:
    """The soak's row; it is struck by `Soak`, and has no control: each of its faults has its own."""
    minutes = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
    fault = Fault("soak", f"faults picked at random for {minutes}", _nothing, "each of its faults has its own", soak=False)
    return Row(fault)


def _nothing(_: Scene) -> None:
    """The soak's own work is done by `Soak`."""
