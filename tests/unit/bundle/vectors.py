"""Writes `vectors.json`: bundles to check another implementation with, signed by a key that everybody knows. Run it only to add cases:

    python -m tests.unit.bundle.vectors

ECDSA signs with fresh randomness, so the vectors are for opening; a signature made again differs and is as good.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from broker.bundle.lines import CONTENT_TYPE, compress, join
from broker.bundle.pack import Route, pack
from broker.ports import Message
from broker.trust.keys import Identity
from schemas.event import digest_of, event_bytes, schema_of
from schemas.names import EventType, Party, house_of
from tests.unit.bundle.senders import with_headers
from tests.unit.trust.certificates import Pair, crl, header_of, identity, leaf, make, root, signed

FILE = Path(__file__).with_name("vectors.json")
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2046, 1, 1, tzinfo=UTC)
POST, HOUSE, THEIR_HOUSE = Party("tj", "panji-poyon"), house_of("tj"), house_of("af")
EXPORT = Route(POST, THEIR_HOUSE, EventType.EXPORT_DECLARATION.value)


def fixed_key(name: str) -> ec.EllipticCurvePrivateKey:
    """A key that is the same for everybody: SHA-256 of a sentence, as a number."""
    return ec.derive_private_key(
        int.from_bytes(hashlib.sha256(f"panj test vectors, never to be trusted: {name}".encode()).digest()), ec.SECP256R1()
    )


AUTHORITY = root("Panj test vectors tj", key=fixed_key("authority"), since=SINCE, until=UNTIL)
STRANGER = root("Panj test vectors tj", key=fixed_key("stranger"), since=SINCE, until=UNTIL)
MIDDLE = make("Panj test vectors tj posts", AUTHORITY, ca=True, key=fixed_key("middle"), since=SINCE, until=UNTIL)


def unit(party: Party, issuer: Pair = AUTHORITY) -> Pair:
    return leaf(issuer, party.urn, key=fixed_key(party.unit), since=SINCE, until=UNTIL)


REVOKED = unit(Party("tj", "ishkoshim"))


def event(route: Route, number: int, data: dict[str, Any], subject: str) -> bytes:
    """An event whose id and salt follow from its number, so that digests stay."""
    attributes = {
        "specversion": "1.0",
        "id": f"0193{number:04x}-0000-7000-8000-{number:012x}",
        "source": route.source.urn,
        "type": route.type,
        "subject": subject,
        "time": "2026-11-24T11:59:58.125Z",
        "datacontenttype": "application/json",
        "dataschema": schema_of(route.type),
        "destination": route.destination.urn,
        "environment": "test",
    }
    if EventType(route.type).in_stream:
        attributes |= {"sequence": number, "epoch": "5a3f00c2d1e4b697"}  # type: ignore[dict-item]
    attributes |= {"purpose": "customs-control", "legalbasis": "bilateral protocol; WTO TFA Article 12", "salt": f"{number:022d}"}
    return event_bytes(attributes | {"data": data})


def export(number: int) -> bytes:
    """An export declaration with text in two scripts."""
    data = {
        "administration": "tj",
        "office_code": "TJPPY",
        "registration_year": 2026,
        "registration_number": f"E{number}",
        "exporter_name": "ҶДММ «Пахтаи Вахш»",
        "consignee_name": "شرکت تجارتی شیرخان",
        "export_country": "TJ",
        "destination_country": "AF",
        "items": [{"number": 1, "hs_code": "520100", "description": "Пахтаи хом", "gross_mass_kg": "21500.5", "item_price": "43000.00"}],
    }
    return event(EXPORT, number, data, f"TJ/TJPPY/2026/E{number}")


def bundle(route: Route, raws: Sequence[bytes], who: Identity) -> Message:
    return pack(route, raws, [digest_of(raw) for raw in raws], who, NOW)


def case(name: str, message: Message, expected: str | None, why: str) -> dict[str, Any]:
    """One vector: `expected` is the code of the refusal, None where it opens."""
    return {
        "name": name,
        "why": why,
        "routing_key": message.routing_key,
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
        "headers": {header: value for header, value in message.headers.items() if header != "jws"},
        "jws": message.headers["jws"],
        "body_hex": message.body.hex(),
        "expected": {"opens": expected is None, "code": expected},
    }


def resigned(raws: Sequence[bytes], who: Identity, spoil: Callable[[dict[str, Any]], object]) -> Message:
    header = header_of([digest_of(raw) for raw in raws], who)
    spoil(header)
    return with_headers(bundle(EXPORT, raws, who), jws=signed(header, who.key))


def cases() -> list[dict[str, Any]]:
    post, house = identity(unit(POST)), identity(unit(HOUSE), urn=HOUSE.urn)
    raws = [export(1), export(2), export(3)]
    good = bundle(EXPORT, raws, post)
    plain = Message(good.routing_key, join(raws), good.headers, CONTENT_TYPE, None)
    changed, encoding = compress(join([raws[0], raws[1].replace(b"43000.00", b"13000.00"), raws[2]]))
    receipt = Route(POST, THEIR_HOUSE, EventType.RECEIPT.value)
    said = event(receipt, 9, {"answers": []}, "receipt")
    with_middle = identity(unit(POST, MIDDLE), MIDDLE)
    return [
        case("three-events-gzip", good, None, "the usual bundle: three export declarations, packed"),
        case("three-events-plain", plain, None, "the same events under the same signature, not packed"),
        case("one-event-with-intermediate", bundle(EXPORT, raws[:1], with_middle), None, "x5c holds the leaf and an intermediate"),
        case(
            "partner-header-order", resigned(raws, post, lambda header: header.update(kid="post")), None, "unknown parameters are ignored"
        ),
        case("price-changed", replace(good, body=changed, content_encoding=encoding), "jws-digests", "one price was changed on the way"),
        case("events-swapped", replace(plain, body=join([raws[1], raws[0], raws[2]])), "jws-digests", "the order is signed too"),
        case("signature-of-another", with_headers(good, jws=_other_signature(good, post)), "jws-signature", "r and s of another bundle"),
        case("algorithm-none", resigned(raws, post, lambda header: header.update(alg="none")), "jws-algorithm", "only ES256"),
        case(
            "critical-unknown",
            resigned(raws, post, lambda header: header["crit"].append("exp")),
            "jws-critical",
            "a parameter marked critical that nobody knows",
        ),
        case(
            "key-in-header", resigned(raws, post, lambda header: header.update(jwk={"kty": "EC"})), "jws-forbidden", "keys never come along"
        ),
        case("stranger", bundle(EXPORT, raws, identity(unit(POST, STRANGER))), "trust-path", "an authority of the same name, another key"),
        case("revoked", _from_ishkoshim(), "trust-revoked", "its certificate is on the CRL"),
        case("house-declares", with_headers(good, source=HOUSE.urn), "bundle-copy-mismatch", "the header disagrees with the routing key"),
        case("post-answers", bundle(receipt, [said], post), "bundle-may-not-say", "receipts come from customs houses only"),
        case(
            "speaks-for-another",
            with_headers(good, jws=bundle(Route(HOUSE, THEIR_HOUSE, "x"), raws, house).headers["jws"]),
            "bundle-source-foreign",
            "the house signed what the post is said to have sent",
        ),
        case(
            "other-environment", with_headers(good, environment="production"), "bundle-environment", "a test bundle never enters production"
        ),
        case("count-disagrees", with_headers(good, events=2), "bundle-copy-mismatch", "the header says two, the body has three"),
    ]


def _other_signature(good: Message, who: Identity) -> str:
    other = str(bundle(EXPORT, [export(7)], who).headers["jws"])
    return str(good.headers["jws"]).split(".")[0] + ".." + other.split(".")[2]


def _from_ishkoshim() -> Message:
    post = Party("tj", "ishkoshim")
    route = Route(post, THEIR_HOUSE, EXPORT.type)
    return bundle(route, [export(1).replace(POST.urn.encode(), post.urn.encode())], identity(REVOKED, urn=post.urn))


def document() -> dict[str, Any]:
    from tests.unit.bundle import closing_vectors  # noqa: PLC0415 - it is written with what stands here

    key = unit(POST).key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "about": "docs/protocol.md; the key is public and must never be trusted",
        "receiver": {"urn": THEIR_HOUSE.urn, "lane_country": "tj", "environment": "test", "clock_utc": "2026-11-24T12:00:00Z"},
        "anchor_pem": AUTHORITY.pem.decode(),
        "crl_hex": crl(AUTHORITY, 1, [REVOKED.certificate.serial_number], until=UNTIL).hex(),
        "key_pem": key.decode(),
        "events": [{"text": raw.decode(), "sha256_hex": digest_of(raw).hex()} for raw in (export(1), export(2), export(3))],
        "vectors": cases(),
        "closings": closing_vectors.documents(),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
