"""Starts a real `panj` daemon with one thing altered from outside: a defence that it does without, a point at which it dies, a clock
that is wrong. Production code has no switch of this kind.

    python -m tests.faults.altered --without resends --dying confirmed-not-marked -- post run --post panji-poyon --config exchange.toml
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> None:
    """Alter, then run `panj` with what stands behind `--`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", default="", help="defences, by commas (tests.faults.weakened)")
    parser.add_argument("--dying", default="", help="POINT or POINT:N, the N-th time that it is reached (tests.faults.dying)")
    parser.add_argument("--clock", type=float, default=0.0, help="seconds that its clock is ahead")
    parser.add_argument("panj", nargs=argparse.REMAINDER)
    wanted = parser.parse_args(arguments)
    # In this order: whoever is imported later takes the altered clock's type, and the weakened functions, for the real ones.
    if wanted.clock:
        from tests.faults.shifted import shift_clock

        shift_clock(wanted.clock)
    from tests.faults import dying, weakened

    for defence in filter(None, wanted.without.split(",")):
        weakened.switch_off(defence)
    if wanted.dying:
        point, _, times = wanted.dying.partition(":")
        dying.die_at(point, int(times or 1))
    from broker.operations.cli import main as panj

    panj([word for word in wanted.panj if word != "--"])


if __name__ == "__main__":
    main(sys.argv[1:])
