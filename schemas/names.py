"""Names of senders, receivers, types and queues, and how each follows from another. Pure text, no I/O.

URN           urn:customs:tj:panji-poyon      who, in `source` and `destination` and in a certificate's URI SAN
unit          tj-panji-poyon                  the same, as a queue, a user and a part of a routing key
type          customs.export-declaration.v1   what
routing key   af-customs.customs-export-declaration-v1.tj-panji-poyon   <destination unit>.<type>.<origin unit>
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

URN_PATTERN = r"^urn:customs:[a-z]{2}:[a-z0-9]+(-[a-z0-9]+)*$"
ID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"  # UUIDv7 in lower case
TYPE_PATTERN = r"^customs\.[a-z]+(-[a-z]+)*\.v[1-9][0-9]?$"
_URN = re.compile(r"urn:customs:([a-z]{2}):([a-z0-9]+(?:-[a-z0-9]+)*)\Z")

_ID = re.compile(ID_PATTERN)

HOUSE = "customs"  # the name of every administration's customs house, the receiver of record


class EventType(StrEnum):
    """Every type of event of protocol version 1. A breaking change of content makes a new type with the next number."""

    EXPORT_DECLARATION = "customs.export-declaration.v1"
    IMPORT_DECLARATION = "customs.import-declaration.v1"
    TRANSIT_DECLARATION = "customs.transit-declaration.v1"
    CROSSING_EVENT = "customs.crossing-event.v1"
    RECEIPT = "customs.receipt.v1"
    BEACON = "customs.beacon.v1"
    MANIFEST = "customs.manifest.v1"
    MANIFEST_ANSWER = "customs.manifest-answer.v1"
    MANIFEST_REQUEST = "customs.manifest-request.v1"
    RECOVERY = "customs.recovery.v1"
    RECOVERY_ANSWER = "customs.recovery-answer.v1"
    WITHDRAWAL = "customs.withdrawal.v1"
    CRL = "customs.crl.v1"

    @property
    def in_stream(self) -> bool:
        """Whether events of it are numbered in a stream and receipted; the others are control events."""
        return self in STREAM_TYPES


STREAM_TYPES = frozenset(
    {
        EventType.EXPORT_DECLARATION,
        EventType.IMPORT_DECLARATION,
        EventType.TRANSIT_DECLARATION,
        EventType.CROSSING_EVENT,
    }
)


@dataclass(frozen=True, slots=True)
class Party:
    """A border post or a customs house: its country (ISO 3166-1 alpha-2, lower case) and its name within it."""

    country: str
    name: str

    @classmethod
    def of_urn(cls, urn: str) -> Party:
        """Read a URN; ValueError where it is not one of ours, character for character."""
        match = _URN.match(urn)
        if match is None:
            raise ValueError(f"not a customs URN such as urn:customs:tj:panji-poyon: {urn!r}")
        return cls(match.group(1), match.group(2))

    @property
    def urn(self) -> str:
        """The name that is signed."""
        return f"urn:customs:{self.country}:{self.name}"

    @property
    def unit(self) -> str:
        """The name in routing keys, queues and broker users."""
        return f"{self.country}-{self.name}"

    @property
    def is_house(self) -> bool:
        """Whether it is a customs house (the receiver of record) and not a post."""
        return self.name == HOUSE


def is_event_id(text: str) -> bool:
    """Whether a text has the form of an event's id."""
    return _ID.fullmatch(text) is not None


def house_of(country: str) -> Party:
    """The customs house of a country."""
    return Party(country, HOUSE)


def type_word(event_type: str) -> str:
    """The type as one word of a routing key: dots become hyphens."""
    return event_type.replace(".", "-")


def routing_key(destination: Party, event_type: str, origin: Party) -> str:
    """`<destination unit>.<type, dots as hyphens>.<origin unit>`."""
    return f"{destination.unit}.{type_word(event_type)}.{origin.unit}"
