"""A small frontier for the tests of the customs house: a real authority, posts that sign, declarations, and deliveries from memory."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from broker.bundle.pack import Route, pack
from broker.ports import Delivery, Message
from broker.trust.anchors import TrustStore
from broker.trust.authority import create_authority
from broker.trust.keys import Identity
from consumers.control import expectations
from consumers.opening import InHand
from schemas.event import digest_of, event_bytes, new_epoch, new_id, new_salt, schema_of, utc_text
from schemas.names import EventType, Party

HOUSE = Party("af", "customs")
EXPORT = EventType.EXPORT_DECLARATION.value
TRANSIT = EventType.TRANSIT_DECLARATION.value
CROSSING = EventType.CROSSING_EVENT.value

_ITEM: dict[str, Any] = {
    "hs_code": "080212",
    "description": "almonds, shelled",
    "origin_country": "TJ",
    "gross_mass_kg": "1250.500",
    "net_mass_kg": "1200.000",
    "package_count": "50",
    "package_kind": "BG",
    "procedure_code": "1000",
    "item_price": "3600.00",
    "statistical_value": "3700.50",
}


def declaration(number: int | str, version: int = 1, *, items: int = 3, **changes: Any) -> dict[str, Any]:
    """The data of an export declaration of about 1 kB; versions above 1 are amendments unless told otherwise."""
    data: dict[str, Any] = {
        "administration": "tj",
        "office_code": "TJPNJ",
        "registration_year": 2026,
        "registration_number": str(number),
        "version": version,
        "message_function": "original" if version == 1 else "amendment",
        "registered_on": "2026-11-23",
        "accepted_at": "2026-11-23T14:05:00+05:00",
        "declaration_type": "EX1",
        "exporter_id": "TJ0012345",
        "exporter_name": "Bodom Export",
        "consignee_name": "Kunduz Trading",
        "export_country": "TJ",
        "destination_country": "AF",
        "border_transport_mode": "3",
        "vehicle_ids": ["1234AB01"],
        "vehicle_nationality": "TJ",
        "invoice_amount": "10800.00",
        "invoice_currency": "USD",
        "gross_mass_kg": "3751.500",
        "items": [{"number": position, **_ITEM} for position in range(1, items + 1)],
    }
    if version > 1:
        data |= {"corrects": version - 1, "correction_reason": "mass corrected"}
    return data | changes


def cancellation(number: int | str, version: int, corrects: int = 1) -> dict[str, Any]:
    """The data of a cancellation."""
    data = declaration(number, version, items=0, message_function="cancellation", corrects=corrects, correction_reason="not exported")
    return {key: value for key, value in data.items() if key != "items"}


def crossing(event_number: str, kind: str, declaration_number: int | str, **changes: Any) -> dict[str, Any]:
    """The data of a crossing event at Panji Poyon."""
    return {
        "administration": "tj",
        "office_code": "TJPNJ",
        "event_number": event_number,
        "kind": kind,
        "occurred_at": "2026-11-23T16:30:00+05:00",
        "declaration_administration": "tj",
        "declaration_office_code": "TJPNJ",
        "declaration_year": 2026,
        "declaration_number": str(declaration_number),
        "vehicle": {"plates": ["1234AB01"], "seal_numbers": ["S1"]},
        "part_quantity": {"gross_mass_kg": "1250.500", "item_numbers": [1]},
    } | changes


def subject_of(data: Mapping[str, Any]) -> str:
    """The reference of a declaration or crossing event, from its data."""
    if "event_number" in data:
        return f"{data['administration'].upper()}/{data['office_code']}/crossing/{data['event_number']}"
    return f"{data['administration'].upper()}/{data['office_code']}/{data['registration_year']}/{data['registration_number']}"


@dataclass
class Post:
    """A border post that numbers its events and signs its bundles."""

    party: Party
    identity: Identity
    epoch: str = field(default_factory=new_epoch)
    sequences: dict[str, int] = field(default_factory=dict)

    def event(self, data: Mapping[str, Any], event_type: str = EXPORT, /, **changes: Any) -> bytes:
        """The exact bytes of the next event of a stream."""
        self.sequences[event_type] = self.sequences.get(event_type, 0) + 1
        attributes: dict[str, Any] = {
            "specversion": "1.0",
            "id": new_id(),
            "source": self.party.urn,
            "type": event_type,
            "subject": subject_of(data),
            "time": utc_text(datetime.now(UTC)),
            "datacontenttype": "application/json",
            "dataschema": schema_of(event_type),
            "destination": HOUSE.urn,
            "environment": "test",
            "sequence": self.sequences[event_type],
            "epoch": self.epoch,
            "purpose": "customs-control",
            "legalbasis": "bilateral protocol",
            "salt": new_salt(),
            "data": copy.deepcopy(dict(data)),
        }
        return event_bytes(attributes | changes)

    def bundle(self, events: Sequence[bytes], event_type: str = EXPORT) -> Message:
        """One signed message of these events."""
        route = Route(self.party, HOUSE, event_type)
        return pack(route, events, [digest_of(raw) for raw in events], self.identity, datetime.now(UTC))


class Hand:
    """A subscription that only remembers what was acknowledged."""

    def __init__(self) -> None:
        self.acked: list[Delivery] = []

    def take(self, limit: int, wait_seconds: float) -> list[Delivery]:
        """Nothing comes here by itself."""
        return []

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Remember."""
        self.acked.extend(deliveries)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class Frontier:
    """Two authorities, the Afghan customs house and a Tajik post, with real keys in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.tajik = create_authority(directory / "tj", "tj")
        self.afghan = create_authority(directory / "af", "af")
        self._identities: dict[str, Identity] = {}
        self.post = self.new_post("panji-poyon")
        pair = self.afghan.create_unit(HOUSE)
        self.house_identity = Identity.load(pair.key, pair.certificate)
        self.trust = TrustStore({"tj": self.tajik.anchor}, {"tj": self.tajik.crl.parent})
        self.expected = expectations("af", ["tj"], "test")
        self.hand = Hand()

    def new_post(self, name: str) -> Post:
        """A Tajik post with an epoch of its own; the same name has the same key."""
        if name not in self._identities:
            pair = self.tajik.create_unit(Party("tj", name))
            self._identities[name] = Identity.load(pair.key, pair.certificate)
        return Post(Party("tj", name), self._identities[name])

    def delivery(self, message: Message, redeliveries: int = 0) -> InHand:
        """The message as it comes out of the record's queue."""
        return InHand(Delivery(message, "af-customs.record", redeliveries, object()), "tj", self.hand)

    def deliveries(self, raws: Iterable[bytes], event_type: str = EXPORT, size: int = 500) -> list[InHand]:
        """These events in bundles of `size`."""
        listed = list(raws)
        parts = (listed[start : start + size] for start in range(0, len(listed), size))
        return [self.delivery(self.post.bundle(part, event_type)) for part in parts]
