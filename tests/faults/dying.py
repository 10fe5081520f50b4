"""The points at which a daemon is made to die, as if the power had gone exactly there: SIGKILL to itself, before or after one step.

Each installs itself around one function of the real code; `altered` does so before the daemon starts.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import wraps
from typing import Any

_countdown = 1


def die_at(point: str, times: int) -> None:
    """Have this process die when it reaches `point` for the `times`-th time. KeyError for a point that is none."""
    global _countdown  # noqa: PLW0603  one process dies once
    _countdown = times
    POINTS[point]()


def _reached() -> None:
    global _countdown  # noqa: PLW0603
    _countdown -= 1
    if _countdown <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()  # nothing more is done until the signal is there


def _around(owner: Any, name: str, *, before: Callable[..., bool] | None = None, after: Callable[..., bool] | None = None) -> None:
    """Wrap `owner.name`: reached before it or after it, where what is asked of its arguments is true."""
    original = getattr(owner, name)

    @wraps(original)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        counts = after is not None and after(*arguments, **named)  # asked first: the call may empty what it is given
        if before is not None and before(*arguments, **named):
            _reached()
        result = original(*arguments, **named)
        if counts:
            _reached()
        return result

    setattr(owner, name, wrapped)


def _accepted_not_moved() -> None:
    from producers.sources import directory

    _around(directory._Batch, "accept", after=lambda batch: bool(batch._waiting))


def _accepted_not_relayed() -> None:
    from broker.relay.lane import Lane

    _around(Lane, "_publish", before=lambda _, bundles, __, again: bool(bundles) and not again)


def _confirmed_not_marked() -> None:
    from broker.relay.lane import Lane

    _around(Lane, "collect", before=lambda lane, *_, **__: bool(lane.confirmed))


def _settled_half() -> None:
    from broker.outbox import recording

    original = recording._write

    def write(connection: Any, fate: Any, problems: Any, positions: Any, now: Any) -> None:
        half = len(positions) // 2
        original(connection, fate, problems, positions[:half], now)
        if half:
            _reached()
        original(connection, fate, problems, positions[half:], now)

    setattr(recording, "_write", write)  # noqa: B010  mypy keeps a function from being replaced


def _of_events(deliveries: Any) -> bool:
    return any("." in one.delivery.queue for one in deliveries)  # a consumer's queue, and not the house's own for control events


def _loading_not_committed() -> None:
    from consumers import inbox

    _around(inbox, "write_rows", before=lambda _, rows, __: bool(rows))


def _loaded_not_answered() -> None:
    from consumers.worker import Worker

    _around(Worker, "_answer", before=lambda _, answers, deliveries: bool(answers) and _of_events(deliveries))


def _loaded_not_acked() -> None:
    from consumers import delivering

    _around(delivering, "acknowledge", before=_of_events)


def _mid_migration() -> None:
    from alembic.operations import Operations

    _around(Operations, "invoke", after=lambda *_: True)


POINTS: dict[str, Callable[[], None]] = {
    "accepted-not-moved": _accepted_not_moved,
    "accepted-not-relayed": _accepted_not_relayed,
    "confirmed-not-marked": _confirmed_not_marked,
    "settled-half": _settled_half,
    "loading-not-committed": _loading_not_committed,
    "loaded-not-answered": _loaded_not_answered,
    "loaded-not-acked": _loaded_not_acked,
    "mid-migration": _mid_migration,
}
