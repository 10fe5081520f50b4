"""When a post closes its account with a house and what it states then, as pure functions over values. The rules: docs/protocol.md, 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.outbox.closing_values import Account, Known, Outstanding, RunBegun, StreamName, StreamRun
from broker.relay.decisions import grace_seconds
from schemas.closing import block_of, spans
from schemas.limits import MANIFEST_BLOCKS, MANIFEST_STREAMS

HEALING = timedelta(hours=1)  # what was sent again and is not answered by then is left to the next closing
SCHEDULED = "scheduled"


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What the next manifest says of one stream: the blocks that it compares, as (first, last); where none, that `before` is answered."""

    name: StreamName
    before: int
    blocks: tuple[tuple[int, int], ...]


def reason_to_begin(account: Account, first_begun_utc: datetime, now: datetime, every_seconds: float) -> tuple[str, bool] | None:
    """Why a reconciliation begins now, and whether of everything; None while there is no reason. A clock set back does not silence it."""
    if account.under_way:
        return None
    if account.wish is not None:
        return account.wish.reason, account.wish.everything
    last = account.begun_at_utc or first_begun_utc
    return (SCHEDULED, False) if abs(now - last) >= timedelta(seconds=every_seconds) else None


def begin(account: Account, reason: str, everything: bool, known: Known, now: datetime) -> RunBegun | None:
    """What the reconciliation compares: each stream from the block in which its good agreement ends, or, for `everything`, from 1.

    None where nothing was ever said to the house and nobody asks.
    """
    if not known.answered and reason == SCHEDULED:
        return None
    streams = []
    for name, target in sorted(known.answered.items()):
        start = 1 if everything else block_of(known.agreed_for_good.get(name, 0) + 1)
        start = max(start, known.pruned_to.get(name, 0) + 1)
        streams.append(StreamRun(type=name.type, epoch=name.epoch, start=start, target=target, done=min(start - 1, target)))
    return RunBegun(account.destination, reason, everything, tuple(streams[-MANIFEST_STREAMS:]), now)


def may_state(runs: Sequence[StreamRun], answered: Mapping[StreamName, int], healing_since_utc: datetime | None, now: datetime) -> bool:
    """Whether the next manifest is made now, or still waits until what was sent again is answered."""
    if healing_since_utc is None or abs(now - healing_since_utc) >= HEALING:
        return True
    return all(answered.get(run.name, 0) >= run.goal for run in runs)


def plan(runs: Sequence[StreamRun], answered: Mapping[StreamName, int]) -> list[StreamPlan]:
    """What the next manifest states: of each stream the blocks that are not done, as many as fit into one; the rest follows."""
    room = MANIFEST_BLOCKS
    plans = []
    for run in runs:
        end = min(run.goal, answered.get(run.name, 0))
        first = max(run.start, run.done + 1)
        blocks = spans(first, end)[:room] if first <= end else []
        room -= len(blocks)
        plans.append(StreamPlan(run.name, min(run.done, end), tuple(blocks)))
    return plans


def repeats(outstanding: Outstanding, returned_mark: int, now: datetime, first_grace_seconds: float) -> bool:
    """Whether an unanswered manifest is sent again: a beacon that left after it has come home, and its grace has passed."""
    waited = timedelta(seconds=grace_seconds(outstanding.sends, first_grace_seconds))
    return returned_mark > outstanding.mark and abs(now - outstanding.sent_at_utc) >= waited


def set_back(highest: int | None, answered_then: int | None) -> bool:
    """Whether the house holds less than it had answered when the beacon left that tells of it: a backup was restored there."""
    return highest is not None and answered_then is not None and highest < answered_then
