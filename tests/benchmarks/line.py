"""`make bench ARGS="--line 64"`: a day's backlog over a slow line, in minutes. Both directions are throttled in the laboratory's line.

The line has so many kbit/s each way, shared by all connections over it, and 300 ms each way. The last line on stdout is JSON.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from deploy.lab.laboratory import Laboratory, laboratory
from deploy.lab.proxy import Rate
from tests.benchmarks.ours import PATIENCE, POST, Bench, console, tell

DECLARATIONS = 10_000
SECONDS_EACH_WAY = 0.3
_WARM_UP = 500


def measure(kbit_per_second: float, count: int, keep: Path | None, *, encrypted: bool) -> dict[str, float | int | bool]:
    """Let `count` declarations cross; gives the figures."""
    with laboratory("postgresql", timing=PATIENCE, tell=tell, keep=keep, encrypted=encrypted) as lab:
        bench = Bench(lab)
        lab.spawn_house(lab.af)
        bench.fill(_WARM_UP)
        post = lab.spawn_post(lab.tj, POST)
        bench.drain_all()
        post.terminate()
        bench.fill(count)
        _throttle(lab, kbit_per_second)
        tell(f"{count:,} declarations over {kbit_per_second:g} kbit/s, {SECONDS_EACH_WAY * 1e3:.0f} ms each way")
        there, back = _crossed(lab)
        lab.spawn_post(lab.tj, POST)
        drained = bench.drain(count, {})
        went, came = (after - before for before, after in zip((there, back), _crossed(lab), strict=True))
    return {
        "line_kbit_per_second": kbit_per_second,
        "declarations": count,
        "minutes": round(drained.seconds / 60, 2),
        "bytes_there_per_declaration": round(went / count, 1),
        "bytes_back_per_declaration": round(came / count, 1),
        "share_of_the_line": round(went * 8 / 1e3 / kbit_per_second / drained.seconds, 3),
        "encrypted": encrypted,
    }


def _throttle(lab: Laboratory, kbit_per_second: float) -> None:
    """Each administration's proxy leads to its own broker: what goes `there` in one goes the way that comes `back` in the other."""
    into_tj, into_af = (Rate(kbit_per_second * 1e3 / 8) for _ in range(2))
    lab.lines["tj"].throttle(into_tj, into_af)
    lab.lines["af"].throttle(into_af, into_tj)
    for line in lab.lines.values():
        line.delay(SECONDS_EACH_WAY)


def _crossed(lab: Laboratory) -> tuple[int, int]:
    """Bytes that crossed from tj to af so far, and from af to tj."""
    tj, af = lab.lines["tj"], lab.lines["af"]
    return tj.bytes_back + af.bytes_there, tj.bytes_there + af.bytes_back


def main(kbit_per_second: float, keep: Path | None, out: Path, *, encrypted: bool) -> None:
    """Measure and print."""
    begun = time.monotonic()
    figures = measure(kbit_per_second, DECLARATIONS, keep, encrypted=encrypted)
    console.print(f"{figures['minutes']} minutes for {DECLARATIONS:,} declarations ({time.monotonic() - begun:.0f} s with all around it)")
    out.mkdir(parents=True, exist_ok=True)
    last = json.dumps(figures)
    (out / f"line-{kbit_per_second:g}.json").write_text(last + "\n")
    print(last)  # noqa: T201  the last line is the result
