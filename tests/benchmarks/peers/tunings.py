"""The peers' numbers as they were found, and the search that found them: `make bench ARGS=--search` tries again and takes what it finds."""

from __future__ import annotations

from statistics import median

from tests.benchmarks.ours import tell
from tests.benchmarks.peers.job import Tuning
from tests.benchmarks.peers.peer import Peer

TUNINGS = {
    "faststream": Tuning(in_flight=3_000, prefetch=500, processes=2, sessions=8),
    "pika": Tuning(in_flight=3_000, prefetch=500, processes=4),
}
_WINDOWS = ((200, 100), (1_000, 200), (1_000, 500), (3_000, 500))
CANDIDATES = {
    "faststream": [Tuning(*window, processes, sessions) for window in _WINDOWS for processes, sessions in ((1, 16), (2, 8))],
    "pika": [Tuning(*window, processes) for window in _WINDOWS for processes in (1, 2, 4)],
}
PASSES = 3
DECLARATIONS = 2_000


def search(peer: Peer, first_seed: int) -> Tuning:
    """Try every candidate several times, interleaved, and give the one with the best median rate; each round is checked as any other."""
    rates: dict[Tuning, list[float]] = {tuning: [] for tuning in CANDIDATES[peer.name]}
    seed = first_seed
    for _ in range(PASSES):
        for tuning, found in rates.items():
            peer.tuning, seed = tuning, seed + 1
            done = peer.round(DECLARATIONS, seed)
            found.append(done.per_second)
            tell(f"  {peer.name} {tuning}: {done.per_second:,.0f}/s, {sum(done.cpu_us.values()):,.0f} µs of CPU each")
    best = max(rates, key=lambda tuning: median(rates[tuning]))
    tell(f"  {peer.name} is best with {best}: {median(rates[best]):,.0f}/s")
    return best
