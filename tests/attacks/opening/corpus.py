"""Honest bundles of every kind, and the doors at which they are opened: the same code that the daemons run. In memory, one fixed instant.

A door tells what it believed. Whether it should have is judged by `judge`, from the register of what each unit really signed.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from broker.bundle.lines import expand
from broker.bundle.open import Expected, OpenEvent, open_message
from broker.bundle.pack import Route
from broker.ports import Delivery, Message
from broker.relay.arrivals import Mailbox
from broker.trust.anchors import TrustStore
from broker.trust.keys import Identity
from broker.trust.signing import b64url
from consumers.opening import InHand, open_delivery
from schemas import examples
from schemas.content import validate
from schemas.errors import ContentError
from schemas.event import digest_of, event_bytes
from schemas.names import EventType, Party
from tests.integration.consumers.frontier import Hand, subject_of
from tests.unit.bundle.senders import AF_ROOT, HOUSE, POST, THEIR_HOUSE, THEIR_POST, TJ_ROOT, attributes, bundle
from tests.unit.trust.certificates import NOW, Pair, crl, identity, leaf, root, trust_in

OTHER_POST = Party("tj", "ishkoshim")
FORGER_ROOT = root("root of tj")  # the name of the authority of tj, and a key of nobody's
SURPRISES = frozenset({"opening-surprise"})  # a defect that the opening code caught itself


@dataclass(frozen=True, slots=True)
class Said:
    """What a unit really signed: the event with this digest, from whom, to whom, of which type, for which environment."""

    source: str
    destination: str
    type: str
    environment: str


@dataclass(frozen=True, slots=True)
class Believed:
    """One event, answer or mark that a door believed, and who is said to have signed it."""

    digest: bytes
    signatory: str
    told: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of a message at a door: what was believed, and the codes of what was not."""

    believed: tuple[Believed, ...]
    codes: tuple[str, ...]


@dataclass(frozen=True)
class Specimen:
    """An honest bundle and the door at which it opens."""

    name: str
    door: str
    route: Route
    raws: tuple[bytes, ...]
    message: Message

    @cached_property
    def plain(self) -> Message:
        """The same, not packed."""
        return replace(self.message, body=expand(self.message.body, self.message.content_encoding), content_encoding=None)


Open = Callable[[Message], Opened]


@dataclass(frozen=True, slots=True)
class Door:
    """Where a message comes in: what is expected there, and the code that opens it."""

    expected: Expected
    open: Open


@dataclass
class Corpus:
    """Specimens, and the register of what was signed, alone and together; `answers` are those that the house really gave."""

    specimens: list[Specimen] = field(default_factory=list)
    register: dict[bytes, Said] = field(default_factory=dict)
    bundles: set[tuple[bytes, ...]] = field(default_factory=set)
    answers: set[str] = field(default_factory=set)

    def sign(self, name: str, door: str, raws: Sequence[bytes], route: Route, signer: Identity | None = None) -> Specimen:
        """Have the route's own source sign these events, and enter them in the register."""
        for raw in raws:
            self.enter(raw, route)
        self.bundles.add(tuple(digest_of(raw) for raw in raws))
        specimen = Specimen(name, door, route, tuple(raws), bundle(raws, route, signer))
        self.specimens.append(specimen)
        return specimen

    def enter(self, raw: bytes, route: Route, environment: str = "test") -> None:
        """Note that the source of this route signed these bytes."""
        self.register[digest_of(raw)] = Said(route.source.urn, route.destination.urn, str(route.type), environment)

    def at(self, *doors: str) -> list[Specimen]:
        """The specimens that open at these doors."""
        return [specimen for specimen in self.specimens if specimen.door in doors]

    @cached_property
    def honest(self) -> Specimen:
        """The usual bundle: five export declarations."""
        return next(specimen for specimen in self.specimens if specimen.name == "exports")


def event(route: Route, number: int, data: Mapping[str, Any], **changes: Any) -> bytes:
    """The exact bytes of one event of a route."""
    return event_bytes(attributes(route, number, data, **changes))


def declarations(route: Route, count: int, seed: int, **changes: Any) -> list[bytes]:
    """Events of the route's type with sound content, as its own administration would send them."""
    country = route.source.country
    made: list[bytes] = []
    for event_type, data in examples.varied(country, "PNJ" if country == "tj" else "SKB", count * 12, seed):
        if event_type == route.type and len(made) < count:
            made.append(event(route, len(made) + 1, data, **{"subject": subject_of(data)} | changes))
    return made


def honest_corpus() -> Corpus:
    """Bundles of every kind that travels, of several units, each rightly signed."""
    corpus = Corpus()
    exports = Route(POST, THEIR_HOUSE, EventType.EXPORT_DECLARATION.value)
    corpus.sign("exports", "record", declarations(exports, 5, 1), exports)
    corpus.sign("one export", "record", declarations(exports, 1, 2), exports)
    corpus.sign("fifty exports", "record", declarations(exports, 50, 3), exports)
    crossings = Route(POST, THEIR_HOUSE, EventType.CROSSING_EVENT.value)
    corpus.sign("crossings", "record", declarations(crossings, 4, 4), crossings)
    transits = Route(POST, THEIR_HOUSE, EventType.TRANSIT_DECLARATION.value)
    corpus.sign("transits", "record", declarations(transits, 3, 5), transits)
    others = Route(OTHER_POST, THEIR_HOUSE, exports.type)
    corpus.sign("another post's", "record", declarations(others, 4, 6), others)
    _sign_control(corpus)
    _sign_what_is_for_others(corpus, exports)
    return corpus


def _sign_control(corpus: Corpus) -> None:
    receipt = Route(THEIR_HOUSE, POST, EventType.RECEIPT.value)
    problem = {"code": "rule-broken", "text": "it breaks a rule", "field": "items.0.hs_code", "value": "25AB"}
    told = [
        {"id": f"0193{number:04x}-0000-7000-8000-{number:012x}", "digest": b64url(bytes([number]) * 32), "fate": fate, "problems": problems}
        for number, fate, problems in ((1, "LOADED", []), (2, "REFUSED", [problem]), (3, "HELD", [problem]), (4, "LOADED", []))
    ]
    for answer in told:
        corpus.answers.add(f"{answer['id']} {answer['digest']} {answer['fate']}")
    corpus.sign("receipt", "mailbox", [event(receipt, 1, {"answers": told}, subject="receipt of 4 events")], receipt)
    home = Route(THEIR_HOUSE, POST, EventType.BEACON.value)
    mark = {"mark": 7, "sent_at": "2026-11-24T11:59:58Z", "returned_at": "2026-11-24T11:59:59Z"}
    corpus.sign("beacon come home", "mailbox", [event(home, 1, mark)], home)
    corpus.answers.add("mark 7")
    away = Route(POST, THEIR_HOUSE, EventType.BEACON.value)
    corpus.sign("beacon", "control", [event(away, 1, {"mark": 7, "sent_at": "2026-11-24T11:59:58Z"})], away)
    list_route = Route(HOUSE, THEIR_HOUSE, EventType.CRL.value)
    der = crl(TJ_ROOT, 3, [7])
    corpus.sign("CRL", "control", [event(list_route, 1, {"crl_number": 3, "der": base64.b64encode(der).decode()})], list_route)


def _sign_what_is_for_others(corpus: Corpus, exports: Route) -> None:
    """What is rightly signed and has no business at the house's door: it is in the register, and opens elsewhere only."""
    home = Route(POST, HOUSE, exports.type)
    corpus.sign("for the own house", "elsewhere", declarations(home, 3, 7), home)
    theirs = Route(THEIR_POST, HOUSE, exports.type)
    corpus.sign("the other country's", "elsewhere", declarations(theirs, 3, 8), theirs)
    production = declarations(exports, 3, 9, environment="production")
    specimen = corpus.sign("production", "elsewhere", production, exports)
    for raw in specimen.raws:
        corpus.enter(raw, exports, "production")
    answer = Route(THEIR_HOUSE, OTHER_POST, EventType.RECEIPT.value)
    told = [{"id": f"0193{9:04x}-0000-7000-8000-{9:012x}", "digest": b64url(b"\x09" * 32), "fate": "LOADED"}]
    corpus.sign("receipt for another post", "elsewhere", [event(answer, 1, {"answers": told})], answer)


def store(*, tj: Pair = TJ_ROOT, af: Pair = AF_ROOT) -> TrustStore:
    """A trust store that pins these anchors."""
    return trust_in(Path(tempfile.mkdtemp(prefix="panj-attacks-")), tj=tj, af=af)


def forger_of(party: Party) -> Identity:
    """Somebody who says to be this unit, with a certificate of an authority that nobody pinned."""
    return identity(leaf(FORGER_ROOT, party.urn), urn=party.urn)


def doors(trust: TrustStore) -> dict[str, Door]:
    """The doors of the house of af (the record's queue, its own) and of a post of tj, opened as their daemons do."""
    record, post = Expected("tj", THEIR_HOUSE, "test"), Expected("af", POST, "test")
    mailbox = Mailbox("af", POST, "test", trust)
    return {
        "record": Door(record, lambda message: _record(message, trust, record)),
        "control": Door(record, lambda message: _control(message, trust, record)),
        "mailbox": Door(post, lambda message: _mailbox(message, mailbox)),
    }


def _record(message: Message, trust: TrustStore, expected: Expected) -> Opened:
    one = InHand(Delivery(message, "af-customs.record", 0, object()), "tj", Hand())
    opened = open_delivery(one, trust, expected, NOW)
    believed = tuple(_believed(arrival.opened, arrival.evidence.signatory.urn) for arrival in opened.arrivals)
    return Opened(believed, tuple(parking.problem.code for parking in opened.parkings))


def _control(message: Message, trust: TrustStore, expected: Expected) -> Opened:
    found = open_message(message, trust, expected, NOW)
    codes = [unreadable.problem.code for unreadable in found.unreadable]
    believed = []
    for opened in found.events:
        try:
            validate(opened.event.type, opened.event.data)
        except ContentError as error:
            codes.append(error.code)
        else:
            believed.append(_believed(opened, found.signatory.urn))
    return Opened(tuple(believed), tuple(codes))


def _mailbox(message: Message, mailbox: Mailbox) -> Opened:
    arrived = mailbox.open([Delivery(message, POST.unit, 0, object())], NOW)
    told = [
        Believed(settlement.digest, settlement.house, f"{settlement.event_id} {b64url(settlement.digest)} {settlement.fate.value}")
        for settlement in arrived.settlements
    ]
    told += [Believed(b"", home.destination, f"mark {home.mark}") for home in arrived.returned]
    return Opened(tuple(told), tuple(parked.code for parked in arrived.parked))


def _believed(opened: OpenEvent, signatory: str) -> Believed:
    return Believed(digest_of(opened.raw), signatory)
