"""One detached JWS (ES256, JAdES B-B) over the digests of a bundle's events: made with an `Identity`, checked against a `TrustStore`.

Sources: RFC 7515 (JWS), RFC 7797 (b64 false), ETSI TS 119 182-1 v1.2.1 (iat, sigD with ObjectIdByURIHash);
docs/protocol.md is the profile. Whose certificate it may be is judged in `anchors`, what the signer may say in `broker.bundle.open`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from broker.trust.anchors import TrustStore
from broker.trust.crls import Crl
from broker.trust.keys import Identity
from schemas.errors import ContentError, DistrustError, UsageError
from schemas.limits import BUNDLE_EVENTS, CHAIN_CERTIFICATES, HEADER_BYTES, INTEGER
from schemas.strict_json import parse

MECHANISM = "http://uri.etsi.org/19182/ObjectIdByURIHash"
CRITICAL = ("sigD", "b64")
_NEVER = ("jwk", "jku", "x5u", "zip", "enc")  # keys never come from a message; the others are JWE's
_ES256 = ec.ECDSA(hashes.SHA256())
_SIGNATURE_BYTES = 64
_DIGEST_BYTES = 32
_LATEST = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True, slots=True)
class Signatory:
    """Who signed: `signed_at_utc` is the signer's own claim (`iat`), `fingerprint` the SHA-256 of its certificate in hex.

    `crls` are the lists by which its chain was judged, the leaf's issuer's first.
    """

    urn: str
    country: str
    fingerprint: str
    signed_at_utc: datetime
    not_after_utc: datetime
    crls: tuple[Crl, ...] = field(default=(), repr=False)


def sign(digests: Sequence[bytes], identity: Identity, now_utc: datetime) -> str:
    """Sign the SHA-256 digests (32 bytes each, 1 to 500) of a bundle's events; give the JWS in its wire form `header..signature`."""
    if not 1 <= len(digests) <= BUNDLE_EVENTS:
        raise UsageError("bundle-count", f"a bundle holds 1 to {BUNDLE_EVENTS} events", value=len(digests))
    hashes_text = ",".join(f'"{b64url(digest)}"' for digest in digests)
    header = (
        f'{{"alg":"ES256","iat":{int(now_utc.timestamp())},"x5c":{json.dumps(identity.x5c, separators=(",", ":"))},"b64":false,'
        f'"crit":["sigD","b64"],"sigD":{{"mId":"{MECHANISM}","pars":{_pars(len(digests))},"hashM":"S256","hashV":[{hashes_text}]}}}}'
    )
    protected = b64url(header.encode())
    r, s = decode_dss_signature(identity.key.sign(f"{protected}.".encode(), _ES256))
    jws = f"{protected}..{b64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    if len(jws) > HEADER_BYTES:
        raise UsageError("jws-too-long", "the certificates are too long for so many events", value=len(jws))
    return jws


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """A JWS whose form is right; its signature, its certificates and its digests are still to be checked."""

    protected: str
    header: Mapping[str, Any] = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def x5c(self) -> list[str]:
        """The chain as it travels."""
        return list(self.header["x5c"])

    @property
    def signed_at_utc(self) -> datetime:
        """When it was signed, as the signer claims."""
        return datetime.fromtimestamp(self.header["iat"], UTC)

    @property
    def digests(self) -> list[bytes]:
        """The digests that it signs; DistrustError where they are none."""
        texts = self.header["sigD"].get("hashV")
        found = [unb64url(text) if isinstance(text, str) else None for text in texts] if isinstance(texts, list) else []
        digests = [digest for digest in found if digest is not None and len(digest) == _DIGEST_BYTES]
        _check_digests(self.header["sigD"], digests)
        return digests

    def check(self, key: ec.EllipticCurvePublicKey, urn: str) -> None:
        """DistrustError `jws-signature` unless this key, which is `urn`'s, made it."""
        r, s = int.from_bytes(self.signature[:32], "big"), int.from_bytes(self.signature[32:], "big")
        try:
            key.verify(encode_dss_signature(r, s), f"{self.protected}.".encode(), _ES256)
        except InvalidSignature:
            raise DistrustError("jws-signature", "the signature does not fit", field="jws", value=urn) from None


def read_jws(jws: str) -> SignedHeader:
    """Read a JWS, cheapest checks first; DistrustError with a code `jws-…` where its form is not the protocol's."""
    if len(jws) > HEADER_BYTES:
        raise DistrustError("jws-too-long", f"longer than {HEADER_BYTES} characters", field="jws", value=len(jws))
    protected, detached, tail = _three(jws)
    if detached:
        raise DistrustError("jws-form", "the payload must be detached", field="jws")
    signature = unb64url(tail)
    if signature is None or len(signature) != _SIGNATURE_BYTES:
        raise DistrustError("jws-form", "the signature must be 64 bytes in base64url", field="jws")
    return SignedHeader(protected, _header(protected), signature)


def verify(
    jws: str, digests: Sequence[bytes], trust: TrustStore, now_utc: datetime, country: str | None = None, *, brings_crl: bool = False
) -> Signatory:
    """Check a JWS over these digests, cheapest checks first, and say who signed.

    `country`, where given, is the only one whose units may have signed; with `brings_crl` it may be one whose CRL is stale. Raises
    DistrustError with a code `jws-…` (form, digests, signature) or `trust-…` (certificates).
    """
    signed = read_jws(jws)
    _check_digests(signed.header["sigD"], digests)
    speaker = trust.speaker(signed.x5c, country, now_utc, brings_crl=brings_crl)
    signed.check(speaker.key, speaker.urn)
    return Signatory(speaker.urn, speaker.country, speaker.fingerprint, signed.signed_at_utc, speaker.not_after_utc, speaker.crls)


def stated_digests(jws: str) -> list[bytes]:
    """The digests that a JWS states, unproven: who holds one event alone looks for its digest among them, then verifies over all.

    DistrustError `jws-…` where the form is not that of a signature.
    """
    protected, _, _ = _three(jws)
    stated = _header(protected)["sigD"].get("hashV")
    digests = [unb64url(each) if isinstance(each, str) else None for each in stated] if isinstance(stated, list) else [None]
    if not all(digests):
        raise DistrustError("jws-header", "hashV must be digests in base64url", field="sigD.hashV")
    return [digest for digest in digests if digest]


def b64url(content: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def unb64url(text: str) -> bytes | None:
    """The bytes of base64url without padding, only where encoding them again gives the same text; else None."""
    try:
        content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return None
    return content if b64url(content) == text else None


@lru_cache(maxsize=BUNDLE_EVENTS)
def _pars(count: int) -> str:
    return "[" + ",".join(f'"{number}"' for number in range(1, count + 1)) + "]"


@lru_cache(maxsize=BUNDLE_EVENTS)
def _expected_pars(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


def _three(jws: str) -> tuple[str, str, str]:
    parts = jws.split(".", 3)
    if len(parts) != 3 or not jws.isascii():
        raise DistrustError("jws-form", "not a compact JWS", field="jws")
    return parts[0], parts[1], parts[2]


def _header(protected: str) -> dict[str, Any]:
    """The protected header, with everything checked that can be without keys and digests."""
    content = unb64url(protected)
    if content is None:
        raise DistrustError("jws-form", "the header is not canonical base64url", field="jws")
    try:
        header = parse(content)
    except ContentError as error:
        raise DistrustError("jws-header", f"the header is not strict JSON: {error}"[:300], field="jws") from None
    if header.get("alg") != "ES256":
        raise DistrustError("jws-algorithm", "only ES256 is taken", field="alg", value=header.get("alg"))
    for name in _NEVER:
        if name in header:
            raise DistrustError("jws-forbidden", "keys never come from a message", field=name)
    crit = header.get("crit")
    if not isinstance(crit, list) or len(crit) != len(CRITICAL) or any(name not in crit for name in CRITICAL):
        raise DistrustError("jws-critical", "crit must be sigD and b64, no more and no less", field="crit", value=crit)
    if header.get("b64") is not False:
        raise DistrustError("jws-critical", "b64 must be false", field="b64", value=header.get("b64"))
    iat = header.get("iat")
    if type(iat) is not int or not 0 <= iat <= min(INTEGER, _LATEST):
        raise DistrustError("jws-header", "iat must be whole seconds since 1970", field="iat", value=iat)
    _check_shapes(header)
    return header


def _check_shapes(header: dict[str, Any]) -> None:
    x5c = header.get("x5c")
    if not isinstance(x5c, list) or not all(isinstance(each, str) for each in x5c):
        raise DistrustError("jws-header", "x5c must be the chain of certificates", field="x5c")
    if not 1 <= len(x5c) <= CHAIN_CERTIFICATES:
        raise DistrustError("trust-chain-length", "x5c holds the leaf and at most two intermediates", field="x5c", value=len(x5c))
    if not isinstance(header.get("sigD"), dict):
        raise DistrustError("jws-header", "sigD is missing", field="sigD")


def _check_digests(sig_d: dict[str, Any], digests: Sequence[bytes]) -> None:
    if sig_d.get("mId") != MECHANISM or sig_d.get("hashM") != "S256":
        raise DistrustError("jws-header", "sigD must be ObjectIdByURIHash with S256", field="sigD")
    if sig_d.get("pars") != _expected_pars(len(digests)):
        raise DistrustError("jws-digests", 'pars must be "1", "2", … one for each event', field="sigD.pars", value=len(digests))
    if sig_d.get("hashV") != [b64url(digest) for digest in digests]:
        raise DistrustError("jws-digests", "the digests are not those of the events", field="sigD.hashV")
