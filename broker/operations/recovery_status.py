"""What `panj status` says of an outbox that was set back: that nothing is accepted, what to do, how far its recovery is. Reads only."""

from __future__ import annotations

from collections.abc import Iterator

from broker.operations.contributions import Attention, Reading
from broker.outbox.values import HouseRecovery, RecoveryState
from schemas.names import Party


def standing(party: Party, state: RecoveryState) -> Iterator[Reading]:
    """Nothing while all is well."""
    recover = f'run "panj post recover --post {party.name}"'
    if state.life.suspected_because is not None:
        advice = f"{state.life.suspected_because}: {recover}"
        yield Reading(party.unit, "acceptance", "refused: the outbox was set back", attention=Attention.ACT, advice=advice)
    elif state.life.recovering:
        waits = ", ".join(Party.of_urn(house).unit for house in state.waiting_for)
        advice = f"it accepts again once these houses have told what they hold: {waits}. {recover}, or leave it to the running post"
        yield Reading(party.unit, "acceptance", "refused: the outbox recovers", attention=Attention.ACT, advice=advice)
        for house in state.houses:
            yield from _progress(party, house)


def _progress(party: Party, house: HouseRecovery) -> Iterator[Reading]:
    subject = f"{party.unit} → {Party.of_urn(house.destination).unit}"
    if house.answered_at_utc is not None:
        yield Reading(subject, "recovery", "all told", advice=f"{house.told} events")
        return
    told = "not answered yet" if house.remaining is None else f"{house.told} told, {house.remaining} left"
    advice = "see the link and the beacon" if house.remaining is None else ""
    yield Reading(subject, "recovery", told, attention=Attention.WATCH, advice=advice)
