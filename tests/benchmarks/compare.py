"""`make bench`: this project, the same job with FastStream and with plain pika, and the limit, side by side in one run on one machine.

Real parts: two brokers federated over mutual TLS, PostgreSQL with fsync on, every message signed and verified, receipts settled. It
asserts nothing about speed; it ends with an error where the work was not done right. Tables and remarks go to stderr, plots to `--out`,
and the last line on stdout is JSON. How the peers are tuned: `tests.benchmarks.peers`.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import structlog

from deploy.lab.laboratory import laboratory
from tests.benchmarks import line, plots, report
from tests.benchmarks.limit_servers import measure_limit
from tests.benchmarks.ours import PATIENCE, tell
from tests.benchmarks.profile_round import ACCEPTED, profile
from tests.benchmarks.report import Figures
from tests.benchmarks.rounds import Ours, compare

ROUNDS, BACKLOG, PEERS_BACKLOG, TRICKLE_SECONDS = 5, 40_000, 2_500, 30.0
SHORT = {"rounds": 3, "backlog": 15_000, "peers_backlog": 1_000, "trickle_seconds": 10.0}
PER_SECOND = 200.0
PROFILE_SEED = 8_000
LONE_PER_SECOND, LONE_SECONDS = 20.0, 5.0


def measure(wanted: argparse.Namespace) -> Figures:
    """Run it all."""
    with laboratory("postgresql", timing=PATIENCE, tell=tell, keep=wanted.keep, encrypted=wanted.encrypted) as lab:
        ours, comparison = compare(lab, wanted.rounds, wanted.backlog, wanted.peers_backlog, searched=wanted.search)
        tell("the limit: every primitive by itself")
        limit = measure_limit(lab)
        latencies, lone_bytes = _trickles(ours, wanted.per_second, wanted.trickle_seconds)
        tell("one more backlog, profiled")
        stages = profile(ours, max(wanted.backlog // 2, 2 * ACCEPTED), PROFILE_SEED)
    return Figures(comparison, limit, stages, latencies, lone_bytes, wanted.per_second, wanted.encrypted)


def _trickles(ours: Ours, per_second: float, seconds: float) -> tuple[list[float], float]:
    """Milliseconds from acceptance to settled receipt at a pace, and the bytes of a declaration that travels alone."""
    ours.bench.fill(500)
    ours.start()
    ours.bench.drain_all()
    tell(f"latency at {per_second:g}/s for {seconds:.0f} s, then lone declarations")
    latencies = ours.bench.trickle(per_second, seconds)
    before = ours.lab.bytes_over_the_line()
    lone = ours.bench.trickle(LONE_PER_SECOND, LONE_SECONDS)
    lone_bytes = (ours.lab.bytes_over_the_line() - before) / len(lone)
    ours.stop()
    return latencies, lone_bytes


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a few rounds of small backlogs, for trying")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often the three take turns (default: %(default)s)")
    parser.add_argument("--backlog", type=int, default=BACKLOG, help="declarations of our backlog (default: %(default)s)")
    parser.add_argument("--peers-backlog", type=int, default=PEERS_BACKLOG, help="of each peer's (default: %(default)s)")
    parser.add_argument("--per-second", type=float, default=PER_SECOND, help="pace of the latency (default: %(default)s)")
    parser.add_argument("--trickle-seconds", type=float, default=TRICKLE_SECONDS, help="how long it lasts (default: %(default)s)")
    parser.add_argument("--encrypted", action="store_true", help="encrypt ours to the receiving house, end to end (the peers' never)")
    parser.add_argument("--search", action="store_true", help="search the peers' tuning first, some minutes more")
    parser.add_argument("--line", type=float, metavar="KBIT", help="instead of all this: 10,000 declarations over so slow a line")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where plots and all figures go (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="keep databases and logs in this new directory")
    wanted = parser.parse_args()
    if wanted.short:
        vars(wanted).update(SHORT)
    return wanted


def main() -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    wanted = parse()
    if wanted.line:
        line.main(wanted.line, wanted.keep, wanted.out, encrypted=wanted.encrypted)
        return
    figures = measure(wanted)
    report.show(figures)
    wanted.out.mkdir(parents=True, exist_ok=True)
    for path in plots.draw(figures, wanted.out):
        tell(f"plot: {path}")
    last = json.dumps(report.last_line(figures))
    (wanted.out / "figures.json").write_text(last + "\n")
    print(last)  # noqa: T201  the last line is the result


if __name__ == "__main__":
    main()
