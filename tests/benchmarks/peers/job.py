"""What the job is, whatever carries it: the message made and signed at the post, opened and answered at the house, believed at the post.

One message each. Signing, strict parsing and validation are this project's own functions, so that they cost the peers what they cost us.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from broker.bundle.open import OpenEvent
from broker.settings.load import load_settings
from broker.settings.model import KeyPair, Settings
from broker.trust.anchors import TrustStore
from broker.trust.keys import Identity, own_identity
from broker.trust.signing import b64url, sign, unb64url, verify
from consumers.context import ReceivedEvent
from consumers.decisions import check
from schemas.errors import DistrustError
from schemas.event import Event, digest_of, event_bytes, new_id, new_salt, schema_of, utc_text
from schemas.names import EventType, Party, house_of
from schemas.sealed import Plaintext
from schemas.strict_json import parse
from tests.benchmarks.ours import POST

EXCHANGE = "outbound"
Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a peer is set up: declarations sent and not yet settled; messages given to one process and not yet acknowledged; house
    processes; PostgreSQL sessions of one house process.
    """

    in_flight: int
    prefetch: int
    processes: int
    sessions: int = 1


@dataclass(frozen=True)
class Peering:
    """Everything that a peer's process is told, in a file: where both administrations' settings lie, its outbox and its database."""

    name: str
    sender: str
    receiver: str
    outbox: str
    database: str
    tuning: Tuning
    twice: int = 0  # every so many-th declaration is sent twice; 0: none

    def write(self, path: Path) -> None:
        """Write it for the peer's processes; the database's address holds a password."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: str) -> Peering:
        """Read what `write` wrote."""
        told = json.loads(Path(path).read_text())
        return cls(**told | {"tuning": Tuning(**told["tuning"])})

    @cached_property
    def post(self) -> Unit:
        """The sender."""
        settings = load_settings(Path(self.sender))
        return Unit(settings, settings.post_party(POST), settings.posts[POST], "af", self.name)

    @cached_property
    def house(self) -> Unit:
        """The receiver."""
        settings = load_settings(Path(self.receiver))
        assert settings.house is not None
        return Unit(settings, settings.house_party, settings.house, "tj", self.name)


class Unit:
    """A post or a house of a peer: it logs in as this project's own unit of that name and has a queue of its own beside its."""

    def __init__(self, settings: Settings, party: Party, pair: KeyPair, lane: str, peer: str) -> None:
        self.settings, self.party, self.pair, self.lane = settings, party, pair, lane
        self.queue = f"{party.unit}.{peer}"
        self.identity: Identity = own_identity(party, pair)
        self.trust = TrustStore.of(settings)

    def tls(self) -> ssl.SSLContext:
        """The context of its mutual TLS."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(self.settings.broker.ca))
        context.load_cert_chain(self.pair.certificate, self.pair.key)
        return context

    def sign(self, body: bytes) -> Headers:
        """Sign one message; gives its headers."""
        return {"jws": sign([digest_of(body)], self.identity, datetime.now(UTC))}


def key_of(peer: str, destination: Party, origin: Party) -> str:
    """The routing key under which a peer's messages travel beside everybody else's."""
    return f"{peer}-{destination.unit}.message.{origin.unit}"


def event_of(post: Party, sequence: int, epoch: str, event_type: str, reference: str, data: dict[str, object], environment: str) -> bytes:
    """The exact bytes of the event that is sent, as this project makes them."""
    return event_bytes(
        {
            "specversion": "1.0",
            "id": new_id(),
            "source": post.urn,
            "type": event_type,
            "subject": reference,
            "time": utc_text(datetime.now(UTC)),
            "datacontenttype": "application/json",
            "dataschema": schema_of(event_type),
            "destination": house_of("af").urn,
            "environment": environment,
            "sequence": sequence,
            "epoch": epoch,
            "purpose": "customs-control",
            "legalbasis": "bilateral protocol on electronic exchange; WTO TFA Article 12",
            "salt": new_salt(),
            "data": data,
        }
    )


def open_declaration(body: bytes, headers: Headers, house: Unit) -> ReceivedEvent:
    """Believe a message and validate what it says; DistrustError or ContentError otherwise. The order is this project's own."""
    digest, now = digest_of(body), datetime.now(UTC)
    signatory = verify(headers["jws"], [digest], house.trust, now, house.lane)
    event = Event.model_validate(parse(body))
    if (event.source, event.destination, event.environment) != (signatory.urn, house.party.urn, house.settings.environment):
        raise DistrustError("bundle-source-foreign", "a unit speaks for itself, to us", field="source", value=event.source)
    return check(OpenEvent(event, body, digest), Plaintext(event.data, b""), now)


def receipt_of(event: ReceivedEvent, house: Unit) -> bytes:
    """The receipt's body: id, digest, destination and fate."""
    return event_bytes(
        {
            "id": new_id(),
            "source": house.party.urn,
            "type": EventType.RECEIPT.value,
            "time": utc_text(datetime.now(UTC)),
            "destination": event.source,
            "environment": house.settings.environment,
            "data": {"id": event.id, "digest": b64url(event.digest), "fate": "LOADED"},
        }
    )


def open_receipt(body: bytes, headers: Headers, post: Unit) -> tuple[str, bytes]:
    """Believe a receipt; gives the event's id and digest."""
    signatory = verify(headers["jws"], [digest_of(body)], post.trust, datetime.now(UTC), post.lane)
    receipt = parse(body)
    if signatory.urn != house_of(post.lane).urn or receipt["destination"] != post.party.urn or receipt["data"]["fate"] != "LOADED":
        raise DistrustError("bundle-source-foreign", "a receipt of somebody else", field="source", value=signatory.urn)
    return receipt["data"]["id"], unb64url(receipt["data"]["digest"]) or b""
