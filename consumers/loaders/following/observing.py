"""What `panj status` tells of followers: how far behind each is, what it could not write, and what keeps it from going on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection

from broker.operations.contributions import Attention, Reading
from broker.settings.model import Settings
from consumers.loaders.following import ledger
from consumers.loaders.following.values import Outcome

BEHIND = timedelta(minutes=10)  # what waits longer needs a look


def observe_followers(connection: Connection, settings: Settings, now_utc: datetime) -> Iterator[Reading]:
    """Read how each follower stands."""
    for follower in settings.house.followers if settings.house else ():
        subject = f"{settings.house_party.unit} follower {follower.name}"
        stands = ledger.standing(connection, follower)
        if stands.trouble is not None:
            yield Reading(subject, "hindered", stands.trouble.code, attention=Attention.ACT, advice=stands.trouble.text)
        late = stands.oldest_utc is not None and now_utc - stands.oldest_utc > BEHIND
        advice = "is the house running? It follows what it has loaded" if late else ""
        yield Reading(subject, "behind", stands.behind, "events", Attention.WATCH if late else Attention.FINE, advice)
        failed = stands.outcomes.get(Outcome.FAILED.value, 0)
        if failed:
            attention = Attention.ACT if stands.failed_for_good else Attention.WATCH
            advice = f'"panj customs follow status {follower.name}" says why; then "panj customs follow again {follower.name} --failed"'
            yield Reading(subject, "not written", failed, "events", attention, advice)
