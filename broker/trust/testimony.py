"""A signature judged long after: who made it, when by its own claim, and what is known since of its certificates. Nothing is kept here.

Unlike `signing.verify`, which a receiver asks now, this judges by certificates and CRLs that a reader brings, at the instant that the
signer claims. Whoever held the key could claim any instant: what shows one to be true is for the asker to find.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from broker.trust.crls import Crl, Revocation, revocations
from broker.trust.keys import fingerprint_of
from broker.trust.paths import Chain, build_chain, read_anchor
from broker.trust.signing import SignedHeader, read_jws
from schemas.errors import DistrustError, UsageError
from schemas.names import Party, house_of

TOLERANCE = timedelta(seconds=300)  # of a signer's clock, as receivers have it unless they say otherwise


@dataclass(frozen=True, slots=True)
class PinnedAnchor:
    """An authority that the reader trusts to speak for a country."""

    country: str
    certificate: x509.Certificate = field(repr=False)

    @classmethod
    def read(cls, path: Path, country: str | None = None) -> PinnedAnchor:
        """Read a CA certificate (PEM); its country is the one that its own name gives, unless it is said.

        UsageError `trust-country-missing` where neither says it; SettingsError for a broken file.
        """
        certificate = read_anchor(path)
        named = [str(each.value) for each in certificate.subject.get_attributes_for_oid(x509.NameOID.COUNTRY_NAME)]
        chosen = country or (named[0].lower() if len(named) == 1 else "")
        try:
            return cls(Party.of_urn(house_of(chosen).urn).country, certificate)
        except ValueError:
            text = "the certificate names no country: say for which one it speaks, as in --trust tj=CA.pem"
            raise UsageError("trust-country-missing", text, field=str(path), value=chosen) from None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, hex."""
        return fingerprint_of(self.certificate)

    @property
    def name(self) -> str:
        """Its own name (RFC 4514)."""
        return self.certificate.subject.rfc4514_string()


@dataclass(frozen=True, slots=True)
class Testimony:
    """Who signed, with which certificate, when by its own clock.

    `issuers` are those of its chain, the leaf's first; `crls` the newest list of each; `unlisted` those (RFC 4514) of which there is
    none; `revocation` is the earliest one of its certificates that any list names.
    """

    urn: str
    country: str
    fingerprint: str
    serial: str
    issuer: str
    not_before_utc: datetime
    not_after_utc: datetime
    signed_at_utc: datetime
    crls: tuple[Crl, ...] = field(repr=False)
    issuers: tuple[x509.Certificate, ...] = field(repr=False)
    unlisted: tuple[str, ...] = ()
    revocation: Revocation | None = None


@dataclass(frozen=True, slots=True)
class Tribunal:
    """The authorities that a reader trusts, several of one country where it changed its own, and every CRL that there is to read."""

    anchors: Sequence[PinnedAnchor]
    crls: Sequence[Crl] = ()
    tolerance: timedelta = TOLERANCE

    def speaks_for(self, country: str) -> bool:
        """Whether an anchor of this country is pinned."""
        return any(anchor.country == country for anchor in self.anchors)

    def judge(self, jws: str, digest: bytes) -> Testimony:
        """Judge a signature over an event with this digest, at the instant that it claims; DistrustError `jws-…` or `trust-…`.

        The event may have been one of several: its digest must be among those that are signed. A revoked certificate is no error here.
        """
        signed = read_jws(jws)
        if digest not in signed.digests:
            raise DistrustError("jws-digests", "the digest is not among those that were signed", field="sigD.hashV")
        chain = self._chain(signed)
        signed.check(chain.key, chain.party.urn)
        return self._testimony(signed, chain)

    def issued(self, crl: Crl, country: str, above: Iterable[x509.Certificate] = ()) -> bool:
        """Whether a CRL is signed by an anchor of this country, or by one of these authorities."""
        issuers = [anchor.certificate for anchor in self.anchors if anchor.country == country]
        return any(crl.signed_by(issuer) for issuer in (*issuers, *above))

    def _chain(self, signed: SignedHeader) -> Chain:
        last: DistrustError | None = None
        for anchor in self.anchors:
            try:
                return build_chain(signed.x5c, {anchor.country: anchor.certificate}, signed.signed_at_utc, self.tolerance)
            except DistrustError as error:
                if last is None or error.code != "trust-country-unknown":
                    last = error
        if last is not None:
            raise last
        raise DistrustError("trust-country-unknown", "no anchor is pinned for the country", field="x5c")

    def _testimony(self, signed: SignedHeader, chain: Chain) -> Testimony:
        newest, unlisted, found = [], [], list[Revocation]()
        for issued, issuer in itertools.pairwise(chain.path):
            lists = [crl for crl in self.crls if crl.signed_by(issuer)]
            if lists:
                newest.append(max(lists, key=lambda crl: crl.number))
            else:
                unlisted.append(issuer.subject.rfc4514_string())
            found.extend(revocations(issued, lists))
        leaf = chain.path[0]
        return Testimony(
            urn=chain.party.urn,
            country=chain.party.country,
            fingerprint=fingerprint_of(leaf),
            serial=f"{leaf.serial_number:x}",
            issuer=leaf.issuer.rfc4514_string(),
            not_before_utc=chain.not_before_utc,
            not_after_utc=chain.not_after_utc,
            signed_at_utc=signed.signed_at_utc,
            crls=tuple(newest),
            issuers=chain.path[1:],
            unlisted=tuple(unlisted),
            revocation=min(found, key=Revocation.age, default=None),
        )
