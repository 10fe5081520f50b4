"""Certificates of any shape, good and bad, for tests: what the pilot authority would never issue, a partner or an attacker might."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.trust.anchors import TrustStore
from broker.trust.keys import Identity, fingerprint_of
from broker.trust.signing import MECHANISM, b64url

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
URN = "urn:customs:tj:panji-poyon"
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    key: Key
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def x5c(self) -> str:
        return base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def make(
    name: str,
    issuer: Pair | None = None,
    *,
    ca: bool = False,
    path_length: int | None = None,
    uris: Sequence[str] = (),
    dns: Sequence[str] = (),
    usage: str | None = "default",
    key: Key | None = None,
    since: datetime = NOW - timedelta(days=1),
    until: datetime = NOW + timedelta(days=100),
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Pair:
    """One certificate: self-signed without an issuer; `usage` is `default`, `none` (nothing useful in it) or None (no extension)."""
    key = key or p256()
    signer = issuer or Pair(key, None)  # type: ignore[arg-type]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        issuer.certificate.subject if issuer else subject, subject, key.public_key(), x509.random_serial_number(), since, until
    )
    builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if usage is not None:
        good = usage == "default"
        builder = builder.add_extension(
            x509.KeyUsage(
                digital_signature=good and not ca,
                key_cert_sign=good and ca,
                crl_sign=good and ca,
                content_commitment=not good,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    if uris or dns:
        names = [*(x509.UniformResourceIdentifier(uri) for uri in uris), *(x509.DNSName(host) for host in dns)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    return Pair(key, builder.sign(signer.key, hashes.SHA256()))


def root(name: str = "root", **shape: Any) -> Pair:
    return make(name, ca=True, **shape)


def leaf(issuer: Pair, urn: str = URN, **shape: Any) -> Pair:
    return make("leaf", issuer, uris=(urn,), **shape)


def crl(
    issuer: Pair,
    number: int | None,
    revoked: Sequence[int] = (),
    *,
    until: datetime = NOW + timedelta(days=30),
    since: datetime = NOW - timedelta(days=1),
    lost: datetime | None = None,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    """A CRL in DER; what it revokes is so `since` then, and its key was `lost` (the invalidity date) at that instant."""
    builder = x509.CertificateRevocationListBuilder(issuer.certificate.subject, NOW - timedelta(days=1), until)
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder(serial, since)
        if lost is not None:
            entry = entry.add_extension(x509.InvalidityDate(lost), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def identity(end: Pair, *above: Pair, urn: str = URN) -> Identity:
    """Who signs with this chain, whatever its certificates say."""
    assert isinstance(end.key, ec.EllipticCurvePrivateKey)
    return Identity(
        urn=urn,
        key=end.key,
        x5c=tuple(each.x5c for each in (end, *above)),
        not_before_utc=end.certificate.not_valid_before_utc,
        not_after_utc=end.certificate.not_valid_after_utc,
        fingerprint=fingerprint_of(end.certificate),
    )


def trust_in(directory: Path, tolerance_seconds: float = 300, **anchors: Pair) -> TrustStore:
    """A trust store that pins these anchors by country; CRLs are read from `<directory>/<country>`."""
    for country, anchor in anchors.items():
        (directory / country).mkdir(exist_ok=True)
        (directory / f"{country}.pem").write_bytes(anchor.pem)
    return TrustStore(
        {country: directory / f"{country}.pem" for country in anchors},
        {country: directory / country for country in anchors},
        tolerance_seconds,
    )


def header_of(digests: Sequence[bytes], who: Identity) -> dict[str, Any]:
    """The protected header of the protocol, to be spoiled by a test."""
    return {
        "alg": "ES256",
        "iat": int(NOW.timestamp()),
        "x5c": list(who.x5c),
        "b64": False,
        "crit": ["sigD", "b64"],
        "sigD": {
            "mId": MECHANISM,
            "pars": [str(number) for number in range(1, len(digests) + 1)],
            "hashM": "S256",
            "hashV": [b64url(digest) for digest in digests],
        },
    }


def signed(header: dict[str, Any] | bytes, key: Key, payload: str = "") -> str:
    """A JWS over any header, rightly signed."""
    content = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    protected = b64url(content)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(key.sign(f"{protected}.{payload}".encode(), ec.ECDSA(hashes.SHA256())))
    size = (key.curve.key_size + 7) // 8
    return f"{protected}.{payload}.{b64url(r.to_bytes(size, 'big') + s.to_bytes(size, 'big'))}"


Spoil = Callable[[dict[str, Any]], object]
