"""From a message to events that are believed: cheapest checks first, and a bundle that fails any of them is worth nothing at all.

What becomes of the events (validation of `data`, duplicates, loading) is decided by who asked. Who signed is checked in
`broker.trust`; who may say what is the table `MAY_SAY` here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import ValidationError

from broker.bundle.lines import CONTENT_TYPE, expand, split
from broker.bundle.pack import Route
from broker.ports import Message
from broker.trust.anchors import TrustStore
from broker.trust.signing import Signatory, verify
from schemas import strict_json
from schemas.content import problems_of
from schemas.errors import ContentError, DistrustError, Problem
from schemas.event import Event, digest_of
from schemas.limits import BODY_BYTES, HEADER_BYTES
from schemas.names import STREAM_TYPES, EventType, Party

_POST_TO_HOUSE = (False, True)
_HOUSE_TO_POST = (True, False)
_HOUSE_TO_HOUSE = (True, True)

MAY_SAY: dict[str, frozenset[tuple[bool, bool]]] = {
    # type: who says it to whom, as (the sender is a customs house, the receiver is a customs house)
    **{event_type.value: frozenset({_POST_TO_HOUSE}) for event_type in STREAM_TYPES},
    EventType.MANIFEST: frozenset({_POST_TO_HOUSE}),
    EventType.RECOVERY: frozenset({_POST_TO_HOUSE}),
    EventType.WITHDRAWAL: frozenset({_POST_TO_HOUSE}),
    EventType.BEACON: frozenset({_POST_TO_HOUSE, _HOUSE_TO_POST}),
    EventType.RECEIPT: frozenset({_HOUSE_TO_POST}),
    EventType.MANIFEST_ANSWER: frozenset({_HOUSE_TO_POST}),
    EventType.MANIFEST_REQUEST: frozenset({_HOUSE_TO_POST}),
    EventType.RECOVERY_ANSWER: frozenset({_HOUSE_TO_POST}),
    EventType.CRL: frozenset({_HOUSE_TO_POST, _HOUSE_TO_HOUSE}),
}
_COPIES = ("source", "destination", "type", "environment")
_COPY_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Expected:
    """What the receiver knows before it opens anything: the lane's country (its virtual host), itself, and its environment."""

    lane_country: str
    receiver: Party
    environment: str


@dataclass(frozen=True, slots=True)
class OpenEvent:
    """One event of a trusted bundle, with its exact bytes and their SHA-256."""

    event: Event
    raw: bytes = field(repr=False)
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnreadableEvent:
    """One entry of a trusted bundle that is no event: not strict JSON, or an attribute is missing or wrong. The others are untouched."""

    raw: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    problem: Problem


@dataclass(frozen=True, slots=True)
class OpenBundle:
    """A bundle that is believed; `jws` with the raw bytes of its events is the evidence of who said it."""

    signatory: Signatory
    route: Route
    events: tuple[OpenEvent, ...]
    unreadable: tuple[UnreadableEvent, ...]
    jws: str = field(repr=False)


def open_message(message: Message, trust: TrustStore, expected: Expected, now_utc: datetime) -> OpenBundle:
    """Open a message that came through the lane of `expected`; DistrustError with its code where it is not to be trusted (fate PARKED)."""
    copies, jws, count = _headers(message)
    route = _route(message, copies, expected)
    raws = split(expand(message.body, message.content_encoding))
    if len(raws) != count:
        raise DistrustError("bundle-copy-mismatch", "the header and the body disagree", field="events", value=f"{count}, {len(raws)}")
    digests = [digest_of(raw) for raw in raws]
    # A CRL vouches for itself; were its bringer refused for a stale one, nothing could ever end that.
    signatory = verify(jws, digests, trust, now_utc, expected.lane_country, brings_crl=route.type == EventType.CRL)
    if signatory.urn != route.source.urn:
        raise DistrustError("bundle-source-foreign", "a unit speaks for itself only", field="source", value=signatory.urn)
    events, unreadable = _read(raws, digests)
    for each in events:
        _check_copies(each.event, copies)
    return OpenBundle(signatory, route, events, unreadable, jws)


def _headers(message: Message) -> tuple[dict[str, str], str, int]:
    """The copies, the signature and the number of events, as far as their form is right."""
    if len(message.body) > BODY_BYTES:
        raise DistrustError("bundle-too-large", f"the body is larger than {BODY_BYTES} bytes", value=len(message.body))
    if message.content_type != CONTENT_TYPE:
        raise DistrustError("bundle-content-type", f"only {CONTENT_TYPE} is taken", field="content_type", value=message.content_type)
    jws, count = message.headers.get("jws"), message.headers.get("events")
    if not isinstance(jws, str):
        raise DistrustError("bundle-header", "the message carries no signature", field="jws")
    if len(jws) > HEADER_BYTES:
        raise DistrustError("jws-too-long", f"longer than {HEADER_BYTES} characters", field="jws", value=len(jws))
    if type(count) is not int:
        raise DistrustError("bundle-header", "a number is needed", field="events", value=count)
    copies = {}
    for name in _COPIES:
        value = message.headers.get(name)
        if not isinstance(value, str) or len(value) > _COPY_CHARACTERS:
            raise DistrustError("bundle-header", "a short text is needed", field=name, value=value)
        copies[name] = value
    return copies, jws, count


def _route(message: Message, copies: dict[str, str], expected: Expected) -> Route:
    """The route that the headers claim, if this receiver takes it from this lane at all; what they claim is proven later."""
    try:
        route = Route(Party.of_urn(copies["source"]), Party.of_urn(copies["destination"]), copies["type"])
    except ValueError as error:
        raise DistrustError("bundle-header", "source and destination are customs URNs", field="source", value=error) from None
    if route.routing_key != message.routing_key:
        raise DistrustError("bundle-copy-mismatch", "the routing key is not the headers'", field="routing_key", value=message.routing_key)
    if route.source.country != expected.lane_country:
        raise DistrustError(
            "trust-country-mismatch", f"only {expected.lane_country} may speak here", field="source", value=route.source.urn
        )
    if route.destination != expected.receiver:
        raise DistrustError("bundle-destination", "it is for somebody else", field="destination", value=route.destination.urn)
    if copies["environment"] != expected.environment:
        raise DistrustError(
            "bundle-environment", f"this side's environment is {expected.environment}", field="environment", value=copies["environment"]
        )
    allowed = MAY_SAY.get(route.type)
    if allowed is None:
        raise DistrustError("bundle-type-unknown", "no such type in this version of the protocol", field="type", value=route.type)
    if (route.source.is_house, route.destination.is_house) not in allowed:
        raise DistrustError("bundle-may-not-say", "this sender may not say this to this receiver", field="type", value=route.type)
    return route


def _read(raws: Sequence[bytes], digests: Sequence[bytes]) -> tuple[tuple[OpenEvent, ...], tuple[UnreadableEvent, ...]]:
    events, unreadable = [], []
    for raw, digest in zip(raws, digests, strict=True):
        try:
            events.append(OpenEvent(Event.model_validate(strict_json.parse(raw)), raw, digest))
        except ContentError as error:
            unreadable.append(UnreadableEvent(raw, digest, error.problems[0]))
        except ValidationError as error:
            unreadable.append(UnreadableEvent(raw, digest, problems_of(error)[0]))
    return tuple(events), tuple(unreadable)


def _check_copies(event: Event, copies: dict[str, str]) -> None:
    """Every event must be what the headers say: a bundle holds events of one route and one environment."""
    for name in _COPIES:
        if getattr(event, name) != copies[name]:
            raise DistrustError("bundle-copy-mismatch", "a header and a signed event disagree", field=name, value=getattr(event, name))
