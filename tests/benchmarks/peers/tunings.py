"""The peers' numbers as they were found, and the search that found them: `make bench ARGS=--search` tries again and takes what it finds."""

from __future__ import annotations

from itertools import product
from statistics import median

from tests.benchmarks.ours import tell
from tests.benchmarks.peers.job import Tuning
from tests.benchmarks.peers.peer import Peer

TUNINGS = {
    "faststream": Tuning(in_flight=200, prefetch=100, processes=1, sessions=8),
    "pika": Tuning(in_flight=400, prefetch=50, processes=4),
}
CANDIDATES = {
    "faststream": [
        Tuning(in_flight, prefetch, processes, sessions)
        for (in_flight, prefetch), (processes, sessions) in product(((200, 20), (200, 100), (1_000, 400)), ((1, 4), (1, 16), (2, 8)))
    ],
    "pika": [
        Tuning(in_flight, prefetch, processes)
        for (in_flight, prefetch), processes in product(((200, 20), (400, 50), (1_000, 200)), (1, 2, 4))
    ],
}
PASSES = 3
DECLARATIONS = 1_000


def search(peer: Peer, first_seed: int) -> Tuning:
    """Try every candidate several times, interleaved, and give the one with the best median rate; each round is checked as any other."""
    rates: dict[Tuning, list[float]] = {tuning: [] for tuning in CANDIDATES[peer.name]}
    seed = first_seed
    for _ in range(PASSES):
        for tuning, found in rates.items():
            peer.tuning, seed = tuning, seed + 1
            found.append(peer.round(DECLARATIONS, seed).per_second)
            tell(f"  {peer.name} {tuning}: {found[-1]:,.0f}/s")
    best = max(rates, key=lambda tuning: median(rates[tuning]))
    tell(f"  {peer.name} is best with {best}: {median(rates[best]):,.0f}/s")
    return best
