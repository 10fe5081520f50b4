"""Faults of the line over the frontier: cut, slow, lossy, silent, half open; and a week's backlog that has to cross a bad one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from broker.topology import derive
from tests.faults.fault import POST, Breach, Control, Fault
from tests.faults.namespace import bad_line
from tests.faults.scene import Scene

SECONDS_EACH_WAY = 0.3  # 600 ms there and back
KBIT_PER_SECOND = 64
LOSS = 0.05
SLOW_PER_SECOND = 1.0  # declarations each way that 64 kbit/s carries one by one, at 3 kB each
LINK_SECONDS = 120.0  # a link that begins asks for each of its bindings in turn: some twenty times there and back


def _cut(scene: Scene) -> None:
    with scene.slow_line(SECONDS_EACH_WAY):
        for _ in scene.times(1, 2, 3):
            scene.wave.drop(100)
            scene.settles(1)
            scene.lab.cut()
            scene.go_on(3, 8, 180)
            scene.lab.mend()


@contextmanager
def _unacknowledged(scene: Scene) -> Iterator[None]:
    """What the link is given is forgotten by the broker that gave it: RabbitMQ's `ack-mode: no-ack`."""
    original = derive._upstream

    def upstream(*arguments: Any) -> Any:
        return tuple((name, "no-ack" if name == "ack-mode" else value) for name, value in original(*arguments))

    setattr(derive, "_upstream", upstream)  # noqa: B010  mypy keeps a function from being replaced
    try:
        scene.apply(scene.receiver)
        yield
    finally:
        setattr(derive, "_upstream", original)  # noqa: B010
        scene.apply(scene.receiver)


def _half_open(scene: Scene) -> None:
    """The broker that sends keeps what it gave the dead connection until its heartbeat fails; nothing tells it before."""
    with scene.slow_line(SECONDS_EACH_WAY):
        scene.wave.drop(100)
        scene.go_on(0.7)
        for line in scene.lab.lines.values():
            line.leave_half_open()
    scene.go_on(2, 5, 30)


def _bad(scene: Scene) -> None:
    with bad_line(scene.lab, SECONDS_EACH_WAY, LOSS, KBIT_PER_SECOND):
        scene.pace(0)
        scene.wave.drop(2)
        scene.seconds_until_quiet(LINK_SECONDS)
        scene.pace(SLOW_PER_SECOND)
        before, crossed = scene.wave.events, scene.lab.bytes_over_the_line()
        scene.go_on(15, 30, 300)
        scene.pace(0)
        scene.measure("seconds until all was settled over it", scene.seconds_until_quiet(60), 50)
        count = max(scene.wave.events - before, 1)
        scene.measure("bytes over the line an event", (scene.lab.bytes_over_the_line() - crossed) // count, 10_000)


def _silent(scene: Scene) -> None:
    """Packets vanish, and nobody is told: connections stand that lead nowhere."""
    scene.pace(SLOW_PER_SECOND)
    with bad_line(scene.lab, 0.0, 0.0, 1_000) as line:
        scene.settles(3)
        line.fall_silent()
        scene.go_on(5, 20, 200)
        line.speak()
        scene.settles(3)


def _week_of_backlog(scene: Scene) -> None:
    """A backlog that takes the line minutes, with a small window of credit, and fresh declarations that come while it crosses."""
    count = len(scene.times(300, 600, 10_000))
    usual, small = "[relay]\n", "[relay]\nwindow_events = 100\n"
    scene.pace(0)
    scene.seconds_until_quiet(30)
    scene.edit(scene.sender, usual, small)
    try:
        scene.restart(POST)
        with bad_line(scene.lab, SECONDS_EACH_WAY, LOSS, KBIT_PER_SECOND):
            crossed = scene.lab.bytes_over_the_line()
            scene.wave.drop(count, way=0)
            scene.wait("the post has accepted it", lambda: not scene.wave.waiting_keys(0))
            scene.make_old(60)
            settled = scene.settled()
            scene.start(POST)
            if not _within(scene, "seconds until the first ones were settled", LINK_SECONDS, lambda: scene.settled() >= settled + 5):
                return
            before = scene.wave.keys(0)
            scene.wave.drop(5, way=0)
            fresh = scene.wave.keys(0) - before
            if not _within(scene, "seconds until fresh ones were settled", 60, lambda: not scene.unfinished(0) & fresh):
                return
            scene.measure("share of the backlog that went before them", round(1 - len(scene.unfinished(0)) / count, 2), 0.9)
            _within(scene, "seconds for the rest", 50 + count * 0.2, scene.is_quiet)
            scene.measure("bytes over the line an event", (scene.lab.bytes_over_the_line() - crossed) // count, 1_500)
    finally:
        scene.edit(scene.sender, small, usual)
        scene.restart(POST)


def _within(scene: Scene, what: str, bound: float, done: Callable[[], bool]) -> bool:
    """Measure the seconds until `done()`, no longer than it takes to know that they are too many; say whether they were not."""
    begun = time.monotonic()
    while not (finished := done()) and time.monotonic() - begun <= bound:
        time.sleep(0.5)
    scene.measure(what, round(time.monotonic() - begun, 1), bound)
    return finished


FAULTS = (
    Fault(
        "line-cut",
        "the line is cut, and mended",
        _cut,
        Control("the link acknowledges nothing, and a confirm is the end", Breach.LOST, {POST: ("receipts",)}, around=_unacknowledged),
        short=True,
        soak=True,
    ),
    Fault(
        "line-half-open",
        "the line dies without a word: the sender's broker takes the old connections for living ones",
        _half_open,
        Control("the link acknowledges nothing, and a confirm is the end", Breach.LOST, {POST: ("receipts",)}, around=_unacknowledged),
        soak=True,
        patience_seconds=90,
    ),
    Fault(
        "line-bad",
        "a line with 600 ms delay, 5 % loss and 64 kbit/s",
        _bad,
        Control("what has no answer is sent again each second", Breach.OVER, {POST: ("beacons",)}),
        root=True,
        patience_seconds=180,
    ),
    Fault(
        "line-silent",
        "every packet vanishes for a while, and no connection is told",
        _silent,
        "a line that only loses packets breaks no promise by itself: what heals it is TCP, and the resends that line-half-open shows",
        root=True,
        patience_seconds=300,
    ),
    Fault(
        "week-of-backlog",
        "a backlog has to cross the bad line, and fresh declarations come meanwhile",
        _week_of_backlog,
        Control("what has no answer is sent again each second", Breach.OVER, {POST: ("beacons",)}),
        root=True,
        patience_seconds=120,
    ),
)
