"""Writing and signing what a post says: bundles of events, and control events such as beacons and manifests. When they are said is decided
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pydantic import BaseModel

from broker.bundle.pack import Route, control_event, pack
from broker.clocks import refuse_backwards
from broker.outbox.values import BeaconSent
from broker.ports import Message
from broker.relay.decisions import Bundle
from broker.trust.keys import Identity
from schemas.control import Beacon
from schemas.event import digest_of
from schemas.names import EventType, Party


def write_bundle(bundle: Bundle, party: Party, identity: Identity, now: datetime) -> Message:
    """Sign a bundle; UnavailableError `clock-behind` where the clock stands before one of its events: accepted since by another process."""
    refuse_backwards(now, max(row.accepted_at_utc for row in bundle.rows))
    route = Route(party, Party.of_urn(bundle.destination), bundle.type)
    return pack(route, [row.raw for row in bundle.rows], [row.digest for row in bundle.rows], identity, now)


class ControlWriter:
    """Writes in the name of one unit; `identity` is asked for at each signature, so that a renewed one signs from then on."""

    def __init__(self, party: Party, environment: str, identity: Callable[[], Identity]) -> None:
        self._party = party
        self._environment = environment
        self._identity = identity

    def write(self, event_type: EventType, destination: str, subject: str, data: BaseModel, now: datetime) -> bytes:
        """Write an event to `destination` (URN): its exact bytes."""
        house = Party.of_urn(destination)
        return control_event(event_type.value, self._party, house, environment=self._environment, subject=subject, data=data, now=now)

    def sign(self, event_type: EventType, destination: str, raw: bytes, now: datetime) -> Message:
        """Sign an event that was written before."""
        route = Route(self._party, Party.of_urn(destination), event_type.value)
        return pack(route, [raw], [digest_of(raw)], self._identity(), now)

    def beacon(self, beacon: BeaconSent, epoch: str) -> Message:
        """A beacon that is recorded, on its way."""
        said, at = Beacon(mark=beacon.mark, sent_at=beacon.sent_at_utc, epoch=epoch), beacon.sent_at_utc
        raw = self.write(EventType.BEACON, beacon.destination, f"beacon {beacon.mark}", said, at)
        return self.sign(EventType.BEACON, beacon.destination, raw, at)
