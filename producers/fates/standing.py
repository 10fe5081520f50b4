"""What `panj status` says of fates told back: how far behind it is, and why. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from broker.operations.contributions import Attention, Reading
from broker.outbox.telling import TellingState
from schemas.names import Party

LATE = timedelta(minutes=10)
TOO_LATE = timedelta(hours=4)


def of_fates(party: Party, state: TellingState | None, now: datetime) -> Iterator[Reading]:
    """How it stands; None where the post was not started since fates are configured."""
    if state is None:
        advice = "the post has told nothing yet: was it started since posts.X.fates was set?"
        yield Reading(party.unit, "fates to tell", "not known", attention=Attention.WATCH, advice=advice)
        return
    if state.stopped_because is not None:
        advice = f"{state.stopped_because}: mend posts.X.fates, or the system that is told, and start the post again"
        yield Reading(party.unit, "fates told back", "stopped", attention=Attention.ACT, advice=advice)
    age = now - state.oldest_utc if state.oldest_utc is not None else timedelta(0)
    attention = Attention.ACT if age > TOO_LATE else Attention.WATCH if age > LATE else Attention.FINE
    advice = f"the national system does not take them: {state.trouble or 'see the post log'}" if attention else ""
    yield Reading(party.unit, "fates to tell", state.on_the_way + state.not_looked_at, "fates", attention, advice)
    yield Reading(party.unit, "oldest fate to tell", age.total_seconds() if state.oldest_utc else None, "s")
