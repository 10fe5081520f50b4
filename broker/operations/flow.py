"""Why something does not flow at a post, for `panj status`: what hinders its relay, and whether its outbox may still accept. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from broker.operations.contributions import Attention, Reading
from broker.outbox.room import MEGABYTE, free_bytes
from broker.outbox.values import Depth, Hindrance
from broker.settings.model import RelaySettings
from broker.topology.observe import QueueState
from schemas.names import Party

LONG = timedelta(hours=1)
NEARLY_FULL = 0.8
_ACT_AT_ONCE = frozenset({"broker-blocked", "type-unrouted", "clock-behind", "certificate-expired"})  # no waiting ends these


def hindrances(party: Party, noted: Sequence[Hindrance], now: datetime) -> Iterator[Reading]:
    """What keeps a relay that runs from sending, and to whom; `certificate-expired` and `clock-behind` concern all destinations."""
    for one in noted:
        subject = f"{party.unit} → {Party.of_urn(one.destination).unit}" if one.destination else party.unit
        urgent = one.code in _ACT_AT_ONCE or now - one.since_utc > LONG
        since = f"since {one.since_utc:%Y-%m-%d %H:%M:%S} UTC: {one.words}"
        yield Reading(subject, "waits because", one.code, attention=Attention.ACT if urgent else Attention.WATCH, advice=since)


def room(party: Party, url: str, relay: RelaySettings, depths: Sequence[Depth]) -> Iterator[Reading]:
    """How much more the outbox may accept."""
    free, reserve = free_bytes(url), relay.outbox_min_free_mb
    if free is not None:
        megabytes = free // MEGABYTE
        attention = Attention.ACT if megabytes < reserve else Attention.WATCH if megabytes < 4 * reserve else Attention.FINE
        advice = f"below {reserve} MB nothing more is accepted: make room" if attention else ""
        yield Reading(party.unit, "disk free for the outbox", megabytes, "MB", attention, advice)
    if relay.outbox_max_unsettled is not None:
        unsettled = sum(depth.waiting + depth.in_flight + depth.held for depth in depths)
        near = unsettled > NEARLY_FULL * relay.outbox_max_unsettled
        advice = f"at {relay.outbox_max_unsettled:,} nothing more is accepted until receipts come home" if near else ""
        yield Reading(party.unit, "unsettled", unsettled, "events", Attention.ACT if near else Attention.FINE, advice)


def fill(queue: QueueState, most_bytes: int) -> Reading | None:
    """How full a federation queue is, once that is worth telling: when it is full, outboxes keep the rest."""
    share = queue.size_bytes / most_bytes
    if share < NEARLY_FULL:
        return None
    advice = "when it is full our broker refuses bundles, and the outboxes keep them: mend the link"
    return Reading(f"queue {queue.lane}/{queue.name}", "full", round(100 * share), "%", Attention.ACT, advice)
