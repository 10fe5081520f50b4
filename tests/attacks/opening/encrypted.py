"""Encrypted data changed on its way and by its sender: what decrypts is what was signed, or nothing; and nothing unpacks without end."""

from __future__ import annotations

import base64
import gzip
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from jwcrypto import jwe, jwk

from broker.bundle.sealed import seal, unseal
from broker.settings.model import House
from broker.trust.anchors import TrustStore
from broker.trust.authority import create_authority
from broker.trust.sealing import DecryptionKeys, Recipient
from broker.trust.signing import b64url
from schemas import examples
from schemas.errors import ContentError, UnavailableError
from schemas.event import Event, new_salt
from schemas.names import Party
from schemas.sealed import SEALED_SCHEMA, plaintext_digest, write_plaintext
from tests.attacks.rows import Row, named
from tests.unit.bundle.senders import EXPORT, attributes

FAMILY = "encrypted"
HOUSE = Party("af", "customs")


@dataclass(frozen=True, slots=True)
class Desk:
    """A house's keys, what a sender encrypts to, and honest events with what they hold."""

    recipient: Recipient
    keys: DecryptionKeys
    honest: list[tuple[dict[str, Any], dict[str, Any]]]  # an event's attributes, and its data


Change = Callable[[Random, Desk, dict[str, Any]], dict[str, Any]]


def attack_encrypted(tries: int, seed: int) -> Iterator[Row]:
    """A row for each kind of change."""
    with tempfile.TemporaryDirectory(prefix="panj-attacks-") as place:
        desk = _desk(Path(place) / "pki")
        for change, share in ((_bits, 10), (_parts, 4), (_mixed, 4), (_headers, 4), (_other_plaintexts, 4), (_bombs, 1)):
            random = Random(f"{seed} {change.__name__}")
            yield _row(change, desk, random, max(20, tries * share // 27))


def _desk(directory: Path) -> Desk:
    authority = create_authority(directory, "af")
    pair = authority.create_encryption(HOUSE)
    trust = TrustStore({"af": authority.anchor}, {"af": authority.crl.parent})
    recipient = Recipient.load(pair.certificate, HOUSE, trust, datetime.now(UTC))
    keys = DecryptionKeys.load(House(certificate=Path("-"), key=Path("-"), database="sqlite:///x", encryption=(pair,)))
    honest = []
    for number in range(5):
        data, salt = examples.export("tj", "PNJ", f"SEALED-{number}"), new_salt()
        sealed, _ = seal(data, salt, recipient)
        honest.append((attributes(EXPORT, number + 1, sealed, salt=salt, dataschema=SEALED_SCHEMA), data))
    return Desk(recipient, keys, honest)


def _row(change: Change, desk: Desk, random: Random, tries: int) -> Row:
    codes: Counter[str] = Counter()
    failures, got_in, crashed = [], 0, 0
    for _ in range(tries):
        event, data = random.choice(desk.honest)
        try:
            found = unseal(Event.model_validate(change(random, desk, event)), desk.keys)
        except (ContentError, UnavailableError) as error:
            codes[error.code] += 1
        except Exception as error:  # noqa: BLE001  any other is what is looked for
            crashed += 1
            failures.append(f"{type(error).__name__}: {error}"[:200])
        else:
            codes["opened"] += 1
            got_in += found.data != data
            failures += ["it holds other data than was signed"] if found.data != data else []
    whole = all(unseal(Event.model_validate(event), desk.keys).data == data for event, data in desk.honest)
    note = ", ".join(f"{code} {times}" for code, times in codes.most_common(3))
    return Row(FAMILY, named(change), tries, got_in, crashed, whole, note, tuple(failures))


def _bits(random: Random, _: Desk, event: dict[str, Any]) -> dict[str, Any]:
    """Bits turned in any part of the encrypted text, or in the digest."""
    parts = str(event["data"]["jwe"]).split(".")
    which = random.randrange(6)
    if which == 5:
        digest = bytearray(base64.urlsafe_b64decode(event["data"]["digest"] + "="))
        digest[random.randrange(32)] ^= 1 << random.randrange(8)
        return event | {"data": event["data"] | {"digest": b64url(bytes(digest))}}
    content = bytearray(base64.urlsafe_b64decode(parts[which] + "=" * (-len(parts[which]) % 4)))
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    parts[which] = b64url(bytes(content))
    return event | {"data": event["data"] | {"jwe": ".".join(parts)}}


def _parts(random: Random, _: Desk, event: dict[str, Any]) -> dict[str, Any]:
    """Parts cut, doubled, exchanged, and other base64."""
    parts = str(event["data"]["jwe"]).split(".")
    at = random.randrange(5)
    part = parts[at]
    parts[at] = random.choice(
        (part[: len(part) // 2], part + part, parts[(at + 1) % 5], part[:-1] + random.choice("ABCDwxyz_-"), "A", part[1:])
    )
    return event | {"data": event["data"] | {"jwe": ".".join(parts)}}


def _mixed(random: Random, desk: Desk, event: dict[str, Any]) -> dict[str, Any]:
    """Another event's encrypted text or digest or salt under this one."""
    other = random.choice([each for each, _ in desk.honest if each is not event])
    changes: tuple[dict[str, Any], ...] = (
        {"data": event["data"] | {"jwe": other["data"]["jwe"]}},
        {"data": event["data"] | {"digest": other["data"]["digest"]}},
        {"data": other["data"]},
        {"salt": other["salt"]},
    )
    return event | random.choice(changes)


def _encrypted(desk: Desk, content: bytes, **header: Any) -> str:
    said = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": desk.recipient.key_id, "cty": "application/json"} | header
    return str(jwe.JWE(content, recipient=desk.recipient.key, protected=json.dumps(said)).serialize(compact=True))


def _each(header: dict[str, Any], name: str, *values: Any) -> list[dict[str, Any]]:
    return [header | {name: value} for value in values]


def _headers(random: Random, desk: Desk, event: dict[str, Any]) -> dict[str, Any]:
    """Headers of other algorithms, in loose JSON, with keys on other curves, deep, of other types."""
    kid = desk.recipient.key_id
    own = json.loads(base64.urlsafe_b64decode(str(event["data"]["jwe"]).split(".")[0] + "=="))
    stranger = jwk.JWK.generate(kty="EC", crv="P-256").export_public(as_dict=True)
    headers: tuple[Any, ...] = (
        *_each(own, "alg", "none", "dir", "RSA1_5", "A256KW", "ECDH-ES", "PBES2-HS256+A128KW", ["ECDH-ES+A256KW"], None),
        *_each(own, "enc", "A128CBC-HS256", "none", "A256GCM ", 1, [], None),
        *_each(own, "epk", None, [], {}, "x", stranger, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, {"kty": "OKP"}),
        *_each(own, "kid", "", None, [], {"a": 1}, kid + "x", kid.swapcase()),
        *_each(own, "cty", "application/json+gzip", "text/html", None, []),
        own | {"zip": "DEF"},
        own | {"crit": ["zip"]},
        own | {"p2c": 2**31, "p2s": "AAAA"},
        b'{"alg":"dir",' + json.dumps(own).encode()[1:],
        json.dumps(own).encode() + b"x",
        b"[" * 50_000,
        b"[]",
        b"",
    )
    chosen = random.choice(headers)
    content = chosen if isinstance(chosen, bytes) else json.dumps(chosen).encode()
    return event | {"data": event["data"] | {"jwe": ".".join([b64url(content), *str(event["data"]["jwe"]).split(".")[1:]])}}


def _other_plaintexts(random: Random, desk: Desk, event: dict[str, Any]) -> dict[str, Any]:
    """Other content encrypted rightly to the house by somebody: with the old digest, or signed anew over what is no plaintext."""
    data = examples.export("tj", "PNJ", "FORGED")
    good = write_plaintext(data, b64url(bytes(32)))
    if random.random() < 0.5:
        return event | {"data": event["data"] | {"jwe": _encrypted(desk, good)}}
    reply = b64url(bytes(32)).encode()
    plaintext = random.choice(
        (
            b"",
            b"{}",
            b"[]",
            b'{"data":{},"reply":"x"}',
            b'{"data":[],"reply":"%s"}' % reply,
            b'{"data":{},"reply":"%s","data":{}}' % reply,
            b'{"data":{"a":NaN},"reply":"%s"}' % reply,
            b'{"data":{"a":1.5},"reply":"%s"}' % reply,
            b'{"data":' + b'{"a":' * 2_000 + b"1" + b"}" * 2_000 + b',"reply":"%s"}' % reply,
            b"\xff\xfe",
        )
    )
    sealed = {"jwe": _encrypted(desk, plaintext), "digest": b64url(plaintext_digest(event["salt"], plaintext))}
    return event | {"data": sealed}


def _bombs(random: Random, desk: Desk, event: dict[str, Any]) -> dict[str, Any]:
    """Plaintexts that unpack without end: by JWE's own zip, and by gzip within."""
    if random.random() < 0.5:
        return event | {"data": event["data"] | {"jwe": _encrypted(desk, bytes(20_000_000), zip="DEF")}}
    packed = gzip.compress(bytes(50_000_000), 9)
    return event | {"data": event["data"] | {"jwe": _encrypted(desk, packed, cty="application/json+gzip")}}
