"""Two administrations' units with certificates, and bundles from them, for the tests of packing and opening."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from broker.bundle.lines import CONTENT_TYPE, compress, join
from broker.bundle.open import Expected, OpenBundle, open_message
from broker.bundle.pack import Route, pack
from broker.ports import Message
from broker.trust.anchors import TrustStore
from broker.trust.keys import Identity
from broker.trust.signing import sign
from schemas.event import digest_of, event_bytes, new_id, new_salt, schema_of, utc_text
from schemas.limits import BUNDLE_EVENTS
from schemas.names import EventType, Party, house_of
from tests.unit.trust.certificates import NOW, identity, leaf, root

TJ_ROOT, AF_ROOT = root("root of tj"), root("root of af")
POST, HOUSE = Party("tj", "panji-poyon"), house_of("tj")
THEIR_HOUSE, THEIR_POST = house_of("af"), Party("af", "sher-khan-bandar")
EXPORT = Route(POST, THEIR_HOUSE, EventType.EXPORT_DECLARATION.value)
EXPECTED = Expected("tj", THEIR_HOUSE, "test")
_IDENTITIES: dict[str, Identity] = {}


def identity_of(party: Party) -> Identity:
    if party.urn not in _IDENTITIES:
        _IDENTITIES[party.urn] = identity(leaf(TJ_ROOT if party.country == "tj" else AF_ROOT, party.urn), urn=party.urn)
    return _IDENTITIES[party.urn]


def attributes(route: Route = EXPORT, number: int = 1, data: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """An event of the route as a dictionary, to be spoiled by a test; a change to None takes the attribute away."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": new_id(),
        "source": route.source.urn,
        "type": route.type,
        "subject": "TJPP/2026/E1234",
        "time": utc_text(NOW),
        "datacontenttype": "application/json",
        "dataschema": schema_of(route.type),
        "destination": route.destination.urn,
        "environment": "test",
        "purpose": "customs-control",
        "legalbasis": "bilateral protocol",
        "salt": new_salt(),
        "data": {"number": number} if data is None else dict(data),
    }
    if EventType(route.type).in_stream:
        event |= {"sequence": number, "epoch": "00112233445566aa"}
    return {name: value for name, value in (event | changes).items() if value is not None}


def bundle(raws: Sequence[bytes], route: Route = EXPORT, signer: Identity | None = None) -> Message:
    return pack(route, raws, [digest_of(raw) for raw in raws], signer or identity_of(route.source), NOW)


def signed_anyhow(
    raws: Sequence[bytes], route: Route, signer: Identity | None = None, now: datetime = NOW, *, body: bytes | None = None, **headers: Any
) -> Message:
    """A message of these bytes rightly signed by the route's source, whatever they hold: `pack` without its checks."""
    jws = sign([digest_of(raw) for raw in raws[:BUNDLE_EVENTS]], signer or identity_of(route.source), now)
    packed, encoding = compress(join(raws) if body is None else body)
    told: dict[str, Any] = {
        "jws": jws,
        "source": route.source.urn,
        "destination": route.destination.urn,
        "type": str(route.type),
        "events": len(raws),
        "environment": "test",
    }
    return Message(route.routing_key, packed, told | headers, CONTENT_TYPE, encoding)


def events(count: int = 3, route: Route = EXPORT) -> list[bytes]:
    return [event_bytes(attributes(route, number)) for number in range(1, count + 1)]


def opened(message: Message, trust: TrustStore, expected: Expected = EXPECTED) -> OpenBundle:
    return open_message(message, trust, expected, NOW)


def with_headers(message: Message, **changes: Any) -> Message:
    """The message with other headers; a change to None takes the header away."""
    headers = {name: value for name, value in (dict(message.headers) | changes).items() if value is not None}
    return replace(message, headers=headers)


def parsed(raw: bytes) -> dict[str, Any]:
    found = json.loads(raw)
    assert isinstance(found, dict)
    return found
