"""What the relay decides, as pure functions over values: how much may leave, in which bundles, what is sent again, when a beacon is due.

Nothing here reads a clock, a database or a broker. The rules are DESIGN.md 3 (bundles) and 5 (healers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from broker.outbox.values import BeaconState, OutboxRow, RelayedRow
from broker.ports import Published
from schemas.limits import BODY_BYTES, BUNDLE_EVENTS

LINE_SECONDS = 8  # a bundle's events, uncompressed, take no longer on a slow line; compressed it is a quarter of that
BODY_MARGIN = 4_096  # left free under the limit of a body
IDLE_BEACON_SECONDS = 60.0
BEACON_PATIENCE_SECONDS = 60.0  # the longest wait between two beacons while none comes back
GRACE_CAP_SECONDS = 6 * 3600.0
FRESH_SECONDS = 600.0  # what was accepted since is fresh: where older rows wait, it does not wait behind them
HELD_GRACE_SECONDS = 3600.0  # a person decides over there: ask rarely
FAILURE_CAP_SECONDS: Mapping[Published, float] = {
    Published.LOST: 5.0,  # the connection says by itself when it is back
    Published.REFUSED: 15.0,  # a full queue has room again as soon as the line is mended
    Published.RETURNED: 60.0,  # somebody must mend the topology first
}


@dataclass(frozen=True, slots=True)
class Credit:
    """An amount of events and bytes: a window, what is in flight of it, or what is left."""

    events: int
    bytes: int

    @property
    def spent(self) -> bool:
        """Whether nothing more may leave."""
        return self.events <= 0 or self.bytes <= 0


@dataclass(frozen=True, slots=True)
class BundleLimits:
    """The most that one bundle holds: events, and bytes of events with what stands between them."""

    events: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """Rows that leave together: one destination (URN), one type."""

    destination: str
    type: str
    rows: tuple[OutboxRow, ...]

    @property
    def size_bytes(self) -> int:
        """The events' bytes."""
        return sum(row.size_bytes for row in self.rows)


class ResendDecision(Enum):
    """Whether an unsettled row is sent again, and if not, why not yet."""

    DUE = "due"
    BEACON_MISSING = "no beacon that left after it has come back"
    WITHIN_GRACE = "its grace has not passed"


def credit(window: Credit, in_flight: Credit) -> Credit:
    """What may still leave: the window less what is in flight, never less than nothing.

    One event larger than the bytes left may leave while any are left, so that a large one never waits for ever.
    """
    return Credit(max(0, window.events - in_flight.events), max(0, window.bytes - in_flight.bytes))


def fresh_since(now: datetime) -> datetime:
    """From which instant on what was accepted is fresh."""
    return now - timedelta(seconds=FRESH_SECONDS)


def fresh_share(left: Credit) -> Credit:
    """What of the credit fresh rows may take while older ones wait: half of it, so that neither waits for the other."""
    return Credit((left.events + 1) // 2, (left.bytes + 1) // 2)


def is_cut_off(taken: Credit, left: Credit) -> bool:
    """Whether rows that were read end where the credit ends, so that more may wait."""
    mean = taken.bytes // max(1, taken.events)
    return taken.events >= left.events or taken.bytes + mean > left.bytes


def is_morsel(taken: Credit, left: Credit, window: Credit, limits: BundleLimits) -> bool:
    """Whether what would leave is a backlog's small piece, cut off where the credit ends, and better waits until more is free.

    Each small bundle would be answered by a small receipt, which frees just as little (RFC 1122, section 4.2.3.4: the silly window). What
    all fits into the credit is never one, so a lone event leaves at once.
    """
    return (
        is_cut_off(taken, left)
        and taken.events < min(limits.events, window.events // 4)
        and taken.bytes < min(limits.bytes, window.bytes // 4)
    )


def bundle_limits(line_kbit_per_second: int | None) -> BundleLimits:
    """The protocol's limits, and some seconds of a slow line."""
    most = BODY_BYTES - BODY_MARGIN
    if line_kbit_per_second is not None:
        most = min(most, line_kbit_per_second * 125 * LINE_SECONDS)
    return BundleLimits(BUNDLE_EVENTS, most)


def cut_bundles(rows: Sequence[OutboxRow], limits: BundleLimits) -> list[Bundle]:
    """Cut rows into bundles of one (destination, type), each row in one, order kept within each type, the oldest bundle first.

    A row larger than the limit of bytes makes a bundle by itself.
    """
    done: list[list[OutboxRow]] = []
    open_ones: dict[tuple[str, str], tuple[list[OutboxRow], int]] = {}
    for row in rows:
        name = (row.destination, row.type)
        gathered, size = open_ones.get(name, ([], 0))
        cost = row.size_bytes + 2  # the comma and the newline
        if not gathered or len(gathered) >= limits.events or size + cost > limits.bytes:
            gathered, size = [], 0
            done.append(gathered)
        gathered.append(row)
        open_ones[name] = (gathered, size + cost)
    return [Bundle(gathered[0].destination, gathered[0].type, tuple(gathered)) for gathered in done]


def grace_seconds(relays: int, first_seconds: float, *, held: bool = False) -> float:
    """How long a row that was relayed so often waits for its receipt: twice as long each time, up to `GRACE_CAP_SECONDS`."""
    first = max(first_seconds, HELD_GRACE_SECONDS) if held else first_seconds
    return min(first * 2.0 ** min(max(relays - 1, 0), 32), max(first, GRACE_CAP_SECONDS))


def due_for_resend(row: RelayedRow, returned_mark: int, now: datetime, first_grace_seconds: float) -> ResendDecision:
    """Whether a row is sent again: only once a beacon that left after it has come back, and its grace has passed."""
    if returned_mark <= row.relayed_mark:
        return ResendDecision.BEACON_MISSING
    held = row.answered_fate is not None
    if now - row.relayed_at_utc < timedelta(seconds=grace_seconds(row.relays, first_grace_seconds, held=held)):
        return ResendDecision.WITHIN_GRACE
    return ResendDecision.DUE


def beacon_interval_seconds(state: BeaconState, *, unsettled: bool, beacon_seconds: float) -> float:
    """How long after the last beacon the next one leaves: growing while none comes back, rarely while nothing is under way."""
    unanswered = state.sent_mark - state.returned_mark
    usual = beacon_seconds if unsettled else max(beacon_seconds, IDLE_BEACON_SECONDS)
    if unanswered <= 1:
        return usual
    return max(usual, min(beacon_seconds * 2.0 ** min(unanswered - 1, 32), max(beacon_seconds, BEACON_PATIENCE_SECONDS)))


def beacon_due(state: BeaconState, now: datetime, *, unsettled: bool, beacon_seconds: float) -> bool:
    """Whether the next beacon leaves now. A clock set back does not silence it."""
    if state.sent_at_utc is None:
        return True
    interval = timedelta(seconds=beacon_interval_seconds(state, unsettled=unsettled, beacon_seconds=beacon_seconds))
    return abs(now - state.sent_at_utc) >= interval


def failure_wait_seconds(failures: int, last: Published) -> float:
    """How long a destination is left alone after so many publishes in a row that were not confirmed: 1, 2, 4 … seconds."""
    return min(2.0 ** min(failures - 1, 32), FAILURE_CAP_SECONDS.get(last, 60.0))
