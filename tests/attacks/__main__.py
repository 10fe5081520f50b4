"""`make attacks`: all that must not get in, tried; a row each. The last line is JSON; exit code 1 where anything got in or crashed."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
import traceback

from rich.console import Console

from tests.attacks.families import FAMILIES, LONG, SHORT, USUAL, Family, Run
from tests.attacks.rows import Row, all_held, last_line, say_table

console = Console(stderr=True, width=160)


def main() -> int:
    """Run what was asked for, and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="what CI runs, about 4 minutes on 2 cores")
    parser.add_argument("--long", action="store_true", help="a million changed bundles, and more of all else")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[family.name for family in FAMILIES], help="only these families")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="the same seed tries the same (default: any)")
    parser.add_argument("--list", action="store_true", help="list the families and end")
    wanted = parser.parse_args()
    if wanted.list:
        for family in FAMILIES:
            console.print(f"{family.name:12} {family.about}")
        return 0
    scale = LONG if wanted.long else SHORT if wanted.short else USUAL
    console.print(f"seed {wanted.seed}")
    run = Run(scale, wanted.seed, lambda told: console.print(f"  {told}", style="cyan"))
    try:
        rows = [row for family in FAMILIES if not wanted.only or family.name in wanted.only for row in _rows_of(family, run)]
    finally:
        run.close()
    say_table(rows, console)
    print(last_line(rows))  # noqa: T201  the last line is the result
    return 0 if all_held(rows) else 1


def _rows_of(family: Family, run: Run) -> list[Row]:
    """One family's rows. A family that fails itself has shown nothing: that is a row that did not hold."""
    began = time.monotonic()
    console.print(f"{family.name}: {family.about}", style="cyan")
    rows: list[Row] = []
    try:
        rows.extend(family.run(run))
    except Exception as error:  # noqa: BLE001  the suite's outermost loop: whatever surprises it is told, and the next family runs
        console.print(traceback.format_exc()[-3_000:], style="red", markup=False)
        rows.append(Row(family.name, "the attack itself failed", 0, failures=(f"{type(error).__name__}: {error}"[:300],)))
    console.print(f"  {sum(row.tries for row in rows):,} tries in {time.monotonic() - began:.0f} s", style="cyan")
    return rows


if __name__ == "__main__":
    sys.exit(main())
