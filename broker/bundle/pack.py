"""From events to a message: join them, sign their digests, compress, and copy what routing and people need into headers.

Which events go into one bundle is the relay's decision; opening stands in `open`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from broker.bundle.lines import CONTENT_TYPE, compress, join
from broker.ports import Message
from broker.trust.keys import Identity
from broker.trust.signing import sign
from schemas.errors import UsageError
from schemas.event import Event, event_bytes, new_id, new_salt, schema_of, utc_text
from schemas.limits import BODY_BYTES, UNPACKED_BYTES
from schemas.names import Party, routing_key

CONTROL_PURPOSE = "exchange-control"
CONTROL_LEGAL_BASIS = "bilateral protocol on electronic exchange"


@dataclass(frozen=True, slots=True)
class Route:
    """What all events of a bundle share: from whom, to whom, of which type."""

    source: Party
    destination: Party
    type: str

    @property
    def routing_key(self) -> str:
        """Where the broker takes it."""
        return routing_key(self.destination, self.type, self.source)


def pack(route: Route, events: Sequence[bytes], digests: Sequence[bytes], identity: Identity, now_utc: datetime) -> Message:
    """Make one message of the exact bytes of 1 to 500 events of one route and their SHA-256 digests, signed by the route's source.

    UsageError where the identity is another unit's, or a limit of the protocol is passed.
    """
    if identity.urn != route.source.urn:
        raise UsageError("bundle-signer", f"{identity.urn} does not sign for another unit", value=route.source.urn)
    if len(events) != len(digests):
        raise UsageError("bundle-count", "every event has one digest", value=f"{len(events)} events, {len(digests)} digests")
    jws = sign(digests, identity, now_utc)
    body = join(events)
    packed, encoding = compress(body)
    if len(body) > UNPACKED_BYTES or len(packed) > BODY_BYTES:
        raise UsageError("bundle-too-large", f"a body has at most {UNPACKED_BYTES} bytes, {BODY_BYTES} packed", value=len(body))
    headers: dict[str, str | int] = {
        "jws": jws,
        "source": route.source.urn,
        "destination": route.destination.urn,
        "type": str(route.type),
        "events": len(events),
        "environment": json.loads(events[0])["environment"],
    }
    return Message(route.routing_key, packed, headers, CONTENT_TYPE, encoding)


def control_event(
    type: str,
    source: Party,
    destination: Party,
    *,
    environment: str,
    purpose: str = CONTROL_PURPOSE,
    legal_basis: str = CONTROL_LEGAL_BASIS,
    subject: str,
    data: BaseModel | Mapping[str, Any],
    now: datetime,
) -> bytes:
    """Make the exact bytes of a control event (receipt, beacon, CRL, manifest, …); `data` is its model or JSON-ready."""
    event = Event(
        specversion="1.0",
        id=new_id(),
        source=source.urn,
        type=type,
        subject=subject,
        time=now,
        dataschema=schema_of(type),
        destination=destination.urn,
        environment=environment,
        purpose=purpose,
        legalbasis=legal_basis,
        salt=new_salt(),
        data=data.model_dump(mode="json", exclude_none=True) if isinstance(data, BaseModel) else dict(data),
    )
    return event_bytes(event.model_dump(exclude_none=True) | {"time": utc_text(now)})
