"""The decisions about arrivals that need no database: what is new, what came before, what contradicts; and whether content is sound.

Pure: what the inbox knows is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from broker.bundle.open import OpenEvent
from broker.bundle.sealed import is_sealed, unseal
from broker.trust.sealing import DecryptionKeys
from consumers.context import ReceivedEvent
from consumers.inbox import Known, Place
from consumers.opening import Arrival
from schemas.content import content_digest, validate
from schemas.errors import ContentError, Problem
from schemas.event import Event
from schemas.names import Party
from schemas.sealed import Plaintext

Stream = tuple[str, str, str]  # source, type, epoch
NOTHING_PRUNED: Mapping[Stream, int] = MappingProxyType({})


def is_pruned(place: Place, marks: Mapping[Stream, int]) -> bool:
    """Whether a place is one of those whose events are in the archive only."""
    source, _, kind, epoch, sequence = place
    return sequence <= marks.get((source, kind, epoch), 0)


@dataclass(frozen=True, slots=True)
class Conflict:
    """An arrival that contradicts what is known: the same id, or the same place in a stream, with other bytes."""

    arrival: Arrival
    problem: Problem


@dataclass(frozen=True, slots=True)
class Sorted:
    """Arrivals by what is to be done with them: load the fresh ones, answer the others with their first fate, park conflicts."""

    fresh: tuple[Arrival, ...]
    again: tuple[Arrival, ...]
    conflicts: tuple[Conflict, ...]


def sort_out(opened: Sequence[Arrival], known: Sequence[Known], marks: Mapping[Stream, int] = NOTHING_PRUNED) -> Sorted:
    """Tell fresh arrivals from those that came before (in the inbox or earlier in this batch) and from contradictions.

    `marks`: up to where streams are in the archive only. What is unknown there came before and was finished: it is not loaded again.
    """
    digests = {row.event_id: row.digest for row in known}
    places = {row.place: row.event_id for row in known}
    fresh: list[Arrival] = []
    again: list[Arrival] = []
    conflicts: list[Conflict] = []
    for arrival in opened:
        event_id, place = arrival.id, arrival.place
        digest = digests.get(event_id)
        holder = places.get(place)
        if digest == arrival.opened.digest:
            again.append(arrival)
        elif digest is not None:
            problem = Problem(code="event-conflict", text="this id is known with other bytes", field="id", value=event_id)
            conflicts.append(Conflict(arrival, problem))
        elif holder is not None:
            text = f"this place of the stream is taken by event {holder}"
            problem = Problem(code="sequence-conflict", text=text, field="sequence", value=str(place[-1]))
            conflicts.append(Conflict(arrival, problem))
        elif is_pruned(place, marks):
            text = "its place in the stream was agreed and archived long ago: it is not taken in again"
            conflicts.append(Conflict(arrival, Problem(code="event-pruned", text=text, field="sequence", value=str(place[-1]))))
        else:
            digests[event_id] = arrival.opened.digest
            places[place] = event_id
            fresh.append(arrival)
    return Sorted(tuple(fresh), tuple(again), tuple(conflicts))


def readable(event: Event, keys: DecryptionKeys) -> Plaintext:
    """What an event says: its data, decrypted where it came encrypted, with the key under which reasons go back (empty: openly).

    ContentError `sealed-broken`; UnavailableError `sealed-key-unknown` where it is encrypted to a key that is not among `keys`.
    """
    return unseal(event, keys) if is_sealed(event) else Plaintext(event.data, b"")


def check(opened: OpenEvent, said: Plaintext, received_at_utc: datetime) -> ReceivedEvent:
    """Validate an event's content and that envelope and content agree; ContentError with the problems otherwise (fate REFUSED)."""
    event = opened.event
    data = validate(event.type, said.data)
    problems = []
    subject = event.id if is_sealed(event) else data.reference  # a sealed event's envelope tells the brokers nothing
    if event.subject != subject:
        text = "the event's subject is not the reference of its content, or, where it is encrypted, not its id"
        problems.append(Problem(code="subject-mismatch", text=text, field="subject", value=event.subject[:100]))
    country = Party.of_urn(event.source).country
    if data.administration != country:
        text = f"a post of {country} speaks for its own administration only"
        problems.append(Problem(code="administration-mismatch", text=text, field="administration", value=data.administration))
    if problems:
        raise ContentError.of(problems)
    return received(opened, said, data, received_at_utc)


def received(opened: OpenEvent, said: Plaintext, data: Any, received_at_utc: datetime) -> ReceivedEvent:
    """The event as handlers get it; `data` is the value of its type's model."""
    event = opened.event
    return ReceivedEvent(
        id=event.id,
        type=event.type,
        source=event.source,
        destination=event.destination,
        epoch=event.epoch or "",
        sequence=event.sequence or 0,
        reference=data.reference,
        version=data.version,
        accepted_at_utc=event.time.astimezone(UTC),
        received_at_utc=received_at_utc,
        purpose=event.purpose,
        legal_basis=event.legalbasis,
        digest=opened.digest,
        content=content_digest(said.data),
        raw=opened.raw,
        data=data,
    )
