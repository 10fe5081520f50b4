"""Signatures against the profile: other algorithms, keys that come along, headers that say more or less than they should, other spellings.

Some are a stranger's, some are rightly signed by the unit itself: against the profile they are as bad.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from broker.ports import Message
from broker.trust.keys import Identity
from broker.trust.signing import b64url
from schemas.event import digest_of
from tests.attacks.opening.changes import some
from tests.attacks.opening.corpus import Corpus, Specimen, forger_of
from tests.unit.bundle.senders import bundle, identity_of, with_headers
from tests.unit.trust.certificates import header_of, signed

Header = dict[str, Any]
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
_P384 = ec.generate_private_key(ec.SECP384R1())
_K256 = ec.generate_private_key(ec.SECP256K1())
_FORGERS: dict[str, Identity] = {}


def _header(specimen: Specimen, who: Identity) -> Header:
    return header_of([digest_of(raw) for raw in specimen.raws], who)


def _own(specimen: Specimen) -> Identity:
    return identity_of(specimen.route.source)


def _forger(specimen: Specimen) -> Identity:
    urn = specimen.route.source.urn
    if urn not in _FORGERS:
        _FORGERS[urn] = forger_of(specimen.route.source)
    return _FORGERS[urn]


def by_a_stranger(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """Anything honest, said again by somebody with an authority of the same name."""
    specimen = some(random, corpus)
    return specimen.door, bundle(specimen.raws, specimen.route, _forger(specimen))


def other_content_by_a_stranger(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """Other content, whole and sound, signed by somebody with an authority of the same name."""
    specimen = some(random, corpus)
    raws = [raw.replace(b'"legalbasis":"', b'"legalbasis":"x') for raw in specimen.raws]
    return specimen.door, bundle(raws, specimen.route, _forger(specimen))


def with_the_own_certificate(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """The unit's own certificates in the header, and a key of ours."""
    specimen = some(random, corpus)
    return specimen.door, with_headers(specimen.message, jws=signed(_header(specimen, _own(specimen)), _forger(specimen).key))


def chain_mixed(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """Our own leaf among the unit's certificates, in any order, signed by us."""
    specimen = some(random, corpus)
    own, ours = _own(specimen), _forger(specimen)
    header = _header(specimen, ours)
    header["x5c"] = random.choice(([*ours.x5c, *own.x5c], [*own.x5c, *ours.x5c], [*ours.x5c, *own.x5c, *ours.x5c], [*ours.x5c] * 3))
    return specimen.door, with_headers(specimen.message, jws=signed(header, ours.key))


def _hmac(name: str, secret: Callable[[Identity], bytes]) -> Callable[[Specimen], str]:
    def make(specimen: Specimen) -> str:
        own = _own(specimen)
        protected = b64url(json.dumps(_header(specimen, own) | {"alg": name}).encode())
        return f"{protected}..{b64url(hmac.digest(secret(own), f'{protected}.'.encode(), getattr(hashlib, f'sha{name[2:]}')))}"

    return make


def _public(own: Identity, encoding: serialization.Encoding, form: serialization.PublicFormat) -> bytes:
    return own.key.public_key().public_bytes(encoding, form)


_SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
_SECRETS: tuple[Callable[[Identity], bytes], ...] = (
    lambda own: _public(own, serialization.Encoding.PEM, _SPKI),
    lambda own: _public(own, serialization.Encoding.DER, _SPKI),
    lambda own: _public(own, serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint),
    lambda own: own.x5c[0].encode(),
    lambda own: base64.b64decode(own.x5c[0]),
    lambda own: b"",
)


def _other_curve(name: str, key: ec.EllipticCurvePrivateKey) -> Callable[[Specimen], str]:
    return lambda specimen: signed(_header(specimen, _own(specimen)) | {"alg": name}, key)


def _unsigned(name: Any, tail: str) -> Callable[[Specimen], str]:
    def make(specimen: Specimen) -> str:
        header = _header(specimen, _own(specimen)) | ({} if name is ... else {"alg": name})
        return f"{b64url(json.dumps(header).encode())}..{tail}"

    return make


ALGORITHMS: tuple[Callable[[Specimen], str], ...] = (
    *(_unsigned(name, tail) for name in ("none", "None", "NONE", "", None, 0, [], ["none"], ...) for tail in ("", "A" * 86)),
    *(_hmac(name, secret) for name in ("HS256", "HS512") for secret in _SECRETS),
    *(_other_curve(name, key) for name in ("ES384", "ES256", "ES256K", "es256") for key in (_P384, _K256)),
)


def other_algorithms(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """`alg` none in many spellings, HS256 with what is public as the secret, other curves."""
    specimen = some(random, corpus)
    return specimen.door, with_headers(specimen.message, jws=random.choice(ALGORITHMS)(specimen))


def _jwk(key: ec.EllipticCurvePrivateKey) -> Header:
    numbers = key.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": b64url(numbers.x.to_bytes(32, "big")), "y": b64url(numbers.y.to_bytes(32, "big"))}


def keys_that_come_along(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """`jwk`, `jku`, `x5u` of ours beside the unit's certificates, or instead of them; signed by us, or by the unit itself."""
    specimen = some(random, corpus)
    ours, own = _forger(specimen), _own(specimen)
    come: tuple[Header, ...] = (
        {"jwk": _jwk(ours.key)},
        {"jku": "https://127.0.0.1:1/keys.json"},
        {"x5u": "file:///etc/passwd"},
        {"jwk": _jwk(ours.key), "jku": "https://127.0.0.1:1/keys.json", "kid": "1"},
    )
    header = _header(specimen, own) | random.choice(come)
    if random.random() < 0.3:
        del header["x5c"]
    return specimen.door, with_headers(specimen.message, jws=signed(header, random.choice((ours, own)).key))


def _digests(header: Header) -> list[str]:
    found: list[str] = header["sigD"]["hashV"]
    return found


_CRITS: tuple[Any, ...] = (
    *(["sigD", "b64", "exp"], ["sigD"], ["b64"], ["b64", "b64"], ["sigD", "sigD"], ["sigD", "B64"], ["sigD", "b64", "sigD"]),
    *([], None, "sigD", {"sigD": 1, "b64": 1}, [["sigD"], "b64"]),
)
_HASHES = ("S512", "S384", "MD5", "s256", "", None, ["S256"])
_CHAINS: tuple[Any, ...] = ([], [""], None, "", {}, [1], ["AAAA"], [[]], [None])


def _set(name: str, values: Sequence[Any]) -> Iterator[Callable[[Header], object]]:
    for value in values:
        yield lambda header, value=value: header.update({name: value})  # type: ignore[misc]


SPOILS: tuple[Callable[[Header], object], ...] = (
    *_set("crit", _CRITS),
    *_set("b64", (True, 0, None, "false", "", [], {})),
    *_set("iat", (None, "1", True, -1, 253_402_300_800, [], {})),
    *_set("x5c", _CHAINS),
    *_set("sigD", (None, [], "", 1, {})),
    *((lambda header, name=name: header["sigD"].update(hashM=name)) for name in _HASHES),
    *((lambda header, name=name: header.pop(name)) for name in ("crit", "b64", "iat", "x5c", "sigD")),
    lambda header: header.update(x5c=header["x5c"] * 2),
    lambda header: header.update(x5c=[header["x5c"][0] + "\n"]),
    lambda header: header.update(x5c=[header["x5c"][0].rstrip("=") + "===="]),
    lambda header: header.update(x5c=header["x5c"][0]),
    lambda header: header["sigD"].update(mId="http://uri.etsi.org/19182/ObjectIdByURI"),
    lambda header: header["sigD"].update(mId="http://uri.etsi.org/19182/HttpHeaders"),
    lambda header: header["sigD"].update(pars=[]),
    lambda header: header["sigD"]["pars"].append("1"),
    lambda header: header["sigD"]["pars"].pop(),
    lambda header: header["sigD"].update(pars=[int(each) for each in header["sigD"]["pars"]]),
    lambda header: header["sigD"].update(pars=[f"0{each}" for each in header["sigD"]["pars"]]),
    lambda header: _digests(header).pop(),
    lambda header: _digests(header).append(_digests(header)[0]),
    lambda header: _digests(header).__setitem__(0, _digests(header)[0] + "="),
    lambda header: _digests(header).__setitem__(0, base64.b64encode(base64.urlsafe_b64decode(_digests(header)[0] + "=")).decode()),
    lambda header: _digests(header).__setitem__(0, _digests(header)[0][:-1] + _sibling(_digests(header)[0][-1])),
    lambda header: _digests(header).__setitem__(0, b64url(hashlib.sha512(b"x").digest())),
    lambda header: _digests(header).__setitem__(0, base64.urlsafe_b64decode(_digests(header)[0] + "=").hex()),
    lambda header: header["sigD"].update(hashV={each: each for each in _digests(header)}),
    lambda header: header["sigD"].update(hashV="".join(_digests(header))),
)


def _sibling(character: str) -> str:
    """Another character that a careless decoder reads as the same bytes: the unused bits of the last one."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(character) ^ 1]


def against_the_profile(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """`crit` unknown or missing, `b64` left out, `sigD` of other lengths and hashes, and so on: rightly signed by the unit itself."""
    specimen = some(random, corpus)
    own = _own(specimen)
    header = _header(specimen, own)
    random.choice(SPOILS)(header)
    return specimen.door, with_headers(specimen.message, jws=signed(header, own.key))


def loosely_written(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """The header in JSON that readers take in different ways: names twice, numbers out of range, what is no JSON; rightly signed."""
    specimen = some(random, corpus)
    own = _own(specimen)
    text = json.dumps(_header(specimen, own), separators=(",", ":"))
    forms: tuple[bytes, ...] = (
        ('{"alg":"none",' + text[1:]).encode(),
        (text[:-1] + ',"alg":"none"}').encode(),
        (text[:-1] + ',"sigD":{}}').encode(),
        text.replace('"hashV":[', '"hashV":[],"hashV":[').encode(),
        text.replace('"pars"', '"hash\\u0056":[],"pars"').encode(),
        text.replace('"iat":', '"iat":1.0,"at":').encode(),
        text.replace('"iat":', '"iat":1e9,"at":').encode(),
        text.replace('"iat":', '"iat":NaN,"at":').encode(),
        text.replace('"iat":', '"iat":01,"at":').encode(),
        (text[:-1] + ',"x":1e400}').encode(),
        (text[:-1] + ',"x":"\\ud800"}').encode(),
        (text[:-1] + ',"x":"\\u0000"}').encode(),
        (text[:-1] + ",}").encode(),
        ("/**/" + text).encode(),
        b"\xef\xbb\xbf" + text.encode(),
        text.encode("utf-16"),
        text.encode() + b"\0",
        text.encode() + text.encode(),
        (text[:-1] + ',"x":' + "[" * 40 + "]" * 40 + "}").encode(),
        f"[{text}]".encode(),
    )
    return specimen.door, with_headers(specimen.message, jws=signed(random.choice(forms), own.key))


def spelled_otherwise(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """The same signature in other base64, in other parts, in DER, with zeros, attached: what a careless reader would take."""
    specimen = some(random, corpus)
    protected, _, tail = str(specimen.message.headers["jws"]).split(".")
    raw = base64.urlsafe_b64decode(tail + "==")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    header = base64.urlsafe_b64decode(protected + "==")
    der = encode_dss_signature(r, s)
    attached = identity_of(specimen.route.source).key.sign(f"{protected}.e30".encode(), ec.ECDSA(hashes.SHA256()))
    forms = (
        f"{protected}..{tail}==",
        f"{protected}..{tail[:-1]}{_sibling(tail[-1])}",
        f"{protected}.{b64url(specimen.plain.body)}.{tail}",
        f"{protected}.{tail}",
        f"{protected}...{tail}",
        f"{protected}..{tail}.",
        f"{protected}..{tail}\n",
        f" {protected}..{tail}",
        f"{protected}=..{tail}",
        f"{base64.b64encode(header).decode()}..{tail}",
        f"{b64url(header)[:20]}\n{b64url(header)[20:]}..{tail}",
        f"{b64url(header + bytes([32]))}..{tail}",
        f"{protected}..{b64url(der)}",
        f"{protected}..{b64url(raw[:63])}",
        f"{protected}..{b64url(raw + bytes(1))}",
        f"{protected}..{b64url(raw[32:] + raw[:32])}",
        f"{protected}..{b64url(bytes(64))}",
        f"{protected}..{b64url(_ORDER.to_bytes(32, 'big') * 2)}",
        f"{protected}..{b64url(bytes([255]) * 64)}",
        f"{protected}..{b64url((r + _ORDER).to_bytes(33, 'big')[-32:] + raw[32:])}",
        f"{protected}.e30.{b64url(attached)}",
        json.dumps({"protected": protected, "payload": "", "signature": tail}),
    )
    return specimen.door, with_headers(specimen.message, jws=random.choice([each for each in forms if each != f"{protected}..{tail}"]))


def mirrored(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """(r, n − s): the second signature that ECDSA allows over the same bytes, made without the key. It says what was said."""
    specimen = some(random, corpus)
    protected, _, tail = str(specimen.message.headers["jws"]).split(".")
    raw = base64.urlsafe_b64decode(tail + "==")
    s = _ORDER - int.from_bytes(raw[32:], "big")
    return specimen.door, with_headers(specimen.message, jws=f"{protected}..{b64url(raw[:32] + s.to_bytes(32, 'big'))}")
