"""Rounds of this project and its peers in one laboratory, one after the other and again: what each came to, checked to be the same work."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from deploy.lab.laboratory import Laboratory
from tests.benchmarks.ours import POST, Bench, tell
from tests.benchmarks.peers.checking import Wanted
from tests.benchmarks.peers.peer import Peer, Round
from tests.benchmarks.peers.tunings import TUNINGS, search

OURS = "panj"
WARM_UP, PEERS_WARM_UP, TWICE = 2_000, 300, 10
_SEARCH_SEED = 5_000


class Ours:
    """This project as one of those that take turns: both daemons are started for a round and ended after it, as the peers' are."""

    name = OURS

    def __init__(self, lab: Laboratory) -> None:
        assert lab.postgres is not None
        self.lab, self.bench = lab, Bench(lab)
        self._database = lab.postgres.url("customs_af").replace("+psycopg", "", 1)

    def round(self, count: int, seed: int) -> Round:
        """As `Peer.round`."""
        self.bench.fill(count, seed)
        line_before = self.lab.bytes_over_the_line()
        self.start()
        try:
            drained = self.bench.drain(count, {})
        finally:
            self.stop()
        line_bytes = (self.lab.bytes_over_the_line() - line_before) / count
        settings = self.lab.tj.settings
        encrypted = settings.partners["af"].encryption_certificate is not None
        Wanted.of(settings, count, seed).check(self.name, self._database, encrypted=encrypted)
        return Round(self.name, count, count / drained.seconds, line_bytes, drained.cpu_us)

    def start(self) -> None:
        """Start both daemons."""
        self.lab.spawn_house(self.lab.af)
        self.lab.spawn_post(self.lab.tj, POST)

    def stop(self) -> None:
        """End them."""
        for daemon in self.lab.daemons.values():
            daemon.terminate(20)
        self.lab.daemons.clear()


@dataclass(slots=True)
class Comparison:
    """All rounds, in the order in which they were run."""

    rounds: list[Round] = field(default_factory=list)

    def of(self, name: str) -> list[Round]:
        """The rounds of one of the three."""
        return [each for each in self.rounds if each.name == name]

    def per_second(self, name: str) -> float:
        """Its median rate."""
        return median(each.per_second for each in self.of(name))

    def times(self, name: str) -> float:
        """How many times a peer's rate ours is: the median over the rounds, each with the peer's next to it, so that a busy minute of the
        machine tells on both.
        """
        return median(our.per_second / its.per_second for our, its in zip(self.of(OURS), self.of(name), strict=True))

    def cpu_us(self, name: str) -> dict[str, float]:
        """Its median CPU microseconds per declaration, by part."""
        costs = [each.cpu_us for each in self.of(name) if each.cpu_us]
        return {part: median(cost[part] for cost in costs) for part in costs[0]} if costs else {}

    def line_bytes(self, name: str) -> float:
        """Its median bytes over the frontier per declaration."""
        return median(each.line_bytes for each in self.of(name))


def compare(lab: Laboratory, rounds: int, backlog: int, peers_backlog: int, *, searched: bool) -> tuple[Ours, Comparison]:
    """Warm all three up (the peers with copies, which must load once), then let them take turns."""
    ours = Ours(lab)
    peers = [Peer(lab, name, tuning) for name, tuning in TUNINGS.items()]
    tell("warming up: each once, the peers' declarations partly twice")
    ours.round(WARM_UP, 1)
    for number, peer in enumerate(peers):
        peer.round(PEERS_WARM_UP, 2 + number, twice=TWICE)
        if searched:
            peer.tuning = search(peer, _SEARCH_SEED + number * 1_000)
    comparison = Comparison()
    for number in range(1, rounds + 1):
        contenders: tuple[Ours | Peer, ...] = (ours, *peers)
        for contender in contenders:
            # The same declarations for all of a round, as far as they go.
            done = contender.round(backlog if contender is ours else peers_backlog, 100 * number)
            tell(f"  round {number} of {rounds}: {done.name} {done.per_second:,.0f}/s, {sum(done.cpu_us.values()):,.0f} µs of CPU each")
            comparison.rounds.append(done)
    return ours, comparison
