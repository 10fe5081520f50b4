"""`make faults`: every fault against the real parts, under load, both ways, then the invariants; each with its control."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults import brokers, certificates, clocks, databases, line, processes, restores
from tests.faults.fault import Fault
from tests.faults.report import Report, say
from tests.faults.scene import Form
from tests.faults.soak import Soak, row_of
from tests.faults.suite import Suite, rows_of

FAULTS: tuple[Fault, ...] = (
    *processes.FAULTS,
    *brokers.FAULTS,
    *databases.FAULTS,
    *line.FAULTS,
    *clocks.FAULTS,
    *certificates.FAULTS,
    *restores.FAULTS,
)
INTERRUPTED = 130
SOAK_SECONDS = {Form.SHORT: 0.0, Form.USUAL: 600.0, Form.LONG: 4 * 3600.0}


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; 0 where every promise was kept and every control broke one, 1 otherwise."""
    wanted = _parser().parse_args(arguments)
    if wanted.list:
        _list()
        return 0
    seed = wanted.seed if wanted.seed is not None else random.SystemRandom().randrange(10**6)
    random.seed(seed)
    form = Form.SHORT if wanted.short else Form.LONG if wanted.long else Form.USUAL
    chosen = [fault for fault in FAULTS if not wanted.only or any(fault.name.startswith(name) for name in wanted.only)]
    rows = rows_of(chosen, Form.LONG if wanted.only else form)
    seconds = wanted.soak if wanted.soak is not None else 0 if wanted.only else SOAK_SECONDS[form]
    if not rows and not seconds:
        say(f"no such fault: {', '.join(wanted.only)}; --list names them all")
        return 2
    soak, soaked = Soak(seconds, seed), row_of(seconds, seed)
    report = Report([*rows, soaked] if seconds else rows, quiet=wanted.json_only)
    report.tell(f"seed {seed}")
    suite = Suite(form, report, wanted.keep)
    begun = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupt)  # whoever ends it, what it made is removed
    try:
        with suite.staged(), report.shown():
            suite.strike(rows)
            if seconds:
                suite.soak(soaked, soak, [fault for fault in FAULTS if fault.soak])
            if not wanted.no_controls:
                suite.control(rows)
    except KeyboardInterrupt:
        return INTERRUPTED
    say(report.last_line(form=form.value, seed=seed, soak_seconds=seconds, seconds=round(time.monotonic() - begun)))
    return 0 if all(row.good for row in report.rows) else 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help="the form that CI runs, about 4 minutes on two cores")
    length.add_argument("--long", action="store_true", help="each fault for longer, and those that need their time")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only faults whose names begin so")
    parser.add_argument("--no-controls", action="store_true", help="leave the controls out")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="how long faults picked at random strike (0: not at all)")
    parser.add_argument("--seed", type=int, help="of everything that is random here (default: a new one, which is printed)")
    parser.add_argument("--list", action="store_true", help="list the faults and end")
    parser.add_argument("--json-only", action="store_true", help="print the last line only")
    parser.add_argument("--keep", type=Path, help="keep the laboratories, with all logs, in this new directory")
    return parser


def _list() -> None:
    table = Table("fault", "what happens", "its control", "short")
    for fault in FAULTS:
        control = fault.control if isinstance(fault.control, str) else fault.control.says
        table.add_row(fault.name, fault.does, control, "yes" if fault.short else "")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
