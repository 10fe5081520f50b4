"""What `panj status` says of the second copy of an outbox. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from broker.operations.contributions import Attention, Reading
from broker.outbox.copying import CopyStanding
from schemas.names import Party

UNSEEN = timedelta(minutes=5)  # the daemon says every half minute how it stands


def of_copy(party: Party, standing: CopyStanding | None, now: datetime, *, relayed: bool) -> Iterator[Reading]:
    """How it stands; `relayed`: the post's daemon runs, and should have told."""
    if standing is None or (relayed and now - standing.seen_at_utc > UNSEEN):
        advice = "the post has not told how its second copy stands: was it started since second_copy was set?"
        yield Reading(party.unit, "second copy", "not known", attention=Attention.WATCH, advice=advice)
    elif standing.trouble is not None:
        advice = f"{standing.trouble}. What is accepted has one copy until {standing.directory} is back; then it catches up by itself"
        value = f"missing since {standing.since_utc:%Y-%m-%d %H:%M} UTC"
        yield Reading(party.unit, "second copy", value, attention=Attention.ACT, advice=advice)
    else:
        yield Reading(party.unit, "second copy", "whole" if standing.whole else "catching up")
