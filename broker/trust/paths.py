"""Paths of certificates: from a unit's chain, as it travels, to the anchor pinned for its country. No CRLs here.

Paths are built by cryptography's own verifier (RFC 5280 section 6.1 with the checks of the CA/B profile for CA certificates); Panj's own
rules stand beside it: the anchor is the one of the country in the leaf's one URN, a P-256 key, the key usage that is asked for.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification

from broker.trust.keys import read_certificates, uris_of
from schemas.errors import DistrustError, SettingsError
from schemas.limits import CHAIN_CERTIFICATES
from schemas.names import Party

_BROKEN = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion)


@dataclass(frozen=True, slots=True)
class Chain:
    """A path that holds: `path` is the unit's certificate, up to two intermediates, and the anchor; it is valid as a whole between the two
    instants.
    """

    party: Party
    key: ec.EllipticCurvePublicKey = field(repr=False)
    path: tuple[x509.Certificate, ...] = field(repr=False)
    not_before_utc: datetime
    not_after_utc: datetime


def check_clock(since_utc: datetime, until_utc: datetime, at_utc: datetime, tolerance: timedelta) -> None:
    """DistrustError `trust-not-yet-valid` or `trust-expired` unless the instant lies between the two, give or take the tolerance."""
    if at_utc + tolerance < since_utc:
        since = since_utc.isoformat()
        raise DistrustError("trust-not-yet-valid", "a certificate of the chain is not valid yet", field="x5c", value=since)
    if at_utc - tolerance > until_utc:
        until = until_utc.isoformat()
        raise DistrustError("trust-expired", "a certificate of the chain has expired", field="x5c", value=until)


def build_chain(
    x5c: Sequence[str],
    anchors: Mapping[str, x509.Certificate],
    at_utc: datetime,
    tolerance: timedelta,
    *,
    country: str | None = None,
    usage: str = "digital_signature",
) -> Chain:
    """Build the path of a chain (base64 of DER, leaf first) to the anchor of its country, as it was at an instant.

    `country`, where given, is the only one that may speak; `usage` is `digital_signature` or `key_agreement`. DistrustError `trust-…` says
    why it speaks for nobody.
    """
    leaf, *above = read_chain(x5c)
    try:
        party, key = _unit_of(leaf, usage)
        if country is not None and party.country != country:
            raise DistrustError("trust-country-mismatch", f"only {country} may speak here", field="x5c", value=party.urn)
        anchor = anchors.get(party.country)
        if anchor is None:
            raise DistrustError("trust-country-unknown", "no anchor is pinned for the country", field="x5c", value=party.urn)
        path = (leaf, *above, anchor)
        since = max(each.not_valid_before_utc for each in path)
        until = min(each.not_valid_after_utc for each in path)
        check_clock(since, until, at_utc, tolerance)
        _check_path(path, min(max(at_utc, since), until))
    except _BROKEN as error:
        raise DistrustError("trust-certificate-unreadable", f"a certificate is broken: {type(error).__name__}", field="x5c") from None
    return Chain(party, key, path, since, until)


def read_anchor(path: Path) -> x509.Certificate:
    """Read the one certificate that is to be pinned; SettingsError where the file holds another number of them, or no authority's."""
    certificates = read_certificates(path)
    if len(certificates) != 1:
        raise SettingsError("anchor-count", "an anchor file holds exactly one certificate", field=str(path), value=len(certificates))
    try:
        authority = certificates[0].extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *_BROKEN):
        authority = False
    if not authority:
        raise SettingsError("anchor-no-authority", "the certificate is no authority's: pin the one that issues", field=str(path))
    return certificates[0]


def read_chain(x5c: Sequence[str]) -> list[x509.Certificate]:
    """Read a chain as it travels, leaf first, each certificate in the one spelling it has; DistrustError `trust-…` otherwise."""
    if not 1 <= len(x5c) <= CHAIN_CERTIFICATES:
        raise DistrustError("trust-chain-length", "x5c holds the leaf and at most two intermediates", field="x5c", value=len(x5c))
    found = []
    for text in x5c:
        try:
            der = base64.b64decode(text, validate=True)
            if base64.b64encode(der).decode() != text:
                raise ValueError("not canonical")
            certificate = x509.load_der_x509_certificate(der)
            if not der.endswith(b"\x00" + certificate.signature):  # else "unused bits" give one certificate a second fingerprint
                raise ValueError("not canonical")
            found.append(certificate)
        except (*_BROKEN, binascii.Error):
            raise DistrustError("trust-certificate-unreadable", "not a certificate in base64 of DER", field="x5c") from None
    return found


def _unit_of(leaf: x509.Certificate, usage: str) -> tuple[Party, ec.EllipticCurvePublicKey]:
    """The unit that a leaf names and its key, by Panj's own rules: one URN, P-256, the key usage that is asked for, no authority."""
    uris = uris_of(leaf)
    try:
        party = Party.of_urn(uris[0] if len(uris) == 1 else "")
    except ValueError:
        raise DistrustError("trust-name", "the leaf must carry exactly one URI, a customs URN", field="x5c", value=uris) from None
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise DistrustError("trust-curve", "the leaf's key is not on the curve P-256", field="x5c", value=party.urn)
    try:
        usages = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usages = None
    if usages is None or not getattr(usages, usage):
        needed = {"digital_signature": "digitalSignature", "key_agreement": "keyAgreement"}[usage]
        raise DistrustError("trust-usage", f"the leaf's key usage is not {needed}", field="x5c", value=party.urn)
    if _may_issue(leaf):  # whoever holds the key of an authority is nobody's post, whatever its certificate names
        raise DistrustError("trust-usage", "the leaf is an authority's certificate", field="x5c", value=party.urn)
    return party, key


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _check_path(path: tuple[x509.Certificate, ...], at_utc: datetime) -> None:
    leaf, *intermediates, anchor = path
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store([anchor]))
        .time(at_utc.astimezone(UTC).replace(tzinfo=None))
        .max_chain_depth(CHAIN_CERTIFICATES - 1)
        .extension_policies(
            ca_policy=verification.ExtensionPolicy.webpki_defaults_ca(), ee_policy=verification.ExtensionPolicy.permit_all()
        )
        .build_client_verifier()
    )
    try:
        found = verifier.verify(leaf, intermediates).chain
    except verification.VerificationError as error:
        raise DistrustError("trust-path", "no path to the pinned anchor", field="x5c", value=error) from None
    if tuple(found) != path:
        raise DistrustError("trust-path", "x5c holds certificates that are not of the path, or in another order", field="x5c")
