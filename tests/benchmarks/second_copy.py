"""What the second copy costs an acceptance: none, one on the outbox's own disk (where the rule against that is left aside), one in memory.

    python -m tests.benchmarks.second_copy [seconds for each figure] [directory]

The disk that holds `directory` (by default that of temporary files) is what is measured. The last line is JSON.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import structlog

from broker.outbox.second_copy import CopyPlace
from broker.outbox.store import Outbox
from tests.unit.outbox.drafts import POST, draft

BATCHES = (1, 100, 500)
MEMORY = Path("/dev/shm")  # noqa: S108 - a filesystem that syncs nothing: what is left is the work without the disk


def accept(directory: Path, size: int, seconds: float, copy: Path | None) -> float:
    """Accept drafts of about 1 kB in batches of `size`; milliseconds a batch, the median."""
    outbox = Outbox.open(f"sqlite:///{directory}/outbox-{size}-{copy is not None}-{time.monotonic_ns()}.sqlite", POST, "test")
    if copy is not None:
        outbox.copy_to(CopyPlace(copy / str(time.monotonic_ns())), keeps=True)
    outbox.accept([draft("warm")])
    spent: list[float] = []
    number = 0
    while sum(spent) < seconds:
        drafts = [draft(number + each, length=550) for each in range(size)]
        number += size
        start = time.perf_counter()
        accepted = outbox.accept(drafts)
        spent.append(time.perf_counter() - start)
        if {each.copies for each in accepted} != {1 if copy is None else 2}:
            raise RuntimeError("the copy was not there")
    outbox.close()
    return 1000 * median(spent)


def main() -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    where = sys.argv[2] if len(sys.argv) > 2 else None
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=where) as here, tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as memory:
        for size in BATCHES:
            for name, copy in (("off", None), ("disk", Path(here)), ("memory", Path(memory))):
                figures[f"accept_{size}_{name}_ms"] = round(accept(Path(here), size, seconds, copy), 2)
            said = ", ".join(f"{key} {value}" for key, value in figures.items() if f"_{size}_" in key)
            sys.stdout.write(f"batches of {size:>3}: {said}\n")
    sys.stdout.write(f"{json.dumps(figures)}\n")


if __name__ == "__main__":
    main()
