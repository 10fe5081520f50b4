"""What runs out, and when a person is told: certificates in files or shown by servers, anchors and CRLs. What to do: docs/pki.md.

A threshold counts only while it is less than half of the whole life: a CRL that is good for thirty days does not warn on its first day.
What lives for less than a week passes its last threshold at half of its life.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from broker.settings.model import Settings
from broker.trust.anchors import TrustStore
from broker.trust.keys import fingerprint_of, read_certificates
from schemas.errors import SettingsError
from schemas.names import Party

THRESHOLDS = (30, 14, 3)  # days
EXPIRED = 0
ENCRYPTION = "encryption certificate"


@dataclass(frozen=True, slots=True)
class Lifetime:
    """One thing that runs out: what it is (`link certificate`) of whom (`link to af`), from when to when, and what to do in time.

    `mark` is another for its successor. `link` names the link that cannot be made any more once it has run out: `link to af` is ours.
    """

    kind: str
    subject: str
    since_utc: datetime
    until_utc: datetime
    mark: str
    renewal: str
    link: str | None = None

    def left(self, now_utc: datetime) -> timedelta:
        """How long it is still good; negative afterwards."""
        return self.until_utc - now_utc

    def threshold(self, now_utc: datetime) -> int | None:
        """The last threshold in days that it has passed: 30, 14, 3 or `EXPIRED`; None while it has passed none."""
        left = self.left(now_utc)
        if left <= timedelta(0):
            return EXPIRED
        half = (self.until_utc - self.since_utc) / 2
        last = THRESHOLDS[-1]
        if left <= min(timedelta(days=last), half):
            return last
        return min((days for days in THRESHOLDS if left <= timedelta(days=days) < half), default=None)


def of_certificates(certificates: Sequence[x509.Certificate], kind: str, subject: str, renewal: str, link: str | None = None) -> Lifetime:
    """The life of a chain, leaf first: as long as all of them are valid."""
    since = max(each.not_valid_before_utc for each in certificates)
    until = min(each.not_valid_after_utc for each in certificates)
    return Lifetime(kind, subject, since, until, fingerprint_of(certificates[0]), renewal, link)


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """A certificate that exchange.toml names, and what is to be said of it."""

    kind: str
    subject: str
    path: Path
    renewal: str
    link: str | None = None

    def lifetime(self) -> Lifetime | None:
        """Its life; None where the file is not on this machine or cannot be read by this user."""
        try:
            return of_certificates(read_certificates(self.path), self.kind, self.subject, self.renewal, self.link)
        except SettingsError:
            return None


def unit_file(party: Party, path: Path) -> CertificateFile:
    """The certificate of one of our units."""
    return CertificateFile("certificate", party.unit, path, f'"panj pki renew {party.name}"; its daemon takes it up by itself')


def http_files_of(settings: Settings, name: str) -> Iterator[CertificateFile]:
    """The certificate by which a post's HTTP intake is known, where it has one."""
    http = settings.posts[name].http
    if http is not None and http.certificate is not None:
        renewal = "put the next one in its place, with its key: the post takes it up by itself"
        yield CertificateFile("HTTP certificate", f"HTTP intake of {settings.post_party(name).unit}", http.certificate, renewal)


def files_of(settings: Settings) -> Iterator[CertificateFile]:
    """Every certificate that exchange.toml names, of units, encryption and links; most machines have only some of them."""
    for name, post in sorted(settings.posts.items()):
        yield unit_file(settings.post_party(name), post.certificate)
        yield from http_files_of(settings, name)
    if settings.house is not None:
        yield unit_file(settings.house_party, settings.house.certificate)
        for pair in settings.house.encryption[:1]:  # older ones only decrypt
            renewal = 'a new key: "panj pki issue --unit customs --encryption"; give its certificate to the partners'
            yield CertificateFile(ENCRYPTION, f"encryption to {settings.house_party.unit}", pair.certificate, renewal)
    yield from link_files_of(settings)
    for country, partner in sorted(settings.partners.items()):
        if partner.encryption_certificate is not None:
            renewal = f"ask {country} for its next one: without it nothing for {country} can be accepted"
            yield CertificateFile(ENCRYPTION, f"encryption to {country}", partner.encryption_certificate, renewal)


def link_files_of(settings: Settings) -> Iterator[CertificateFile]:
    """Our certificates at the partners' brokers, and the authorities by which we know those."""
    for country, partner in sorted(settings.partners.items()):
        renewal = f'"panj pki request --link {country} --renew", have {country} issue it, "panj pki install ANSWER --link {country}"'
        yield CertificateFile("link certificate", f"link to {country}", partner.link.certificate, renewal, f"link to {country}")
        renewal = f"ask {country} for its authority's next certificate, and compare fingerprints"
        yield CertificateFile("authority's certificate", f"link to {country}", partner.link.ca, renewal, f"link to {country}")


def of_trust(trust: TrustStore, settings: Settings, now_utc: datetime) -> Iterator[Lifetime]:
    """Anchors, and the CRLs that are held; what was never held has no end."""
    for expiry in trust.expiries(now_utc):
        if expiry.since_utc is None or expiry.expires_at_utc is None:
            continue
        ours = expiry.country == settings.country
        if expiry.kind == "crl":
            renewal = '"panj pki crl --config exchange.toml"' if ours else f"ask {expiry.country} why its CRL does not come"
        else:
            whose = "make the next authority in good time and exchange" if ours else f"ask {expiry.country} for"
            renewal = f"{whose} its anchor"
        yield Lifetime(expiry.kind, f"{expiry.kind} of {expiry.country}", expiry.since_utc, expiry.expires_at_utc, expiry.mark, renewal)
